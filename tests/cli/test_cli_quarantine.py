"""`snapshot quarantine`, `release`, and metrics: transcripts, JSON, exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint


@pytest.fixture
def history(terminal: Terminal, vault: Path) -> list[str]:
    saved = []
    for step in (100, 200):
        write_checkpoint(terminal.folder / "ckpt", step)
        arguments = ["snapshot", "save", "ckpt", "--asset", "llama", "--step", str(step), "--metric", "loss=1.5"]
        saved.append(terminal.json("snapshot-save", *arguments)["snapshot"]["id"])
    return saved


def test_quarantine_and_release(terminal: Terminal, history: list[str]) -> None:
    said = terminal.ok("snapshot", "quarantine", "llama", "--reason", "diverged")
    assert said.fact("reason") == "diverged"
    assert f"validated to {history[0]}" in said.fact("moves")
    assert said.last.startswith(f"quarantined {history[1]} in ")
    listed = terminal.ok("snapshot", "list").out.splitlines()
    assert listed[1].endswith("latest, validated") and listed[2].endswith("  quarantined")
    assert terminal.ok("snapshot", "show", history[1]).fact("set aside") == "quarantined: diverged"
    assert terminal.json("snapshot-show", "snapshot", "show", "llama@validated")["snapshot"]["id"] == history[0]
    released = terminal.json("snapshot-release", "snapshot", "release", history[1])
    assert released["was"] == "quarantined: diverged"
    assert terminal.json("snapshot-verify", "snapshot", "verify", history[1])["validated"] is True


def test_quarantine_as_json(terminal: Terminal, history: list[str]) -> None:
    done = terminal.json("snapshot-quarantine", "snapshot", "quarantine", history[1], "--reason", "diverged")
    assert done["moves"] == {"validated": history[0], "latest": history[0]}
    done = terminal.json("snapshot-quarantine", "snapshot", "quarantine", history[0], "--reason", "this one too")
    assert done["moves"] == {"validated": None, "latest": None}


def test_what_cannot_be_quarantined_or_released(terminal: Terminal, history: list[str]) -> None:
    assert terminal.run("snapshot", "quarantine", "nothing", "--reason", "x").code == 3
    assert terminal.run("snapshot", "quarantine", "llama").code == 2
    assert terminal.run("snapshot", "quarantine", "llama", "--reason", " ").code == 2
    assert terminal.run("snapshot", "release", "llama").code == 3


def test_metrics(terminal: Terminal, history: list[str]) -> None:
    show: Any = terminal.json("snapshot-show", "snapshot", "show", "llama")
    assert show["meta"]["metric.loss"] == "1.5"
    for wrong in ("loss", "loss=", "loss=high", "=5", "a b=1"):
        assert terminal.run("snapshot", "save", "ckpt", "--asset", "llama", "--metric", wrong).code == 2, wrong
    bad = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama", "--metric", "loss=nan")
    assert [one["check"] for one in bad["findings"]] == ["metric-outlier"]
