"""Snapshots that are set aside: where the pointers go, what moves them back, and who may do it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import CredentialError, NotFoundError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.snapshots.quarantine import DEMOTED, QUARANTINED, fallback_of, is_set_aside, mark_of, set_aside


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    """An encrypted one: only there reading and writing are told apart."""
    return new_trial_vault(MemoryStore(clock), clock=clock)


def pointed(trial: TrialVault, name: str) -> str:
    ref = trial.open().tags("llama").get(name)
    return ref.target if ref is not None else ""


def test_the_pointers_go_back_to_the_good_one_before(trial: TrialVault, make_snapshot: Any) -> None:
    _, good, bad = make_snapshot(), make_snapshot(), make_snapshot()
    done = trial.open().quarantine("llama", "diverged")
    assert (done.snapshot, dict(done.moves)) == (bad.id, {"validated": good.id, "latest": good.id})
    assert pointed(trial, "validated") == pointed(trial, "latest") == good.id
    mark = trial.open().quarantined("llama")[bad.id]
    assert (mark.kind, mark.reason) == (QUARANTINED, "diverged")
    assert "diverged" in trial.open().tags("llama")["validated"].reason
    assert trial.open().tags("llama")["validated"].check is not None, "the proof goes with it"
    assert trial.open().find(bad.id).id == bad.id
    check_is_clean(trial.open())


def test_two_bad_ones_in_a_row(trial: TrialVault, make_snapshot: Any) -> None:
    good, worse, bad = make_snapshot(), make_snapshot(), make_snapshot()
    trial.open().quarantine(worse.id, "diverging")
    assert pointed(trial, "validated") == bad.id
    trial.open().quarantine(bad.id, "diverged")
    assert pointed(trial, "validated") == good.id


def test_when_there_is_no_other_the_pointer_leads_nowhere(trial: TrialVault, make_snapshot: Any) -> None:
    bad = make_snapshot()
    assert dict(trial.open().quarantine(bad.id, "garbage").moves) == {"validated": "", "latest": ""}
    with pytest.raises(NotFoundError):
        trial.open().find("llama@validated")


def test_nothing_moves_validated_to_it_but_accepting_it(trial: TrialVault, make_snapshot: Any) -> None:
    good, bad = make_snapshot(), make_snapshot()
    trial.open().quarantine(bad.id, "diverged")
    assert not trial.open().verify(bad.id).validated
    assert pointed(trial, "validated") == good.id
    assert trial.open().verify(bad.id, accept_findings=True).validated
    assert pointed(trial, "validated") == bad.id
    assert trial.open().quarantined("llama") == {}, "accepting it releases it"


def test_released_it_is_verified_like_any_other(trial: TrialVault, make_snapshot: Any) -> None:
    good, bad = make_snapshot(), make_snapshot()
    trial.open().quarantine(bad.id, "a mistake")
    done = trial.open().release(bad.id)
    assert done.mark is not None and done.mark.reason == "a mistake"
    assert pointed(trial, "validated") == good.id, "releasing alone proves nothing"
    assert trial.open().verify(bad.id).validated
    with pytest.raises(NotFoundError, match="not set aside"):
        trial.open().release(bad.id)


def test_the_next_good_save_takes_the_pointers_on(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    bad = make_snapshot()
    trial.open().quarantine(bad.id, "diverged")
    new = make_snapshot()
    assert pointed(trial, "validated") == pointed(trial, "latest") == new.id


def test_a_pointer_to_what_was_set_aside_blocks_nothing(trial: TrialVault, make_snapshot: Any) -> None:
    """A program that knows no marks, or one that raced, has put `validated` back to the bad one."""
    old, bad = make_snapshot(), make_snapshot()
    vault = trial.open()
    set_aside(vault.handle, "llama", bad.id, "diverged")
    from holdfast.vault.snapshots.refs import move_ref

    move_ref(vault.handle, "llama", "validated", bad.id, "read back")
    assert trial.open().verify(old.id).validated, "older content, but the newer does not count"
    assert pointed(trial, "validated") == old.id


def test_demoted_only_validated_leaves_it(trial: TrialVault, make_snapshot: Any) -> None:
    good, looping = make_snapshot(), make_snapshot()
    handle = trial.open().handle
    assert dict(set_aside(handle, "llama", looping.id, "loop", DEMOTED).moves) == {"validated": good.id}
    assert pointed(trial, "latest") == looping.id
    assert is_set_aside(handle, "llama", looping.id, "validated")
    assert not is_set_aside(handle, "llama", looping.id, "latest")
    mark = mark_of(handle, "llama", looping.id)
    assert mark is not None and (mark.kind, mark.reason) == (DEMOTED, "loop")


def test_the_fallback_is_there_and_good(trial: TrialVault, make_snapshot: Any) -> None:
    first, gone, newest = make_snapshot(), make_snapshot(), make_snapshot()
    vault = trial.open()
    vault.apply_drop(vault.plan_drop(gone.id))
    found = fallback_of(vault.handle, "llama", "validated", newest.id)
    assert found is not None and found.target == first.id


def test_a_writer_marks_and_a_reader_does_not(trial: TrialVault, make_snapshot: Any) -> None:
    good, bad = make_snapshot(), make_snapshot()
    keeper = trial.open().handle
    writer = trial.open(admit_writer(keeper, "trainer", keep=lambda credential: None))
    reader = trial.open(admit_reader(keeper, "auditor", keep=lambda credential: None))
    with pytest.raises(CredentialError):
        reader.quarantine(bad.id, "diverged")
    with pytest.raises(UsageError, match="cannot look up"):
        writer.quarantine(bad.id[:10], "diverged")
    writer.quarantine(f"llama@{bad.id}", "diverged")
    assert set(reader.quarantined("llama")) == {bad.id}
    assert good.id not in reader.quarantined("llama")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[2J"])
def test_a_reason_is_a_line_of_text(trial: TrialVault, make_snapshot: Any, reason: str) -> None:
    bad = make_snapshot()
    with pytest.raises(UsageError):
        trial.open().quarantine(bad.id, reason)
    assert trial.open().quarantined("llama") == {}


def test_names_of_marks_cannot_be_tags(trial: TrialVault, make_snapshot: Any) -> None:
    made = make_snapshot()
    with pytest.raises(UsageError, match="cannot be a tag"):
        trial.open().tag(made.id, f"!quarantine/{made.id}")
