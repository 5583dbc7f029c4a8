"""`recover adopt --without`, times of faults, voids, two who run one plan, groups, full disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

_SITES = ("use1", "euw4", "aps1")


def _declare(folder: Path, *, pause: bool = True, assets: tuple[str, ...] = ("llama",), place: str = "") -> None:
    placed = place or "{synchronous: [use1], asynchronous: [euw4, aps1]}"
    lines = ["version: 1", "organisation: acme", "sites:"]
    for name in _SITES:
        lines.append(
            f"  {name}: {{cloud: onprem, region: {name}, jurisdiction: EU, stores: {{warm: {{url: {folder}/{name}}}}}}}"
        )
    lines.append("assets:")
    lines += [f"  {name}: {{class: training, save_every: 30min, place: {placed}}}" for name in assets]
    lines.append("recoveries:")
    steps = ", steps: steps.yaml" if pause else ""
    lines.append(f"  back: {{asset: {assets[0]}, strategy: BACKUP_AND_RESTORE, to: [euw4], approvers: 1{steps}}}")
    if len(assets) > 1:
        lines.append(f"  both: {{group: pair, strategy: BACKUP_AND_RESTORE, to: [euw4], approvers: 1{steps}}}")
        lines.append(f"groups:\n  pair: {{assets: [{', '.join(assets)}]}}")
    (folder / "holdfast.yaml").write_text("\n".join(lines) + "\n")
    (folder / "steps.yaml").write_text(
        "version: 1\nsteps:\n  - {id: owner, kind: human, title: ask the owner, after: [verify], before: [promote],"
        " no_undo: nothing was changed}\n"
    )


@pytest.fixture
def world(terminal: Terminal) -> Terminal:
    _declare(terminal.folder)
    write_checkpoint(terminal.folder / "ckpt", 1, tensors=8)
    terminal.ok("vault", "create", terminal.folder / "use1")
    terminal.ok("key", "export-keeper", "ann", "--vault", terminal.folder / "use1", "--to", "ann.key")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")
    return terminal


def _planned(world: Terminal, as_ann: Callable[..., Any], name: str = "back") -> dict[str, Any]:
    plan = world.json("recover-plan", "recover", "plan", name, "--out", "plan.json")
    as_ann(world.ok, "recover", "approve", "plan.json", "--for", "1h")
    return dict(plan)


def _begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "holdfast.cli.main", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _until_begun(world: Terminal, run: str, step: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2000):
        said = world.run("recover", "status", run, "--json")
        if said.code == 0:
            states = {one["id"]: one["state"] for one in json.loads(said.out)["steps"]}
            if states[step] == "begun":
                return
        assert process.poll() is None, f"it ended: {process.returncode}"
    raise AssertionError(f"{step} was never begun")


def test_a_store_of_the_journal_is_gone_for_good(world: Terminal, as_ann: Callable[..., Any]) -> None:
    """Two stores keep the journal; one burns in mid-run, with the control plane."""
    shutil.rmtree(world.folder / "use1")
    run = _planned(world, as_ann)["run"]
    process = _begin(world.folder, "recover", "run", "plan.json", "--target", "back", "--yes")
    try:
        _until_begun(world, run, "human-owner", process)
    finally:
        process.kill()
        process.wait()
    early = world.run("recover", "approve", run, "--without", "aps1", "--for", "1h")
    assert early.code == 5 and "answers" in early.err
    (world.folder / "aps1").rename(world.folder / "away")
    (world.folder / "aps1").touch()
    stuck = world.run("recover", "adopt", run)
    assert stuck.code == 8 and "--without SITE" in stuck.err
    alone = world.run("recover", "adopt", run, "--without", "aps1")
    assert alone.code == 5 and "nobody else has approved" in alone.err
    assert world.run("recover", "approve", run, "--without", "aps1", "--for", "1h").code == 7  # who asked for it
    agreed = as_ann(world.json, "recover-approve", "recover", "approve", run, "--without", "aps1", "--for", "1h")
    assert agreed["by"] == "ann" and agreed["without"] == "aps1/warm" and agreed["plan"] == ""
    following = _begin(world.folder, "recover", "adopt", run, "--without", "aps1")
    try:
        for _ in range(2000):
            said = world.run("recover", "status", run, "--json")
            if said.code == 0 and json.loads(said.out)["taken"] == 2:
                break
        world.ok("recover", "skip", run, "human-owner", "--reason", "done: the owner agrees")
        assert following.wait(120) == 0
    finally:
        following.kill()
        following.wait()
    done = world.json("recover-run", "recover", "status", run, "--follow")
    assert done["state"] == "PASSED" and done["taken"] == 2 and done["left_out"] == ["aps1/warm"]
    assert (world.folder / "back").is_dir()
    # The lost one is back: it changes nothing.
    (world.folder / "aps1").unlink()
    (world.folder / "away").rename(world.folder / "aps1")
    again = world.json("recover-run", "recover", "status", run)
    assert again["state"] == "PASSED" and again["entries"] == done["entries"]


def test_garbage_in_a_journal_does_not_end_a_run(world: Terminal, as_ann: Callable[..., Any]) -> None:
    _declare(world.folder, pause=False)
    run = _planned(world, as_ann)["run"]
    journals = [world.folder / site / "runs" / run for site in _SITES]
    found = [folder for folder in journals if folder.exists()]
    assert len(found) == 2
    for folder in found:
        (folder / "0000000002").write_bytes(b"rubbish" * 20)
    done = world.json("recover-run", "recover", "run", "plan.json", "--target", "back", "--yes")
    assert done["state"] == "PASSED" and (world.folder / "back").is_dir()
    assert world.json("recover-run", "recover", "status", run)["entries"] == done["entries"]


def test_when_it_happened_and_when_it_was_noticed(world: Terminal) -> None:
    """Both are kept with the plan, and what a rehearsal measured counts for the next plan's RTO."""
    times = ("--fault-at", "2026-01-01T00:00:00Z", "--noticed-at", "2026-01-01T00:05:00Z")
    plan = world.json("recover-plan", "recover", "plan", "llama", "--isolated", "drill", *times, "--out", "plan.json")
    assert plan["fault_at"].startswith("2026-01-01T00:00") and plan["points"][0]["lost_seconds"] == 0
    assert world.json("recover-run", "recover", "run", "plan.json")["state"] == "PASSED"
    [standing] = world.json("objective-status", "objective", "status")["assets"]
    assert standing["standing"]["values"]["drilled"] > 86_400, "from the fault"
    file = json.loads((world.folder / "plan.json").read_text())
    assert file["plan"]["detecting"]["seconds"] == 300 and file["plan"]["detecting"]["source"] == "measured"
    world.ok("recover", "plan", "llama", "--isolated", "other", "--out", "next.json")
    known = json.loads((world.folder / "next.json").read_text())["plan"]["detecting"]
    assert known["seconds"] == 300 and "noticed once in past runs" in known["why"]
    for wrong in (("--noticed-at", "2025-01-01T00:00:00Z"), ("--noticed-at", "2126-01-01T00:00:00Z")):
        refused = world.run("recover", "plan", "llama", "--fault-at", "2026-01-01T00:00:00Z", *wrong)
        assert refused.code == 2 and "noticed" in refused.err


