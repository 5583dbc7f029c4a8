"""`holdfast watch`: in this process with `--once`, as a process of its own where signals matter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, checked, write_checkpoint

_QUICK = ("--settle", "50ms", "--interval", "20ms")


def _checkpoint(terminal: Terminal, step: int, *, bad: bool = False) -> Path:
    """One of the Hugging Face trainer, complete."""
    folder = terminal.folder / f"runs/checkpoint-{step}"
    write_checkpoint(folder, step, bad=bad)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def _events(out: str) -> list[Any]:
    return [checked("watch", line) for line in out.splitlines()]


def test_once_protects_what_is_complete_and_copies_it(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal, 5)
    said = terminal.ok("watch", "runs", "--asset", "llama", "--once", "--replicate-to", "site-b", *_QUICK)
    assert "protected checkpoint-5 (step 5) as " in said.out
    assert f"copied to {terminal.folder / 'site-b'}" in " ".join(said.out.split())
    assert "validated" in said.out
    assert said.last.startswith("watched runs: 1 checkpoint protected, in ")
    terminal.ok("restore", "llama@step=5", "out", "--vault", "site-b")
    again = terminal.ok("watch", "runs", "--asset", "llama", "--once", *_QUICK)
    assert again.out == ""
    assert again.last.startswith("watched runs: 0 checkpoints protected, in ")


def test_events_as_json_lines_follow_their_schema(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal, 5)
    (terminal.folder / "runs/checkpoint-6").mkdir()
    (terminal.folder / "runs/checkpoint-6/model.safetensors").write_bytes(b"half")
    said = terminal.ok("watch", "runs", "--asset", "llama", "--once", "--replicate-to", "site-b", "--json", *_QUICK)
    events = _events(said.out)
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "stopped"
    assert {"found", "waiting", "protecting", "protected"} <= set(kinds)
    [protected] = [event for event in events if event["event"] == "protected"]
    assert protected["checkpoint"] == {"path": "checkpoint-5", "step": 5, "framework": "huggingface"}
    assert protected["validated"] is True
    assert [copy["error"] for copy in protected["copies"]] == [""]
    assert events[-1]["protected"] == ["checkpoint-5"]
    assert events[-1]["waiting"] == ["checkpoint-6"]
    shown = terminal.json("snapshot-show", "snapshot", "show", protected["snapshot"])
    assert shown["snapshot"]["step"] == 5
    assert shown["meta"]["checkpoint"] == "checkpoint-5"


def test_findings_are_warned_of_and_a_refusing_policy_fails(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal, 5, bad=True)
    said = terminal.run("watch", "runs", "--asset", "llama", "--once", "--policy", "refuse", *_QUICK)
    assert said.code == 5
    assert "could not save checkpoint-5" in said.err
    warned = terminal.ok("watch", "runs", "--asset", "llama", "--once", *_QUICK)
    assert "warning: non-finite: model.safetensors: layers.1.weight" in warned.err
    assert "warned" in warned.out
    assert terminal.run("watch", "runs", "--asset", "a", "--once", "--policy", "hope").code == 2


def test_a_site_that_cannot_be_written_is_told_and_ends_with_1(terminal: Terminal, vault: Path) -> None:
    _checkpoint(terminal, 5)
    terminal.ok("vault", "create", "elsewhere")
    said = terminal.run("watch", "runs", "--asset", "llama", "--once", "--replicate-to", "elsewhere", *_QUICK)
    assert said.code == 1
    assert "warning: not copied to" in said.err
    assert "holds another vault" in said.err
    terminal.ok("snapshot", "verify", "llama@step=5")


def test_a_writers_key_protects_and_mirrors(terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    _checkpoint(terminal, 5)
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "gpu-1.key"))
    terminal.ok("watch", "runs", "--asset", "llama", "--once", "--replicate-to", "site-b", *_QUICK)
    monkeypatch.delenv("HOLDFAST_KEY_FILE")
    terminal.ok("restore", "llama@step=5", "out", "--vault", "site-b")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere", "--once"], 3),
        (["runs", "--once", "--interval", "soon"], 2),
        (["runs", "--once", "--interval", "0s"], 2),
        (["runs", "--once", "--replicate-to", "ftp://x/y"], 2),
    ],
)
def test_what_makes_no_sense(terminal: Terminal, vault: Path, arguments: list[str], code: int) -> None:
    (terminal.folder / "runs").mkdir()
    assert terminal.run("watch", *arguments, "--asset", "llama").code == code


def _wait_for(lines: Path, event: str, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in lines.read_text().splitlines():
            found = json.loads(line)
            if found["event"] == event:
                return found
        time.sleep(0.02)
    raise AssertionError(f"no {event} within {seconds} s: {lines.read_text()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_an_orderly_way(terminal: Terminal, vault: Path, number: signal.Signals) -> None:
    out = terminal.folder / "out.jsonl"
    (terminal.folder / "runs").mkdir()
    command = [sys.executable, "-m", "holdfast.cli.main", "watch", "runs", "--asset", "llama", "--json", *_QUICK]
    with out.open("wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, env=dict(os.environ))
        try:
            _checkpoint(terminal, 7)
            _wait_for(out, "protected")
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, err
    assert _events(out.read_text())[-1]["event"] == "stopped"
    assert err.decode().splitlines()[-1].startswith("watched runs: 1 checkpoint protected, in ")


def test_what_vanishes_before_it_is_saved_is_told(terminal: Terminal, vault: Path) -> None:
    folder = _checkpoint(terminal, 8)
    state = terminal.folder / "runs"
    out = terminal.folder / "out.jsonl"
    command = [sys.executable, "-m", "holdfast.cli.main", "watch", state, "--asset", "llama", "--json"]
    with out.open("wb") as stdout:
        process = subprocess.Popen([*command, "--settle", "1h", "--interval", "20ms"], stdout=stdout)
        try:
            _wait_for(out, "waiting")
            shutil.rmtree(folder)
            assert _wait_for(out, "vanished")["checkpoint"]["path"] == "checkpoint-8"
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
