"""The vocabulary of faults: each sentence does what it says, at the operation it names, and no other."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import (
    AlreadyExistsError,
    HoldfastError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.stores.faulty import FaultyStore, Operation
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.stores.retrying import RetryingStore, RetryPolicy
from holdfast.testing.faults import Crash, Faults


def failed_numbers(action: Callable[[int], object], count: int) -> list[int]:
    """Which of the calls 1 … count raised StoreUnreachableError."""
    failed = []
    for number in range(1, count + 1):
        try:
            action(number)
        except StoreUnreachableError:
            failed.append(number)
    return failed


def test_without_faults_it_is_the_store() -> None:
    store = FaultyStore(MemoryStore(name="x"), Faults())
    store.put("a", b"content")
    assert store.get("a") == b"content"
    assert store.url == "memory://x"
    assert not store.capabilities.durable


def test_fail_counts_the_operations_that_match() -> None:
    store = FaultyStore(MemoryStore(), Faults().fail("put", matching="packs/*", at=2))
    for key in ("refs/1", "packs/1", "refs/2"):
        store.put(key, b"x")
    store.create("packs/created", b"x")
    with pytest.raises(StoreUnreachableError) as caught:
        store.put("packs/ab/2", b"x")
    assert caught.value.object_name == "packs/ab/2"
    store.put("packs/ab/2", b"x")


@pytest.mark.parametrize(
    ("at", "expected"), [(1, [1]), (3, [3]), (range(2, 5), [2, 3, 4]), ({1, 6}, [1, 6]), (None, [1, 2, 3, 4, 5, 6])]
)
def test_at_is_a_number_or_several_or_all(at: int | range | set[int] | None, expected: list[int]) -> None:
    store = FaultyStore(MemoryStore(), Faults().fail("put", at=at))
    assert failed_numbers(lambda number: store.put(f"{number}", b"x"), 6) == expected


def test_before_effect_nothing_has_happened() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().fail("put", at=1, with_=PermissionDeniedError))
    with pytest.raises(PermissionDeniedError):
        store.put("a", b"x")
    assert list(memory.list("")) == []
    assert store.log == ()


def test_a_lost_answer_took_effect() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().lose_answer("create", at=1))
    with pytest.raises(StoreUnreachableError):
        store.create("a", b"x")
    assert memory.get("a") == b"x"
    assert store.log == (Operation("create", "a", 1),)
    with pytest.raises(AlreadyExistsError):
        store.create("a", b"x")


def test_verbs_may_be_several() -> None:
    store = FaultyStore(MemoryStore(), Faults().fail("put delete"))
    for action in (lambda: store.put("a", b""), lambda: store.delete("a")):
        with pytest.raises(StoreUnreachableError):
            action()
    store.create("a", b"")


@pytest.mark.parametrize("verb", ["write", "", "put,get"])
def test_verbs_that_no_store_has_are_refused(verb: str) -> None:
    with pytest.raises(UsageError):
        Faults().fail(verb)


def test_slow_waits_before_the_effect() -> None:
    clock = ManualClock()
    store = FaultyStore(MemoryStore(clock), Faults(clock=clock).slow("put", by=2.5, at=2))
    first = store.put("a", b"x")
    second = store.put("b", b"x")
    assert second.modified_ns - first.modified_ns == 2_500_000_000


def test_chance_is_repeatable_and_about_right() -> None:
    def run(seed: int) -> list[int]:
        store = FaultyStore(MemoryStore(), Faults(seed).fail("put", chance=0.25))
        return failed_numbers(lambda number: store.put(f"{number}", b"x"), 400)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 60 <= len(run(1)) <= 140


def test_shorten_cuts_what_readers_get() -> None:
    store = FaultyStore(MemoryStore(), Faults().shorten("get get_ranges", to=3))
    store.put("a", b"content")
    assert store.get("a") == b"con"
    assert store.get_ranges("a", [(0, 2), (1, 6)]) == [b"co", b"ont"]


def test_damage_flips_one_bit_of_what_readers_get() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().damage("get", byte=9, at=1))
    store.put("a", b"content")
    assert store.get("a") == b"co" + bytes([ord("n") ^ 1]) + b"tent"
    assert store.get("a") == b"content"
    store.put("empty", b"")
    assert FaultyStore(memory, Faults().damage("get", byte=0)).get("empty") == b""


def test_a_full_store_takes_what_fits_and_nothing_else() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().fill_up_after(10))
    store.put("a", b"123456")
    with pytest.raises(StorageFullError):
        store.create("b", [b"123", b"45"])
    store.create("c", b"1234")
    with pytest.raises(StorageFullError):
        store.put("d", b"1")
    assert store.get("a") == b"123456"
    assert [info.key for info in memory.list("")] == ["a", "c"]


def test_stop_after_dies_when_the_operation_has_taken_effect() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().stop_after(2))
    store.put("a", b"x")
    with pytest.raises(Crash):
        store.put("b", b"x")
    for action in (lambda: store.put("c", b"x"), lambda: store.get("a"), lambda: store.head("a")):
        with pytest.raises(Crash):
            action()
    with pytest.raises(Crash):
        list(store.list(""))
    assert [info.key for info in memory.list("")] == ["a", "b"]


def test_stop_after_nothing_dies_at_once() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, Faults().stop_after(0))
    with pytest.raises(Crash):
        store.put("a", b"x")
    assert list(memory.list("")) == []


def test_stop_after_may_count_writes_only() -> None:
    store = FaultyStore(MemoryStore(), Faults().stop_after(2, verb="put create delete"))
    store.put("a", b"x")
    for _ in range(5):
        store.get("a")
    with pytest.raises(Crash):
        store.delete("a")
    with pytest.raises(Crash):
        store.get("a")


def test_a_crash_passes_by_those_who_handle_errors() -> None:
    store = FaultyStore(MemoryStore(), Faults().stop_after(0))
    with pytest.raises(Crash):
        try:
            store.get("a")
        except Exception:
            pytest.fail("a crash must not be an Exception")


def test_no_thread_gets_an_answer_after_the_crash() -> None:
    store = FaultyStore(MemoryStore(), Faults().stop_after(50))
    answered = 0
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal answered
        try:
            store.put(f"{number}", b"x")
        except Crash:
            return
        with lock:
            answered += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert answered == 49
    assert len(store.log) == 50


def test_heal_ends_all_faults() -> None:
    faults = Faults().fail("*").slow("*", by=1000)
    store = FaultyStore(MemoryStore(), faults)
    with pytest.raises(HoldfastError):
        FaultyStore(MemoryStore(), Faults().fail("*")).get("a")
    faults.heal()
    store.put("a", b"x")
    assert store.get("a") == b"x"


def test_sentences_may_be_added_while_it_runs() -> None:
    faults = Faults()
    store = FaultyStore(MemoryStore(), faults)
    store.put("a", b"x")
    faults.fail("put")
    with pytest.raises(StoreUnreachableError):
        store.put("a", b"x")


def test_the_log_counts_bytes_both_ways() -> None:
    store = FaultyStore(MemoryStore(), Faults())
    store.put("a", [b"1234", b"56"])
    store.create("b", b"12")
    store.get("a")
    store.get_ranges("a", [(0, 1), (2, 3)])
    store.head("a")
    list(store.list("x/"))
    store.delete("a")
    with pytest.raises(ObjectNotFoundError):
        store.get("a")
    assert store.log == (
        Operation("put", "a", 6),
        Operation("create", "b", 2),
        Operation("get", "a", 6),
        Operation("get_ranges", "a", 4),
        Operation("head", "a"),
        Operation("list", "x/"),
        Operation("delete", "a"),
    )
    assert store.bytes_moved("put", "create") == 8
    assert store.bytes_moved("get", "get_ranges") == 10


@pytest.mark.parametrize("verb", ["get", "put", "list"])
def test_throttling_is_what_a_cloud_store_raises_and_retries_get_through(verb: str) -> None:
    clock = ManualClock()
    memory = MemoryStore(clock)
    memory.put("a", b"x")
    faulty = FaultyStore(memory, Faults(clock=clock).throttle(verb, at=range(1, 4), retry_after=2))
    actions: dict[str, Callable[[Store], object]] = {
        "get": lambda store: store.get("a"),
        "put": lambda store: store.put("b", b"x"),
        "list": lambda store: list(store.list("")),
    }
    with pytest.raises(StoreUnreachableError, match=r"503.*Retry-After: 2 s") as caught:
        actions[verb](faulty)
    assert caught.value.retry
    actions[verb](RetryingStore(faulty, RetryPolicy(), clock, random.Random(1)))
    assert clock.monotonic() > 0


def names(store: Store, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def test_a_new_object_is_listed_late_by_time() -> None:
    clock = ManualClock()
    store = Faults(clock=clock).list_late(seconds=30, matching="roots/*").over(MemoryStore(clock))
    store.create("roots/1", b"x")
    store.put("parts/1", b"x")
    assert names(store) == ["parts/1"]
    assert store.folders("") == ["parts/"]
    assert store.get("roots/1") == b"x"
    assert store.head("roots/1").size == 1
    with pytest.raises(AlreadyExistsError):
        store.create("roots/1", b"y")
    clock.sleep(29.5)
    assert names(store) == ["parts/1"]
    clock.sleep(0.5)
    assert names(store) == ["parts/1", "roots/1"]


def test_a_new_object_is_listed_late_by_operations() -> None:
    store = Faults().list_late(operations=3).over(MemoryStore())
    store.put("a", b"x")
    assert [names(store) for _ in range(4)] == [[], [], [], ["a"]]


def test_a_deleted_object_stays_listed() -> None:
    clock = ManualClock()
    store = Faults(clock=clock).list_deleted(seconds=10).over(MemoryStore(clock))
    for key in ("a", "b"):
        store.put(key, b"x")
    store.delete("a")
    with pytest.raises(ObjectNotFoundError):
        store.get("a")
    assert names(store) == ["a", "b"]
    assert names(store, "b") == ["b"]
    assert [info.key for info in store.list("", "a")] == ["b"]
    clock.sleep(10)
    assert names(store) == ["b"]
    store.delete("b")
    store.create("b", b"new")
    assert [info.size for info in store.list("")] == [3]


def test_reading_is_stale_after_overwriting_and_deleting() -> None:
    clock = ManualClock()
    store = Faults(clock=clock).read_stale(seconds=5).over(MemoryStore(clock))
    store.put("a", b"old")
    assert store.get("a") == b"old"
    before = store.head("a")
    clock.sleep(1)
    store.put("a", b"newer")
    assert (store.get("a"), store.head("a"), store.get_ranges("a", [(1, 2)])) == (b"old", before, [b"ld"])
    clock.sleep(5)
    assert (store.get("a"), store.head("a").size) == (b"newer", 5)
    store.delete("a")
    assert names(store) == []
    assert store.get("a") == b"newer"
    clock.sleep(5)
    for read in (store.get, store.head):
        with pytest.raises(ObjectNotFoundError):
            read("a")


def test_the_clock_of_a_store_is_wrong() -> None:
    clock = ManualClock()
    memory = MemoryStore(clock)
    store = Faults(clock=clock).skew_times(60, drift=0.5, jump=-3600, jump_at=2).over(memory)
    ahead = []
    for key in ("a", "b", "c"):
        written = store.put(key, b"x")
        assert store.head(key) == written
        assert written in list(store.list(""))
        ahead.append((written.modified_ns - memory.head(key).modified_ns) / 1e9)
        clock.sleep(10)
    assert ahead == [60, 65, 70 - 3600]


def test_lags_need_a_store_that_shows_them() -> None:
    for faults in (Faults().list_late(seconds=1), Faults().skew_times(5)):
        with pytest.raises(UsageError, match="before"):
            FaultyStore(MemoryStore(), faults).get("a")
    with pytest.raises(UsageError, match="no time"):
        Faults().read_stale()


def test_heal_ends_what_is_to_come() -> None:
    clock = ManualClock()
    faults = Faults(clock=clock).list_late(seconds=5)
    store = faults.over(MemoryStore(clock))
    store.put("a", b"x")
    faults.heal()
    store.put("b", b"x")
    assert names(store) == ["b"]
    clock.sleep(5)
    assert names(store) == ["a", "b"]