def test_two_run_one_plan_at_the_same_time(world: Terminal, as_ann: Callable[..., Any]) -> None:
    _declare(world.folder, pause=False)
    run = _planned(world, as_ann)["run"]
    both = [
        _begin(world.folder, "recover", "run", "plan.json", "--target", target, "--yes") for target in ("one", "two")
    ]
    codes = sorted(process.wait(120) for process in both)
    assert codes[0] == 0 and codes[1] in (5, 6)
    done = world.json("recover-run", "recover", "status", run)
    assert done["state"] == "PASSED" and [name for name in ("one", "two") if (world.folder / name).exists()]
    assert [step["attempts"] for step in done["steps"]] == [1] * len(done["steps"])


def test_a_plan_in_a_journal_keeps_the_rules(world: Terminal) -> None:
    """A file that says that nobody could write the asset, and fences nothing, is refused wherever it is read."""
    world.ok("recover", "plan", "llama", "--out", "plan.json")
    file = json.loads((world.folder / "plan.json").read_text())
    steps = [step for step in file["plan"]["steps"] if step["kind"] != "fence"]
    for step in steps:
        step["after"] = [name for name in step["after"] if not name.startswith("fence")]
    for writers, code, words in (({"llama": ["use1"]}, 2, "is fenced"), ({}, 5, "RULE_BROKEN")):
        import msgspec

        from holdfast.control.recovering.plan_files import encode_plan_file, plan_file
        from holdfast.recovery.plans import Plan

        plan = msgspec.convert(file["plan"] | {"steps": steps, "writers": writers}, Plan)
        (world.folder / "bad.json").write_bytes(encode_plan_file(plan_file(plan, tuple(file["journal"]))))
        refused = world.run("recover", "review", "bad.json")
        assert refused.code == code and words in refused.out + refused.err


