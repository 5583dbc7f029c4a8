"""What people do to a snapshot of many ranks stays done, whoever looks after its save later; and what does not fit."""

from __future__ import annotations

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError, DamageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.training.committing import settling
from holdfast.training.committing.settling import settle_saves
from holdfast.training.committing.terms import derived_terms
from holdfast.vault.saving import announcing, assembling
from holdfast.vault.snapshots.quarantine import set_aside
from holdfast.vault.snapshots.refs import move_ref, read_newest_ref

from .rank_worlds import ASSET, Ranks


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), clock=clock)


@pytest.fixture
def ranks(trial: TrialVault) -> Ranks:
    return Ranks(trial, 2)


def pointed(trial: TrialVault, name: str) -> str:
    ref = read_newest_ref(trial.open().handle, ASSET, name)
    return "" if ref is None else ref.target


def test_what_was_set_aside_and_tagged_anew_stays_so(trial: TrialVault, ranks: Ranks, clock: ManualClock) -> None:
    first = ranks.all_announced(1)[0].finish(10).snapshot
    clock.sleep(5)
    second = ranks.all_announced(2, tags=("best",))[0].finish(10).snapshot
    clock.sleep(5)
    assert pointed(trial, "latest") == pointed(trial, "best") == second
    handle = trial.open().handle
    set_aside(handle, ASSET, second, "poisoned")
    move_ref(handle, ASSET, "best", first, "a person says so")
    assert settle_saves(trial.open()) == []
    assert {pointed(trial, name) for name in ("latest", "validated", "best")} == {first}


def test_a_tag_that_somebody_moved_stays_where_the_pointers_are_moved_late(
    trial: TrialVault, ranks: Ranks, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ranks.all_announced(1)[0].finish(10).snapshot
    clock.sleep(5)
    saves = ranks.all_announced(2, tags=("best", "new"))
    with monkeypatch.context() as dying:
        dying.setattr(assembling, "_point", _die)
        with pytest.raises(KeyboardInterrupt):
            saves[0].look()
    clock.sleep(5)
    move_ref(trial.open().handle, ASSET, "best", first, "a person says so")
    clock.sleep(5)
    settle_saves(trial.open())
    assert pointed(trial, "best") == first
    assert pointed(trial, "latest") == pointed(trial, "new") != first


def test_a_save_that_is_settled_is_not_an_operation_again(
    trial: TrialVault, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the audit log would say of every load that it saved something."""
    ranks.all_announced(1)[0].finish(10)
    monkeypatch.setattr(settling, "assemble_on", _die)
    assert settle_saves(trial.open()) == []


def test_announcements_that_unpack_to_too_much_are_left_alone(
    trial: TrialVault, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = ranks.all_announced(1)
    monkeypatch.setattr(announcing, "_RECORDS_BYTES_MAX", 1000)
    with pytest.raises(DamageError, match="too large together"):
        saves[0].look()
    notes = NoteTaker()
    assert settle_saves(trial.open(progress=notes)) == []
    assert any("too large together" in note for note in notes.notes)


def test_runs_that_save_the_same_step_are_never_mixed(trial: TrialVault, ranks: Ranks) -> None:
    """The first one died when rank 0 had announced. Without a nonce the second one's rank 1 would complete it."""
    signer = trial.open().handle.keys.require_writer("saving")
    before, now = ([derived_terms(signer, ASSET, 9, rank, 2, nonce=run) for rank in (0, 1)] for run in ("a", "b"))
    ranks.announced(before[0], 9)
    with pytest.raises(ConflictError):
        ranks.announced(before[0], 9)
    late = ranks.announced(now[1], 9)
    assert late.look() is None
    ranks.announced(now[0], 9)
    assert late.look() is not None


def _die(*_arguments: object, **_named: object) -> None:
    raise KeyboardInterrupt
