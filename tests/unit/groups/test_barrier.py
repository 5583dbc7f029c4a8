"""Ranks that meet: all there, one late, one failed, a store that does not answer; they always agree."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.errors import StoreUnreachableError, UsageError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.training.groups.barrier import Barrier, Meeting, run_of


def _meet(store: Store, world: int, one: Callable[[Barrier], Meeting | None]) -> list[Meeting | None]:
    """Every rank in a thread of its own."""
    found: list[Meeting | None] = [None] * world

    def rank(number: int) -> None:
        found[number] = one(Barrier(store, run="run", rank=number, world=world))

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_all_come(tmp_path: Path) -> None:
    found = _meet(LocalStore(tmp_path / "barrier"), 4, lambda barrier: barrier.meet("ready", 1, seconds=60))
    assert found == [Meeting(True)] * 4


def test_one_does_not_come() -> None:
    found = _meet(
        MemoryStore(), 3, lambda barrier: barrier.meet("ready", 1, seconds=0.5) if barrier.rank != 1 else None
    )
    assert found[0] == found[2] == Meeting(False, missing=(1,), why="rank 1 did not come in time")


def test_who_comes_late_hears_that_the_others_went_on() -> None:
    store = MemoryStore()
    first = Barrier(store, run="run", rank=0, world=2).meet("ready", 1, seconds=0.0)
    late = Barrier(store, run="run", rank=1, world=2).meet("ready", 1, seconds=60.0)
    assert not first.agreed and late == first


def test_one_that_failed_keeps_nobody_waiting() -> None:
    def one(barrier: Barrier) -> Meeting:
        return barrier.meet("cut", 7, seconds=600, ok=barrier.rank != 2, why="the disk is full")

    found = _meet(MemoryStore(), 3, one)
    assert {meeting.failed for meeting in found if meeting} == {(2,)} and not any(m.agreed for m in found if m)


def test_they_agree_whatever_the_timing() -> None:
    """Two ranks with hardly any patience, many times: never does one go on while the other does not."""
    store = MemoryStore()
    outcomes = set()
    for step in range(150):
        found = _meet(store, 2, lambda barrier, step=step: barrier.meet("x", step, seconds=0.002 * (step % 3)))
        assert found[0] is not None and found[1] is not None and found[0].agreed == found[1].agreed
        outcomes.add(found[0].agreed)
    assert True in outcomes


class _Down(MemoryStore):
    def create(self, *_: object, **__: object) -> object:  # type: ignore[override]
        raise StoreUnreachableError("the store does not answer")


class _DeafAfter(MemoryStore):
    """Takes announcements, and then lists nothing."""

    def list(self, *_: object, **__: object) -> object:  # type: ignore[override]
        raise StoreUnreachableError("the store does not answer")


@pytest.mark.parametrize("store", [_Down(), _DeafAfter()])
def test_a_store_that_does_not_answer_stops_nobody(store: Store) -> None:
    meeting = Barrier(store, run="run", rank=0, world=2).meet("ready", 1, seconds=0.2)
    assert not meeting.agreed and not meeting.decided and "does not answer" in meeting.why


def test_a_step_is_met_once() -> None:
    store = MemoryStore()
    barrier = Barrier(store, run="run", rank=0, world=1)
    assert barrier.meet("ready", 1, seconds=5).agreed
    again = barrier.meet("ready", 1, seconds=5)
    assert not again.agreed and "before" in again.why
    assert Barrier(store, run="run2", rank=0, world=1).meet("ready", 1, seconds=5).agreed


def test_what_is_no_announcement_counts_as_a_failure() -> None:
    store = MemoryStore()
    store.put("run/group/1/ready/rank-1", b"garbage")
    store.put("run/group/1/ready/rank-99", b"{}")
    meeting = Barrier(store, run="run", rank=0, world=2).meet("ready", 1, seconds=5)
    assert not meeting.agreed and meeting.failed == (1,)


def test_one_of_all_is_first_and_tells_the_others() -> None:
    store = MemoryStore()
    barriers = [Barrier(store, run="run", rank=rank, world=3) for rank in range(3)]
    assert [barrier.first("commit", 1) for barrier in barriers] == [True, False, False]
    assert barriers[1].told("commit", 1, seconds=0.0) is None
    barriers[0].tell("commit", 1, "done")
    assert barriers[2].told("commit", 1, seconds=5.0) == "done"
    barriers[0].meet("ready", 5, seconds=0.0)
    barriers[0].forget(5)
    assert {info.key.split("/")[2] for info in store.list("")} == {"5"}


def test_names_of_runs() -> None:
    assert run_of({"TORCHELASTIC_RUN_ID": "a/b", "TORCHELASTIC_RESTART_COUNT": "2", "MASTER_PORT": "5"}) == "a_b-2-5"
    assert run_of({"SLURM_JOB_ID": "77"}) == "77-0-0"
    for wrong in ({}, {"SLURM_JOB_ID": ""}):
        with pytest.raises(UsageError):
            run_of(wrong)
    for arguments in ({"run": "a/b"}, {"run": ""}, {"run": "a", "rank": 3}, {"run": "a", "name": ".."}):
        with pytest.raises(UsageError):
            Barrier(MemoryStore(), **{"rank": 0, "world": 2, **arguments})  # type: ignore[arg-type]
