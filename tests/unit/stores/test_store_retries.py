"""RetryingStore: what is tried again, how often, how long, and what a lost answer may not do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    FailedError,
    HoldfastError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.stores.retrying import RetryingStore, RetryPolicy
from holdfast.testing.faults import Faults


class LongestDelays(random.Random):
    """Chance that always draws the upper end, so that the bounds of the delays can be seen."""

    def uniform(self, a: float, b: float) -> float:
        return b


def retrying(
    faults: Faults,
    policy: RetryPolicy | None = None,
    clock: ManualClock | None = None,
    note: Callable[[str], None] | None = None,
) -> tuple[RetryingStore, FaultyStore, MemoryStore]:
    clock = clock or ManualClock()
    memory = MemoryStore(clock, name="site-a")
    faulty = FaultyStore(memory, faults)
    return RetryingStore(faulty, policy, clock, LongestDelays(), note=note), faulty, memory


CALLS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("name", b"content"),
    "create": lambda store: store.create("new", b"content"),
    "get": lambda store: store.get("name"),
    "get_ranges": lambda store: store.get_ranges("name", [(1, 2)]),
    "head": lambda store: store.head("name"),
    "list": lambda store: [info.key for info in store.list("")],
    "delete": lambda store: store.delete("name"),
}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("before_effect", [True, False], ids=["before effect", "answer lost"])
def test_two_faults_are_hidden(verb: str, before_effect: bool) -> None:
    plain = MemoryStore()
    plain.put("name", b"content")
    expected = CALLS[verb](plain)
    store, _, memory = retrying(Faults().fail(verb, at=range(1, 3), before_effect=before_effect))
    memory.put("name", b"content")
    found = CALLS[verb](store)
    if verb in ("put", "create", "head"):
        assert isinstance(found, tuple)
        assert isinstance(expected, tuple)
        assert found[:2] == expected[:2]  # the clocks differ
    else:
        assert found == expected
    assert [info[:2] for info in memory.list("")] == [info[:2] for info in plain.list("")]


@pytest.mark.parametrize(
    "error", [FailedError, PermissionDeniedError, StorageFullError, DamageError, UsageError, ObjectNotFoundError]
)
@pytest.mark.parametrize("verb", CALLS)
def test_what_will_not_help_is_not_tried_again(verb: str, error: type[HoldfastError]) -> None:
    clock = ManualClock()
    before = clock.now_ns()
    store, _, memory = retrying(Faults().fail(verb, at=1, with_=error), clock=clock)
    memory.put("name", b"content")
    with pytest.raises(error):
        CALLS[verb](store)
    assert clock.now_ns() == before


def test_a_conflict_that_may_pass_is_tried_again() -> None:
    store, _, _ = retrying(Faults().fail("create", at=1, with_=ConflictError))
    store.create("name", b"content")
    assert store.get("name") == b"content"


def test_delays_double_up_to_their_limit() -> None:
    clock = ManualClock()
    times: list[float] = []
    policy = RetryPolicy(attempts_max=7, first_delay_seconds=1, delay_seconds_max=5, total_seconds_max=1000)
    store, _, _ = retrying(Faults().fail("get"), policy, clock, lambda _: times.append(clock.monotonic()))
    with pytest.raises(StoreUnreachableError):
        store.get("name")
    assert times == [0, 1, 3, 7, 12, 17]  # delays 1, 2, 4, 5, 5, 5
    assert clock.monotonic() == 22


def test_jitter_is_full() -> None:
    policy = RetryPolicy(attempts_max=2, first_delay_seconds=1)
    delays = []
    for seed in range(300):
        clock = ManualClock()
        store = RetryingStore(FaultyStore(MemoryStore(), Faults().fail("get")), policy, clock, random.Random(seed))
        with pytest.raises(StoreUnreachableError):
            store.get("name")
        delays.append(clock.monotonic())
    assert min(delays) < 0.05
    assert max(delays) > 0.95
    assert 0.4 < sum(delays) / len(delays) < 0.6
    assert all(0 <= delay <= 1 for delay in delays)


@pytest.mark.parametrize(("total", "ended"), [(9.9, 6), (10, 11), (4.9, 1)])
def test_no_attempt_begins_after_the_total_time(total: float, ended: float) -> None:
    """Each attempt takes 1 s and each delay 4 s: attempts could begin at 0, 5 and 10 s."""
    clock = ManualClock()
    policy = RetryPolicy(attempts_max=3, first_delay_seconds=4, delay_seconds_max=4, total_seconds_max=total)
    store, _, _ = retrying(Faults(clock=clock).slow("get", by=1).fail("get"), policy, clock)
    with pytest.raises(StoreUnreachableError):
        store.get("name")
    assert clock.monotonic() == ended


def test_one_attempt_means_no_retry() -> None:
    store, faulty, _ = retrying(Faults().fail("get", at=1), RetryPolicy(attempts_max=1))
    with pytest.raises(StoreUnreachableError):
        store.get("name")
    assert faulty.log == ()


def test_retries_are_noted() -> None:
    notes: list[str] = []
    store, _, _ = retrying(Faults().fail("put", at=1), note=notes.append)
    store.put("packs/1", b"content")
    assert len(notes) == 1
    assert "memory://site-a" in notes[0]
    assert "packs/1" in notes[0]
    assert "200 ms" in notes[0]


# ---- create, and the answer that was lost ----


def test_a_create_whose_answer_was_lost_has_succeeded() -> None:
    notes: list[str] = []
    store, _, memory = retrying(Faults().lose_answer("create", at=1), note=notes.append)
    info = store.create("refs/1", [b"con", b"tent"])
    assert info == memory.head("refs/1")
    assert memory.get("refs/1") == b"content"
    assert any("answer was lost" in note for note in notes)


def test_a_create_that_somebody_else_won_meanwhile_has_failed() -> None:
    store, _, memory = retrying(Faults().fail("create", at=1))
    memory.put("refs/1", b"of somebody else")
    with pytest.raises(AlreadyExistsError):
        store.create("refs/1", b"content")
    assert memory.get("refs/1") == b"of somebody else"


def test_a_name_that_was_taken_before_is_taken_even_by_equal_bytes() -> None:
    store, faulty, memory = retrying(Faults())
    memory.put("refs/1", b"content")
    with pytest.raises(AlreadyExistsError):
        store.create("refs/1", b"content")
    assert faulty.bytes_moved("get") == 0


def test_reading_back_is_retried_too() -> None:
    store, _, memory = retrying(Faults().lose_answer("create", at=1).fail("get", at=1).fail("head", at=1))
    assert store.create("refs/1", b"content") == memory.head("refs/1")


def test_a_winner_that_vanished_before_it_could_be_read_counts_as_a_loss() -> None:
    class Vanishing(MemoryStore):
        def get(self, key: str) -> bytes:
            self.delete(key)
            return super().get(key)

    faulty = FaultyStore(Vanishing(), Faults().lose_answer("create", at=1))
    with pytest.raises(AlreadyExistsError):
        RetryingStore(faulty, clock=ManualClock()).create("refs/1", b"content")


# ---- listings ----


class BreakingOff(MemoryStore):
    """Hands out a few names of a listing, then loses the connection; `healthy_after` listings later it is whole."""

    def __init__(self, names: int, broken: int) -> None:
        super().__init__()
        self.names, self.broken, self.listings = names, broken, 0

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self.listings += 1
        for number, info in enumerate(super().list(prefix, after)):
            if self.listings <= self.broken and number == self.names:
                raise StoreUnreachableError("the listing broke off")
            yield info


def test_a_listing_that_breaks_off_goes_on_without_gap_or_repetition() -> None:
    inner = BreakingOff(names=3, broken=3)
    for number in range(12):
        inner.put(f"packs/{number:02d}", b"x")
    store = RetryingStore(inner, clock=ManualClock())
    assert [info.key for info in store.list("packs/")] == [f"packs/{number:02d}" for number in range(12)]
    assert inner.listings == 4


def test_a_listing_that_never_ends_well_fails() -> None:
    inner = BreakingOff(names=0, broken=100)
    inner.put("name", b"x")
    with pytest.raises(StoreUnreachableError):
        list(RetryingStore(inner, RetryPolicy(attempts_max=4), ManualClock()).list(""))
    assert inner.listings == 4


def test_it_passes_on_what_the_store_is() -> None:
    memory = MemoryStore(name="x")
    store = RetryingStore(memory)
    assert (store.url, store.capabilities) == (memory.url, memory.capabilities)