def test_a_group_of_which_one_cannot_be_restored_is_taken_back(world: Terminal, as_ann: Callable[..., Any]) -> None:
    """Two assets to one moment; the second's folder cannot be made: the first is taken back, too."""
    _declare(world.folder, pause=False, assets=("llama", "whale"))
    write_checkpoint(world.folder / "other", 2, tensors=8)
    world.ok("snapshot", "save", "other", "--asset", "whale")
    shutil.copytree(world.folder / "ckpt", world.folder / "first")
    write_checkpoint(world.folder / "ckpt", 3, tensors=8)
    world.ok("snapshot", "save", "ckpt", "--asset", "llama")  # newer than what there is of the other: not taken
    world.ok("site", "sync")
    plan = _planned(world, as_ann, "both")
    assert plan["assets"] == ["llama", "whale"]
    (world.folder / "bad").mkdir()
    (world.folder / "bad" / ".whale.holdfast-run").write_text("{}")  # another's claim, or rubbish
    failed = world.json("recover-run", "recover", "run", "plan.json", "--target", "bad", "--yes", code=1)
    assert failed["state"] == "FAILED" and any("whale" in one for one in failed["failures"])
    assert not (world.folder / "bad" / "llama").exists() and (world.folder / "bad").exists()
    (world.folder / "plan.json").unlink()
    world.ok("site", "rebuild", "use1", "--reason", "it was no fault")
    _planned(world, as_ann, "both")
    done = world.json("recover-run", "recover", "run", "plan.json", "--target", "good", "--yes")
    assert done["state"] == "PASSED"
    for name, source in (("llama", "first"), ("whale", "other")):
        for path in (world.folder / source).rglob("*"):
            if path.is_file():
                there = world.folder / "good" / name / path.relative_to(world.folder / source)
                assert there.read_bytes() == path.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
def test_a_disk_that_is_full_in_mid_restore(world: Terminal) -> None:
    """On a file system of its own, with room for a part of it: it is refused before, or taken back."""
    small = world.folder / "small"
    small.mkdir()
    size = sum(path.stat().st_size for path in (world.folder / "ckpt").rglob("*") if path.is_file())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size // 2}", "none", str(small)], check=True)
    try:
        world.ok("recover", "plan", "llama", "--isolated", str(small / "drill"), "--out", "plan.json")
        checked = world.json("recover-check", "recover", "check", "llama", "--isolated", str(small / "drill"), code=5)
        assert "bytes free" in checked["not_possible"]["restore-llama"]
        failed = world.json("recover-run", "recover", "run", "plan.json", code=1)
        assert failed["state"] == "FAILED" and not failed["not_taken_back"]
        assert any("space" in one or "full" in one for one in failed["failures"]), failed["failures"]
        assert list(small.iterdir()) == [], "what was begun is gone, the claim, too"
    finally:
        subprocess.run(["umount", str(small)], check=True)
