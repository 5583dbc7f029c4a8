"""A recovery over three sites of real object stores: one of the journal's is lost, and another machine finishes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.journals import journal_at
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.errors import RefusedError, UntrustedError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.testing.servers import AzuriteServer, SeaweedServer

pytestmark = pytest.mark.servers

_NAMES = ("folder", "seaweed", "azurite")


class _Dies(BaseException):
    """The control plane is gone at this moment."""


@pytest.fixture
def environment(
    seaweed: SeaweedServer, azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    with ExitStack() as stack:
        stores = {"folder": {"url": str(tmp_path / "folder")}}
        for name, server in (("seaweed", seaweed), ("azurite", azurite)):
            stack.enter_context(server.in_environment())
            stores[name] = {"url": f"{server.url}/{tmp_path.name}", "options": dict(server.options)}
        sites = {
            name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": {"warm": stores[name]}}
            for name in _NAMES
        }
        asset = {"class": "training", "place": {"synchronous": ["folder"], "asynchronous": list(_NAMES[1:])}}
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
        (tmp_path / "holdfast.yaml").write_text(json.dumps(file))
        yield dict(os.environ)


def test_a_home_is_lost_and_so_is_the_control_plane(environment: dict[str, str], tmp_path: Path) -> None:
    def machine(name: str, **more: str) -> Recoveries:
        own = environment | {f"XDG_{kind}_HOME": str(tmp_path / f"{name}-{kind}") for kind in ("STATE", "CACHE")} | more
        return Recoveries(DeclaredSites(load_config(tmp_path / "holdfast.yaml"), own))

    def quiet(plan: Plan, progress: Progress) -> None: ...

    def dies(plan: Plan, progress: Progress) -> None:
        if progress.done == 2:  # fenced and restored
            raise _Dies

    sites = DeclaredSites(load_config(tmp_path / "holdfast.yaml"), environment)
    made = create(str(tmp_path / "folder"), environment=environment)
    export_keeper(made.vault, "ann", tmp_path / "ann.key")
    saving = declared_save(sites, "run")
    arrays = {"w": default_rng(1).normal(size=1 << 16).astype("<f4")}
    saved = saving.vault.save("run", arrays, committed=saving.committed)
    assert SiteFollower(sites, [sites.asset("run")]).run_round().settled

    first = Recoveries(sites)
    file = first.plan(Wanted("run"))
    assert file.journal == ("seaweed/warm", "azurite/warm", "folder/warm") and file.plan.site == "seaweed"
    with pytest.raises(RefusedError, match="asked for this recovery"):
        first.approve(file, 600)
    machine("ann", HOLDFAST_KEY_FILE=str(tmp_path / "ann.key")).approve(file, 600)
    (tmp_path / "folder").rename(tmp_path / "burnt")  # the home, with its share of the journal
    (tmp_path / "folder").touch()  # and nothing answers there any more
    with pytest.raises(_Dies):
        first.run(file, str(tmp_path / "back"), dies)

    done = machine("third").adopt(file.run, "", quiet)
    assert done.state.verdict == "PASSED" and done.state.taken == 2 and not done.state.ignored
    assert [entry.step for entry in done.entries if entry.deed is Deed.BEGUN].count("restore-run") == 1
    assert {entry.step for entry in done.entries if entry.deed is Deed.DONE} == {step.id for step in file.plan.steps}
    at_ann = machine("fourth", HOLDFAST_KEY_FILE=str(tmp_path / "ann.key"))
    assert at_ann.status(file.run).state.verdict == "PASSED"
    moved = DeclaredSites(load_config(tmp_path / "holdfast.yaml"), environment)
    moved.learn()
    assert moved.asset("run").home_site == "seaweed"
    assert moved.open_at("seaweed/warm").find("run").id == saved.root.id

    # Somebody with a keeper's key who speaks in another's name is found out by all who read.
    forged = Recoveries(moved)
    again = forged.plan(Wanted("run", isolated=True, target=str(tmp_path / "drill")))
    vault = moved.open_at("seaweed/warm")
    assert forged.propose(again) == again.run
    liar = journal_at(moved, vault.handle.keys, again.run, again.journal, "ann", moved.clock)
    liar.read()
    with pytest.raises(UntrustedError, match="speaks for 'ann'"):
        liar.append(Deed.APPROVED, text="0" * 64, until=1 << 60)
    with pytest.raises(UntrustedError, match="speaks for 'ann'"):
        at_ann.status(again.run)
