"""Recoveries that fail late: machines, services, traffic and the home are as they were, each taken back once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_recover_services import World

from holdfast.control.recovering.recovering import Recoveries, Status
from holdfast.infra.traffic_file import TrafficFile
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress

_FAILS = "version: 1\nsteps: [{id: no, kind: shell, title: x, after: [%s], command: ['false'], no_undo: x}]"


class _Dies(BaseException):
    """The control plane is gone at this moment."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    for name in ("HOLDFAST_CONFIG", "HOLDFAST_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = World(tmp_path, dict(os.environ))
    yield made
    made.end()


def fail_after(world: World, step: str) -> None:
    (world.folder / "more.yaml").write_text(_FAILS % step)
    world.file["recoveries"]["back"]["steps"] = "more.yaml"


def run_failing(world: World, *, killed: bool) -> Status:
    """To its end; `killed`: the control plane dies when it has taken back one step, and another one goes on."""
    file = world.plan()
    most = [0]

    def watch(plan: Plan, progress: Progress) -> None:
        most[0] = max(most[0], progress.done)
        if killed and progress.done < most[0]:
            raise _Dies

    if not killed:
        return world.run(file, watch)
    with pytest.raises(_Dies):
        world.run(file, watch)
    return Recoveries(world.sites()).adopt(file.run, "", lambda plan, progress: None)


def judge(world: World, done: Status) -> None:
    assert done.state.verdict == "FAILED", done.state
    begun = {one.step for one in done.entries if one.deed is Deed.BEGUN}
    taken_back = [step.id for step in reversed(done.plan.steps) if step.undo and step.id in begun]
    assert [one.step for one in done.entries if one.deed is Deed.UNDONE] == taken_back
    assert not (world.folder / "back").exists()
    end: dict[str, Any] = dict(done.entries[-1].facts)
    assert (end["not_taken_back"], end["problems"]) == ("", ""), "the steady state was looked at again"
    sites = world.sites()
    sites.learn()
    assert not sites.states and sites.asset("llama").home_site == "use1"
    assert TrafficFile(world.folder / "traffic.json").read() is None


@pytest.mark.parametrize("killed", [False, True])
def test_a_site_that_was_promoted_and_whose_services_run(world: World, killed: bool) -> None:
    fail_after(world, "traffic")
    world.make()
    done = run_failing(world, killed=killed)
    judge(world, done)
    assert done.state.steps["promote-llama"].phase == "undone" == done.state.steps["start-llama"].phase
    assert world.running("euw4") == 0 and world.free("euw4") == (0, 2)
    assert world.starts() == ["euw4 0 of 1"], "it ran, once"


def test_a_burst_to_fewer_machines_gives_back_what_it_got(world: World) -> None:
    world.service.update({"machines": 2, "least": 1})
    world.pool("euw4", machines=1)
    world.file["recoveries"]["back"] |= {"strategy": "CLOUD_BURST"}
    fail_after(world, "wait-healthy")
    world.make()
    done = run_failing(world, killed=False)
    assert [(one.number, one.wanted) for one in done.plan.machines] == [(1, 2)]
    judge(world, done)
    assert world.running("euw4") == 0 and world.free("euw4") == (0, 1)
    assert world.starts() == ["euw4 0 of 1"]
