"""A small vault in memory, whose clock and contents the tests choose."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.records import Root

MakeSnapshot = Callable[..., Root]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), encrypted=False, clock=clock)


@pytest.fixture
def make_snapshot(trial: TrialVault, clock: ManualClock, tmp_path: Path) -> MakeSnapshot:
    """Saves another snapshot, an hour after the one before; its content is as old as itself. A bad one is empty."""
    number = 0

    def make(asset: str = "llama", *, bad: bool = False, **options: object) -> Root:
        nonlocal number
        number += 1
        clock.sleep(3600)
        path = tmp_path / ("weights.npy" if bad else "state.txt")
        path.write_bytes(b"" if bad else f"state {number}".encode())
        os.utime(path, ns=(0, clock.now_ns() // NANOSECONDS * NANOSECONDS))
        return trial.open().save(asset, path, **options).root  # type: ignore[arg-type] # options of `save`

    return make
