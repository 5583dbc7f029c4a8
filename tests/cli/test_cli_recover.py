"""`holdfast recover`: a lost site, a second keeper, control planes that are killed, rehearsals, refusals."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

_FILE = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4}}}}
    {link}
assets:
  llama: {{class: training, save_every: 30min, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu: {{asset: llama, strategy: BACKUP_AND_RESTORE, to: [euw4], {more}}}
"""


def _declare(folder: Path, *, link: str = "", more: str = "approvers: 1") -> None:
    (folder / "holdfast.yaml").write_text(_FILE.format(folder=folder, link=link, more=more))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the first test leaves what every test begins with: keys, and two sites with a snapshot."""
    return {"folder": tmp_path_factory.mktemp("made")}


@pytest.fixture
def world(terminal: Terminal, made: dict[str, Path]) -> Terminal:
    homes = {name: Path(os.environ[f"XDG_{name}_HOME"]) for name in ("CONFIG", "STATE")}
    template = made["folder"]
    if not (template / "whole").exists():
        _declare(terminal.folder)
        write_checkpoint(terminal.folder / "ckpt", 1, tensors=60)
        terminal.ok("vault", "create", terminal.folder / "use1")
        terminal.ok("key", "export-keeper", "ann", "--vault", terminal.folder / "use1", "--to", "ann.key")
        terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
        terminal.ok("site", "sync")
        shutil.copytree(terminal.folder, template / "work", symlinks=True)
        for name, home in homes.items():
            shutil.copytree(home, template / name)
        (template / "whole").touch()
    else:
        shutil.copytree(template / "work", terminal.folder, symlinks=True, dirs_exist_ok=True)
        for name, home in homes.items():
            shutil.copytree(template / name, home, dirs_exist_ok=True)
        _declare(terminal.folder)
        # Proofs are remembered with the store's place, which is another one here.
        for site in ("use1", "euw4"):
            terminal.ok("snapshot", "verify", "llama", "--vault", terminal.folder / site)
    return terminal


def _lose(terminal: Terminal) -> None:
    shutil.rmtree(terminal.folder / "use1")


def _planned(terminal: Terminal, as_ann: Callable[..., Any], name: str = "llama-to-eu") -> dict[str, Any]:
    plan = terminal.json("recover-plan", "recover", "plan", name, "--out", "plan.json")
    approved = as_ann(terminal.json, "recover-approve", "recover", "approve", "plan.json", "--for", "1h")
    assert (approved["by"], approved["run"], approved["plan"]) == ("ann", plan["run"], plan["plan"])
    return dict(plan)


def _same(one: Path, other: Path) -> None:
    found = filecmp.dircmp(one, other)
    assert not (found.left_only or found.right_only or found.diff_files or found.funny_files)
    for name in found.common_files:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in found.common_dirs:
        _same(one / name, other / name)


def test_an_asset_comes_back_from_a_lost_site(world: Terminal, as_ann: Callable[..., Any]) -> None:
    _lose(world)
    plan = _planned(world, as_ann)
    assert [step["kind"] for step in plan["steps"]] == ["fence", "restore", "verify", "promote"]
    assert plan["rto"]["source"] == "NOT_MEASURED" and plan["journal"] == ["euw4/warm"]
    run = world.json("recover-run", "recover", "run", "plan.json", "--target", "back", "--yes")
    assert run["state"] == "PASSED" and run["approvals"] == ["ann"] and run["taken"] == 1
    assert all(step["state"] == "done" and step["seconds"] is not None for step in run["steps"])
    _same(world.folder / "ckpt", world.folder / "back")
    assert sorted(path.name for path in world.folder.iterdir() if "holdfast-" in path.name) == []
    states = {site["name"]: site["state"] for site in world.json("site-list", "site", "list")["sites"]}
    assert states["use1"] is not None and "failed" in str(states["use1"])
    # Whoever saves now does so at the new home.
    saved = world.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")
    assert saved["snapshot"]["id"] and not (world.folder / "use1").exists()
    world.ok("vault", "check", world.folder / "euw4")  # journals are nobody's damage
    # A plan is run once.
    again = world.run("recover", "run", "plan.json", "--target", "other", "--yes")
    assert again.code == 5 and "has ended" in again.err
    listed = world.ok("recover", "status")
    assert plan["run"] in listed.out and "PASSED" in listed.out
    # What it took is known to the next plan.
    steps = world.json("recover-run", "recover", "status", plan["run"])["steps"]
    assert next(step for step in steps if step["id"] == "restore-llama")["facts"]["bytes"] > 0


def test_pages_fit_the_terminal(world: Terminal, as_ann: Callable[..., Any]) -> None:
    shown = world.ok("recover", "plan", "llama-to-eu", "--reason", "a long reason " * 12)
    assert max(map(len, shown.out.splitlines())) <= 80 and "RTO: NOT_MEASURED" in shown.out
    assert world.ok("recover", "plan", "llama", "--diagram").out.startswith("flowchart TD\n")
    assert world.ok("recover", "plan", "llama", "--markdown").out.startswith("# llama: llama to euw4\n")
    _planned(world, as_ann)
    said = world.ok("recover", "review", "plan.json")
    assert max(map(len, said.out.splitlines())) <= 80 and said.last.endswith("s") and "may be run" in said.last
    run = world.ok("recover", "run", "plan.json", "--target", "back", "--yes")
    assert max(map(len, run.out.splitlines())) <= 80 and "PASSED" in run.last


def test_nobody_approves_their_own_plan_or_runs_one_without_approval(
    world: Terminal, as_ann: Callable[..., Any]
) -> None:
    world.ok("recover", "plan", "llama", "--out", "plan.json")
    own = world.run("recover", "approve", "plan.json", "--for", "1h")
    assert own.code == 5 and "cannot approve it" in own.err
    unapproved = world.run("recover", "run", "plan.json", "--target", "back", "--yes")
    assert unapproved.code == 7 and "approval" in unapproved.err
    refused = world.json("recover-review", "recover", "review", "plan.json", code=5)
    assert [one["code"] for one in refused["refusals"]] == ["NOT_APPROVED"]
    assert not (world.folder / "back").exists() and "failed" not in world.ok("site", "list").out
    # An approval is of this plan: another target site, or another time, is another plan.
    altered = json.loads((world.folder / "plan.json").read_text())
    altered["plan"]["intent"]["approvers"] = 0
    (world.folder / "altered.json").write_text(json.dumps(altered))
    forged = world.run("recover", "run", "altered.json", "--target", "back", "--yes")
    assert forged.code == 2 and "was altered" in forged.err
    assert world.run("recover", "approve", "plan.json", "--for", "2d").code == 2
    assert world.run("recover", "run", "plan.json", "--target", "back").code == 2  # nobody to be asked: --yes


def test_a_rehearsal_touches_nothing_else(world: Terminal) -> None:
    plan = world.json("recover-plan", "recover", "plan", "llama", "--isolated", "drill", "--out", "plan.json")
    assert [step["kind"] for step in plan["steps"]] == ["restore", "verify"] and plan["isolated"]
    run = world.json("recover-run", "recover", "run", "plan.json")
    assert run["state"] == "PASSED" and run["isolated"]
    _same(world.folder / "ckpt", world.folder / "drill")
    assert "failed" not in world.ok("site", "list").out
    taken = world.json("recover-plan", "recover", "plan", "llama", "--isolated", "drill", "--out", "again.json")
    failed = world.run("recover", "run", "again.json")
    assert failed.code == 1 and "recovery replaces nothing" in failed.out and taken["run"] != plan["run"]
    _same(world.folder / "ckpt", world.folder / "drill")  # what was there before is not touched


def test_check_says_what_would_be_refused(world: Terminal) -> None:
    good = world.json("recover-check", "recover", "check", "llama-to-eu")
    assert good["steps"] == 4 and not good["refusals"] and not good["not_possible"]
    assert world.json("recover-runs", "recover", "status")["runs"] == []  # nothing was written
    shutil.rmtree(world.folder / "euw4")
    bad = world.run("recover", "check", "llama-to-eu")
    assert bad.code == 5 and "no site will do" in bad.err
    assert world.run("recover", "check", "nothing").code == 3
    assert world.run("recover", "plan", "llama", "--to", "use1").code == 5  # its home


def test_what_nobody_read_back_is_not_recovered_from(world: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _lose(world)
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder.parent / "fresh-cache"))
    refused = world.run("recover", "plan", "llama")
    assert refused.code == 5 and "never read back there" in refused.err
    world.ok("snapshot", "verify", "llama", "--vault", world.folder / "euw4")
    world.ok("recover", "plan", "llama")


def _begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli.main", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _until(found: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not found():
        assert process.poll() is None, f"it ended: {process.returncode}"
        assert time.monotonic() < until
        time.sleep(0.01)


def test_killed_in_mid_restore_it_is_finished_from_the_stores_by_another_machine(
    world: Terminal, as_ann: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _lose(world)
    run = _planned(world, as_ann)["run"]
    shutil.copy2(world.folder / "holdfast.yaml", world.folder / "fast.yaml")
    _declare(world.folder, link="link: {up: 500KB/s}")
    process = _begin(world.folder, "recover", "run", "plan.json", "--target", "back", "--yes")
    try:
        _until(lambda: any(".partial" in path.name for path in world.folder.iterdir()), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (world.folder / "back").exists()
    (world.folder / "plan.json").unlink()
    shutil.copy2(world.folder / "fast.yaml", world.folder / "holdfast.yaml")
    for kind in ("STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(world.folder.parent / f"second-{kind}"))
    done = world.json("recover-run", "recover", "adopt", run)
    assert done["state"] == "PASSED" and done["taken"] == 2
    _same(world.folder / "ckpt", world.folder / "back")
    fenced = [step for step in done["steps"] if step["id"] == "fence-llama"]
    assert fenced[0]["attempts"] == 1
    assert len(list((world.folder / "euw4/sites").iterdir())) == 1  # one notice: fenced once
    assert world.run("recover", "adopt", run).code == 5


def test_of_two_control_planes_the_one_that_was_adopted_from_changes_nothing(
    world: Terminal, as_ann: Callable[..., Any]
) -> None:
    _lose(world)
    plan = _planned(world, as_ann)
    shutil.copy2(world.folder / "holdfast.yaml", world.folder / "fast.yaml")
    _declare(world.folder, link="link: {up: 500KB/s}")
    first = _begin(world.folder, "recover", "run", "plan.json", "--target", "back", "--yes")
    try:
        _until(lambda: any(".partial" in path.name for path in world.folder.iterdir()), first)
        first.send_signal(signal.SIGSTOP)
        shutil.copy2(world.folder / "fast.yaml", world.folder / "holdfast.yaml")
        done = world.json("recover-run", "recover", "adopt", plan["run"], "--target", "elsewhere")
        assert done["state"] == "PASSED"
        first.send_signal(signal.SIGCONT)
        assert first.wait(120) == 5
    finally:
        first.kill()
        first.wait()
    after = world.json("recover-run", "recover", "status", plan["run"])
    assert after["entries"] == done["entries"] and after["owner"] == done["owner"] and after["ignored"] == 0
    _same(world.folder / "ckpt", world.folder / "elsewhere")
    assert not (world.folder / "back").exists()  # what it was restoring it did not finish


def test_what_people_say_is_heard_and_signed(world: Terminal, as_ann: Callable[..., Any]) -> None:
    (world.folder / "steps.yaml").write_text(
        """\
