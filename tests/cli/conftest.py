"""A terminal with a home of its own: no test sees or touches the keys and memories of whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

_UNSET = ("HOLDFAST_VAULT", "HOLDFAST_DEBUG", "NO_COLOR")
_UNSET += ("HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE", "HOLDFAST_KEY_SHARES", "HOLDFAST_KEEPER")


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in _UNSET:
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Terminal(work, capsys)


@pytest.fixture
def vault(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new vault, which HOLDFAST_VAULT names."""
    place = terminal.folder / "vault"
    terminal.ok("vault", "create", place)
    monkeypatch.setenv("HOLDFAST_VAULT", str(place))
    return place


@pytest.fixture
def as_ann(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a call as somebody else, whose key lies in the folder: `as_ann(terminal.ok, …)`."""

    def run(call: Callable[..., Any], *arguments: str | Path, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setenv("HOLDFAST_KEY_FILE", str(Path.cwd() / "ann.key"))
            return call(*arguments, **options)

    return run
