"""`holdfast retention` and holds: transcripts, JSON, exit codes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

POLICY = """\
version: 1
recent: 0s
rules:
  - assets: llama
    keep: {last: 3}
    components:
      optimizer: {last: 1}
"""
DAY = 86_400


@pytest.fixture
def history(terminal: Terminal, vault: Path) -> list[str]:
    """Five snapshots of `llama`, a day apart."""
    (terminal.folder / "policy.yaml").write_text(POLICY)
    saved = []
    for number in range(5):
        write_checkpoint(terminal.folder / "ckpt", number)
        time = 1_700_000_000 + number * DAY
        for path in (terminal.folder / "ckpt").rglob("*"):
            os.utime(path, (time, time), follow_symlinks=False)
        os.utime(terminal.folder / "ckpt", (time, time))
        arguments = ["snapshot", "save", "ckpt", "--asset", "llama", "--step", str(number)]
        saved.append(terminal.json("snapshot-save", *arguments)["snapshot"]["id"])
    return saved


def listed(terminal: Terminal) -> dict[str, Any]:
    return {one["id"]: one for one in terminal.json("snapshot-list", "snapshot", "list")["snapshots"]}


def test_plan_and_apply(terminal: Terminal, history: list[str]) -> None:
    planned = terminal.ok("retention", "plan", "--policy", "policy.yaml", "--out", "plan.json")
    lines = planned.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["SNAPSHOT", "ASSET", "CONTENT", "ACTION", "WHY"]
    assert [line.split()[0] for line in lines[1:6]] == [one[:12] for one in history]
    assert [next(word for word in line.split() if word in ("keep", "thin", "drop")) for line in lines[1:6]] == [
        "drop", "drop", "thin", "thin", "keep"
    ]  # fmt: skip
    assert planned.fact("keep") == "1 snapshot" and planned.fact("drop") == "2 snapshots"
    assert "5 to 3 snapshots" in planned.fact("llama") and "still reads" in planned.fact("llama")
    assert list(listed(terminal)) == history
    applied = terminal.ok("retention", "apply", "plan.json")
    assert applied.fact("dropped") == "2 snapshots" and applied.fact("thinned") == "2 snapshots"
    now = listed(terminal)
    assert {name: one["thinned"] for name, one in now.items()} == {
        history[2]: ["optimizer"], history[3]: ["optimizer"], history[4]: []
    }  # fmt: skip
    assert now[history[2]]["bytes"] < now[history[4]]["bytes"]
    assert "thinned: optimizer" in terminal.ok("snapshot", "list").out
    assert terminal.ok("snapshot", "show", history[2]).fact("thinned").startswith("without optimizer")
    again = terminal.json("retention-apply", "retention", "apply", "plan.json")
    assert (again["dropped"], again["thinned"], again["before"]) == ([], [], 4)


def test_restoring_tells_what_is_not_there(terminal: Terminal, history: list[str]) -> None:
    terminal.ok("retention", "apply", "--policy", "policy.yaml", "--yes")
    said = terminal.ok("restore", history[3], "out")
    assert said.fact("not there") == "optimizer: given up by retention"
    assert "no longer has optimizer" in said.err
    assert not (terminal.folder / "out/optimizer.safetensors").exists()
    assert terminal.json("restore", "restore", history[4], "whole")["given_up"] == []
    assert terminal.json("restore", "restore", history[3], "dry", "--dry-run")["given_up"] == ["optimizer"]


def test_plan_as_json_adds_up(terminal: Terminal, history: list[str]) -> None:
    plan = terminal.json("retention-plan", "retention", "plan", "--policy", "policy.yaml")
    assert [one["action"] for one in plan["decisions"]] == ["drop", "drop", "thin", "thin", "keep"]
    assert (plan["kept"], plan["thinned"], plan["dropped"]) == (1, 2, 2)
    assert all(one["reasons"] for one in plan["decisions"])
    assert plan["effects"][0]["after"]["snapshots"] == 3
    assert plan["plan"] is None and plan["freed_packs"] >= 1


def test_holds(terminal: Terminal, history: list[str]) -> None:
    held = terminal.json("snapshot-hold", "snapshot", "hold", history[0], "--reason", "audit", "--until", "30d")
    assert held["snapshot"] == history[0] and held["until"] is not None
    assert listed(terminal)[history[0]]["pointers"] == ["held"]
    plan = terminal.json("retention-plan", "retention", "plan", "--policy", "policy.yaml")
    assert plan["decisions"][0]["action"] == "keep" and plan["decisions"][0]["reasons"] == ["held: audit"]
    assert terminal.run("snapshot", "drop", history[0]).code == 5
    assert terminal.json("snapshot-unhold", "snapshot", "unhold", history[0])["reason"] == "audit"
    assert terminal.run("snapshot", "unhold", history[0]).code == 3
    assert terminal.ok("snapshot", "hold", "llama@step=1", "--reason", "x").fact("until") == "somebody ends it"
    for until in ("soon", "2020-01-01T00:00Z"):
        assert terminal.run("snapshot", "hold", history[0], "--reason", "x", "--until", until).code == 2


def test_what_is_refused(terminal: Terminal, history: list[str]) -> None:
    (terminal.folder / "bad.yaml").write_text(POLICY.replace("last: 1", "lost: 1"))
    bad = terminal.run("retention", "plan", "--policy", "bad.yaml")
    assert bad.code == 2 and "bad.yaml, line 7: a keep has no `lost`; did you mean `last`?" in bad.err
    assert terminal.run("retention", "plan", "--policy", "none.yaml").code == 3
    assert terminal.run("retention", "apply", "--policy", "policy.yaml").code == 2
    assert terminal.run("retention", "apply").code == 2
    assert terminal.run("retention", "apply", "policy.yaml").code == 2
    terminal.ok("retention", "plan", "--policy", "policy.yaml", "--out", "plan.json")
    terminal.ok("snapshot", "tag", history[0], "precious")
    late = terminal.run("retention", "apply", "plan.json")
    assert late.code == 6 and "not applied" in late.err
    assert list(listed(terminal)) == history