version: 1
steps:
  - {id: note, kind: shell, title: "note {asset}", after: [restore], before: [promote], command: [touch, noted],
     done: [test, -e, noted], undo: [rm, noted]}
  - {id: owner, kind: human, title: ask the owner, after: [verify], before: [promote], no_undo: nothing was changed}
"""
    )
    _declare(world.folder, more="steps: steps.yaml")
    _lose(world)
    plan = _planned(world, as_ann)
    assert {step["id"] for step in plan["steps"]} >= {"shell-note", "human-owner"}
    first = _begin(world.folder, "recover", "run", "plan.json", "--target", "back", "--yes")
    try:
        run = plan["run"]
        _until(lambda: _state(world, run, "human-owner") == "begun", first)
        never = world.run("recover", "skip", run, "verify-llama", "--reason", "no time")
        assert never.code == 5 and world.run("recover", "skip", run, "human-owner").code == 2
        world.ok("recover", "stop", run, "--reason", "the site is back")
        assert first.wait(120) == 1
    finally:
        first.kill()
        first.wait()
    after = world.json("recover-run", "recover", "status", run)
    assert after["state"] == "STOPPED" and not (world.folder / "back").exists()
    assert not (world.folder / "noted").exists() and "use1" in after["problems"]


def _state(world: Terminal, run: str, step: str) -> str:
    said = world.run("recover", "status", run, "--json")
    if said.code != 0:
        return ""
    return next(str(one["state"]) for one in json.loads(said.out)["steps"] if one["id"] == step)


def test_objectives_stand_on_runs_rounds_and_stores(world: Terminal) -> None:
    def standing() -> dict[str, Any]:
        [found] = world.json("objective-status", "objective", "status")["assets"]
        return dict(found["standing"])

    before = standing()
    assert before["rto"]["state"] == "NOT_MEASURED" and before["values"]["drilled"] is None
    assert before["values"]["interval"] == 1800 and before["sources"]["interval"] == "declared: save_every"
    assert before["values"]["copying"] > 0
    world.ok("site", "sync")  # a round, in the series of exposures of this machine
    world.ok("recover", "plan", "llama", "--isolated", "drill", "--out", "plan.json")
    run = world.json("recover-run", "recover", "run", "plan.json")
    after = standing()
    assert (
        after["values"]["drilled"] == pytest.approx(run["seconds"], abs=0.1)
        and run["run"] in after["sources"]["drilled"]
    )
    assert after["rto"]["current_seconds"] == after["values"]["drilled"] and after["rto"]["state"] == "AT_RISK"
    assert after["values"]["exposure"] is not None and "round of" in after["sources"]["exposure"]
    said = world.ok("objective", "status")
    assert max(map(len, said.out.splitlines())) <= 80 and "NOT_MEASURED" in said.fact("  planned")
    _lose(world)
    lost = world.json("objective-status", "objective", "status", code=8)
    assert lost["assets"][0]["standing"]["values"]["drilled"] == after["values"]["drilled"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BACKUP_RESTORE", "BACKUP_AND_RESTORE"),
        ("ACTIVE_ACTIVE", "HOT_STANDBY"),
        ("CROSS_CLOUD", "CLOUD_BURST"),
    ],
)
def test_strategies_have_new_names(terminal: Terminal, old: str, new: str) -> None:
    _declare(terminal.folder)
    file = terminal.folder / "holdfast.yaml"
    file.write_text(file.read_text().replace("BACKUP_AND_RESTORE", old))
    said = terminal.run("config", "check")
    assert said.code != 0 and f"it is `{new}` now" in " ".join((said.out + said.err).split())


def test_who_adopts_sees_what_was_restored(world: Terminal, as_ann: Callable[..., Any]) -> None:
    (world.folder / "steps.yaml").write_text(
        """\
version: 1
steps:
  - {id: owner, kind: human, title: ask the owner, after: [verify], before: [promote], no_undo: nothing was changed}
"""
    )
    _declare(world.folder, more="steps: steps.yaml")
    _lose(world)
    run = _planned(world, as_ann)["run"]
    first = _begin(world.folder, "recover", "run", "plan.json", "--target", "back", "--yes")
    try:
        _until(lambda: _state(world, run, "human-owner") == "begun", first)
    finally:
        first.kill()
        first.wait()
    (world.folder / "back").rename(world.folder / "away")
    refused = world.run("recover", "adopt", run)
    assert refused.code == 1 and "nothing is there on this machine" in refused.err
    (world.folder / "away").rename(world.folder / "back")
    world.ok("recover", "skip", run, "human-owner", "--reason", "done: the owner agrees")
    done = world.json("recover-run", "recover", "adopt", run)
    assert done["state"] == "PASSED" and done["taken"] == 2
    assert [step["state"] for step in done["steps"] if step["id"] == "human-owner"] == ["skipped"]
