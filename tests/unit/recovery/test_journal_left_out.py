"""Journals of which a store is gone for good, and journals with places that hold what is nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_run_journal import Flaky, Signed

from holdfast.clock import ManualClock
from holdfast.errors import (
    ConflictError,
    DamageError,
    HoldfastError,
    RefusedError,
    StoreUnreachableError,
    UntrustedError,
)
from holdfast.recovery.journal.entries import Deed, VoidError
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.leaving import LeavingOut, approval_facts, approval_name, encode_leaving_out

NAMES = ("a/warm", "b/warm", "c/warm")


class Voiding(Signed):
    """What begins with that word is no document, whoever reads it."""

    def open(self, name: str, data: bytes) -> bytes:
        if data.startswith(b"void "):
            raise VoidError(f"{name} is no document")
        return super().open(name, data)


@pytest.fixture
def stores() -> list[Flaky]:
    return [Flaky(name=name) for name in "abc"]


@pytest.fixture
def seal() -> Voiding:
    return Voiding()


def journal_at(stores: list[Flaky], seal: Signed, by: str) -> Journal:
    return Journal("r1", stores, seal, by, ManualClock(), NAMES[: len(stores)])


def started(stores: list[Flaky], seal: Signed) -> Journal:
    journal = journal_at(stores, seal, "plane:1")
    journal.append(Deed.PLANNED, plan='{"steps": []}')
    journal.append(Deed.TAKEN)
    return journal


def leave_out(journal: Journal, seal: Signed, lost: str, *, by: str = "ann", **altered: Any) -> Journal:
    """What `control.recovering.leaving_out` does; the one that goes on speaks as bela."""
    left = journal.left_with(lost)
    left.by = "bela"
    left.read()
    number, before = left.head
    approval = LeavingOut(run="r1", number=number, before=before, store=lost, by=by, at=0, until=1 << 62)
    approval = replace(approval, **altered)
    sealed = seal.seal(approval_name("r1", number, lost, by), encode_leaving_out(approval))
    left.append(Deed.WITHOUT, text=lost, facts=approval_facts(sealed, by))
    return left


@pytest.mark.parametrize("lost", [0, 1])
def test_of_two_stores_either_may_be_gone(stores: list[Flaky], seal: Voiding, lost: int) -> None:
    """The control plane that had the run reaches both, believes, and changes nothing once the run was taken."""
    two = stores[:2]
    believer = started(two, seal)
    two[lost].trouble = "silent"
    with pytest.raises(StoreUnreachableError):
        believer.append(Deed.BEGUN, step="x")
    adopter = leave_out(believer, seal, NAMES[lost]).spoken_by("plane:2")
    adopter.append(Deed.TAKEN)
    adopter.append(Deed.DONE, step="x")
    assert adopter.names == (NAMES[1 - lost],) and adopter.state.left_out == (NAMES[lost],)

    anybody = journal_at(two, seal, "x")
    assert anybody.read().owner == "plane:2", "while it is silent"
    two[lost].trouble = ""
    with pytest.raises(RefusedError, match="plane:2 has the run"):
        believer.append(Deed.DONE, step="x")
    assert journal_at(two, seal, "x").read().done == ("x",), "and when it is back"
    adopter.append(Deed.ENDED, text="PASSED")
    assert journal_at(two, seal, "x").read().verdict == "PASSED"
    two[1 - lost].trouble = "silent"
    with pytest.raises(StoreUnreachableError):
        journal_at(two, seal, "plane:3").read()  # the lost one alone decides nothing, though it has a part of it


def test_what_the_lost_one_alone_had_counts_for_nothing(stores: list[Flaky], seal: Voiding) -> None:
    two = stores[:2]
    believer = started(two, seal)
    two[1].trouble = "silent"
    with pytest.raises(StoreUnreachableError):
        believer.append(Deed.ENDED, text="FAILED")  # it is at the first, and nowhere else
    two[0].trouble, two[1].trouble = "silent", ""
    adopter = leave_out(journal_at(two, seal, "bela"), seal, NAMES[0]).spoken_by("plane:2")
    adopter.append(Deed.TAKEN)
    two[0].trouble = ""
    for reader in (believer, journal_at(two, seal, "x")):
        assert reader.read().owner == "plane:2" and not reader.state.verdict


def test_of_three_two_after_each_other(stores: list[Flaky], seal: Voiding) -> None:
    believer = started(stores, seal)
    stores[0].trouble = "silent"
    first = leave_out(believer, seal, NAMES[0])
    assert first.names == NAMES[1:]
    stores[2].trouble = "silent"
    second = leave_out(first, seal, NAMES[2]).spoken_by("plane:2")
    second.append(Deed.TAKEN)
    assert second.names == (NAMES[1],)
    assert journal_at(stores, seal, "x").read().owner == "plane:2"
    stores[0].trouble = stores[2].trouble = ""
    with pytest.raises(RefusedError, match="plane:2"):
        believer.append(Deed.DONE, step="x")
    late = journal_at(stores, seal, "x")
    assert late.read().left_out == (NAMES[0], NAMES[2]) and late.names == (NAMES[1],)


def test_two_sides_that_say_it_of_each_other(stores: list[Flaky], seal: Voiding) -> None:
    two = stores[:2]
    started(two, seal)
    for lost in (0, 1):
        two[lost].trouble, two[1 - lost].trouble = "silent", ""
        leave_out(journal_at(two, seal, "bela"), seal, NAMES[lost])
    two[0].trouble = two[1].trouble = ""
    with pytest.raises(DamageError, match="each is said, at the other, to be gone"):
        journal_at(two, seal, "x").read()


@pytest.mark.parametrize(
    "altered",
    [
        {"by": "bela"},
        {"number": 3},
        {"before": "1" * 64},
        {"store": "c/warm"},
        {"run": "r2"},
        {"until": 0},
        {"at": 1 << 61},
    ],
)
def test_approvals_that_are_none(stores: list[Flaky], seal: Voiding, altered: dict[str, Any]) -> None:
    """Its own, of another moment, store or run, or over: the entry counts for nothing, and nobody goes on by it."""
    two = stores[:2]
    started(two, seal)
    two[1].trouble = "silent"
    by = str(altered.pop("by", "ann"))
    left = leave_out(journal_at(two, seal, "bela"), seal, NAMES[1], by=by, **altered)
    assert left.state.left_out == (NAMES[1],), "it is said"
    with pytest.raises(StoreUnreachableError):
        journal_at(two, seal, "x").read()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0, 1]),
    st.lists(st.sampled_from(["believer", "adopter", "reader", "lose", "back", "leave"]), min_size=4, max_size=14),
)
def test_whatever_happens_nobody_undoes_what_was_read(lost: int, acts: list[str]) -> None:
    """What anybody has read of the journal is the beginning of what everybody reads later."""
    stores, seal = [Flaky(name=name) for name in "ab"], Voiding()
    believer, adopter, left_out = started(stores, seal), journal_at(stores, seal, "plane:2"), False
    read: list[bytes] = []
    for act in acts:
        reader = journal_at(stores, seal, "x")
        try:
            if act in ("lose", "back"):
                stores[lost].trouble = "silent" if act == "lose" else ""
            elif act == "believer":
                believer.append(Deed.BEGUN, step="x")
            elif act == "adopter" and left_out:
                adopter.append(Deed.TAKEN if adopter.state.owner != "plane:2" else Deed.DONE, step="x")
            elif act == "leave" and not left_out and stores[lost].trouble:
                adopter = leave_out(journal_at(stores, seal, "bela"), seal, NAMES[lost]).spoken_by("plane:2")
                left_out = True
            reader.read()
        except (StoreUnreachableError, RefusedError):
            continue
        now = [one.data for one in reader.stored]
        assert now[: len(read)] == read
        read = now


def test_a_void_is_gone_past(stores: list[Flaky], seal: Voiding) -> None:
    """Garbage at a majority, or at all; also in the first place, and where a store has something else."""
    for store in stores:
        store.create("runs/r1/0000000000", b"void garbage")
    journal = started(stores, seal)
    for number, store in enumerate(stores):
        store.create("runs/r1/0000000003", b"void other" if number == 2 else b"void same")
    journal.append(Deed.BEGUN, step="x")
    assert [one.entry is None for one in journal.stored] == [True, False, False, True, False]
    other = journal_at(stores, seal, "plane:2")
    other.read()
    assert [one.data for one in other.stored] == [one.data for one in journal.stored]
    other.append(Deed.TAKEN)
    with pytest.raises(RefusedError):
        journal.append(Deed.DONE, step="x")


def test_what_is_signed_and_wrong_stays_loud(stores: list[Flaky], seal: Voiding) -> None:
    journal = started(stores, seal)
    forged = Signed().seal("runs/r1/0000000002", b"{}")
    for store in stores:
        store.create("runs/r1/0000000002", forged)
    with pytest.raises(UntrustedError):
        journal.append(Deed.BEGUN, step="x")
    again = [Flaky(name=name) for name in "de"]
    nonsense = seal.seal("runs/r1/0000000000", b'{"deed":"planned"}')
    for store in again:
        store.create("runs/r1/0000000000", nonsense)
    with pytest.raises(HoldfastError, match="no entry"):
        journal_at(again, seal, "x").read()


def test_garbage_where_a_store_is_gone_is_not_decided_without_it(stores: list[Flaky], seal: Voiding) -> None:
    """With it the place was filled by two of three: who goes on without it must not take it for nothing."""
    journal = started(stores, seal)
    stores[1].create("runs/r1/0000000002", b"void garbage")
    journal.append(Deed.BEGUN, step="x")
    stores[2].trouble = "silent"
    with pytest.raises(ConflictError, match="the third does not answer"):
        journal_at(stores, seal, "y").read()
    with pytest.raises(ConflictError, match="known at the store that is gone"):
        journal_at(stores, seal, "y").left_with("c/warm").read()
    stores[2].trouble = ""
    assert journal_at(stores, seal, "y").read().steps["x"].begun
