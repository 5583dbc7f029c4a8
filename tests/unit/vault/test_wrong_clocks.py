"""Writers whose clocks differ by far: the pointers go on, and nothing is found by a time that never was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.testing.workspace import TrialVault
from holdfast.vault.format.records import Root

YEAR = 365 * 86400 * NANOSECONDS


@pytest.fixture
def ahead(trial: TrialVault, clock: ManualClock, tmp_path: Path, make_snapshot: Any) -> Root:
    """Saved, after another one, by a machine whose clock is a year ahead. The store's is right."""
    make_snapshot()
    clock.sleep(3600)
    wrong = ManualClock(clock.now_ns() + YEAR)
    path = tmp_path / "state.txt"
    path.write_bytes(b"of next year")
    os.utime(path, ns=(0, wrong.now_ns() // NANOSECONDS * NANOSECONDS))
    return TrialVault(trial.store, trial.keeper, wrong).open().save("llama", path).root


def test_what_claims_to_be_of_next_year_does_not_hold_the_pointers(
    trial: TrialVault, ahead: Root, make_snapshot: Any
) -> None:
    assert trial.open().find("llama@validated") == ahead, "it is the newest all the same"
    after = make_snapshot()
    assert trial.open().find("llama@validated") == trial.open().find("llama@latest") == after


def test_nor_does_a_later_save_of_older_content_take_them(
    trial: TrialVault, ahead: Root, tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes(b"an older state, saved late")
    os.utime(path, ns=(0, clock.now_ns() - 10 * 3600 * NANOSECONDS))
    clock.sleep(60)
    trial.open().save("llama", path)
    assert trial.open().find("llama@latest") == ahead
