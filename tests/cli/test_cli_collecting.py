"""`vault collect`: what a person sees of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from terminal import Terminal


def test_where_nobody_can_be_asked_nothing_is_deleted(
    terminal: Terminal, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = terminal.run("vault", "collect", vault, "--no-waiting")
    assert said.code == 5 and "fault in holdfast" not in said.err
    assert "not collected" in said.err and "--yes" in said.err
    terminal.ok("vault", "collect", vault, "--no-waiting", "--yes")


def test_what_is_given_up_in_vain_is_told(terminal: Terminal, vault: Path) -> None:
    record = terminal.json("vault-collect", "vault", "collect", vault, "--give-up", "snapshots/mistyped")
    assert record["notes"] == ["snapshots/mistyped was not given up: it can be read, or is not there"]
