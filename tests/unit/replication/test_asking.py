"""Stores that are asked ahead, and threads that wait for those that hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import AlreadyExistsError, ObjectNotFoundError, StoreUnreachableError
from holdfast.fanout.beside import at_once, for_each
from holdfast.replication.copying.asking import AskedStore
from holdfast.replication.following.waiting import GIVEN_UP_S, Waiters
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.faults import Faults
from holdfast.testing.round_trips import RoundTrips
from holdfast.testing.store_contract import StoreContract


class TestAskedStore(StoreContract):
    """Nothing that was asked ahead makes it another store."""

    @pytest.fixture
    def store(self) -> AskedStore:
        store = AskedStore(MemoryStore())
        at_once(*store.ask(["packs/", "a"]))
        return store


def asked(*keys: str) -> tuple[MemoryStore, CountingStore, AskedStore]:
    bare = MemoryStore()
    for key in keys:
        bare.put(key, key.encode())
    counting = CountingStore(bare)
    return bare, counting, AskedStore(counting)


def test_what_was_asked_ahead_is_not_asked_again() -> None:
    _, counting, store = asked("refs/a/1", "refs/a/2", "refs/b/1", "snapshots/x")
    at_once(*store.ask(["refs/", "snapshots/"]))
    store.get_ahead(["refs/a/1", "refs/none"])
    assert [info.key for info in store.list("refs/a/")] == ["refs/a/1", "refs/a/2"]
    assert [info.key for info in store.list("refs/", "refs/a/1")] == ["refs/a/2", "refs/b/1"]
    assert list(store.list("snapshots/y")) == []
    assert store.get("refs/a/1") == b"refs/a/1"
    assert {name: counting.counts[name] for name in ("list", "get")} == {"list": 2, "get": 2}
    assert list(store.list("packs/")) == []
    assert counting.counts["list"] == 3


def test_what_is_written_is_listed_and_read_as_it_is_now() -> None:
    bare, counting, store = asked("packs/a")
    at_once(*store.ask(["packs/"]))
    store.get_ahead(["packs/a"])
    store.put("packs/a", b"another")
    store.create("packs/b", b"b")
    assert [(info.key, info.size) for info in store.list("packs/")] == [("packs/a", 7), ("packs/b", 1)]
    assert store.get("packs/a") == b"another"
    assert counting.counts["list"] == 1
    bare.put("packs/c", b"")
    store.delete("packs/b")
    assert [info.key for info in store.list("packs/")] == ["packs/a", "packs/c"]


def test_whatever_contradicts_a_listing_makes_it_forget() -> None:
    bare, _, store = asked("refs/1")
    at_once(*store.ask(["refs/"]))
    bare.put("refs/2", b"somebody else")
    with pytest.raises(AlreadyExistsError):
        store.create("refs/2", b"ours")
    assert [info.key for info in store.list("refs/")] == ["refs/1", "refs/2"]
    at_once(*store.ask(["refs/"]))
    bare.delete("refs/1")
    with pytest.raises(ObjectNotFoundError):
        store.get("refs/1")
    assert [info.key for info in store.list("refs/")] == ["refs/2"]
    at_once(*store.ask(["refs/"]))
    bare.put("refs/3", b"")
    store.forget_listings()
    assert [info.key for info in store.list("refs/")] == ["refs/2", "refs/3"]


def test_a_put_that_fails_may_have_been_done() -> None:
    faults = Faults()
    store = AskedStore(FaultyStore(MemoryStore(), faults))
    at_once(*store.ask(["packs/"]))
    faults.lose_answer("put")
    with pytest.raises(StoreUnreachableError):
        store.put("packs/a", b"a")
    faults.heal()
    assert [info.key for info in store.list("packs/")] == ["packs/a"]


def test_all_have_ended_when_one_fails() -> None:
    ended = []

    def work(number: int) -> int:
        if number == 3:
            raise StoreUnreachableError("three")
        time.sleep(0.02)
        ended.append(number)
        return number

    with pytest.raises(StoreUnreachableError, match="three"):
        at_once(lambda: work(3), lambda: work(1), lambda: work(2))
    assert sorted(ended) == [1, 2]
    assert for_each(lambda number: number * 2, range(50)) == [number * 2 for number in range(50)]
    assert for_each(work, []) == []


def test_round_trips_are_counted_by_what_waits_for_what() -> None:
    trips = RoundTrips()
    store = trips.of(MemoryStore())
    with trips.counting():
        store.put("a", b"")
        at_once(lambda: store.head("a"), lambda: [store.head("a"), store.head("a")], lambda: None)
        for_each(lambda _: store.head("a"), range(20))  # eight at a time: three after each other
        thread = threading.Thread(target=lambda: store.get("a"))
        thread.start()
        thread.join()
        store.delete("a")
    assert [one.tick for one in trips.requests if one.method in ("put", "get", "delete")] == [1, 7, 8]
    assert trips.depth == 8
    assert len(trips.requests) == 1 + 3 + 20 + 2


def test_what_hangs_leaves_one_thread_however_often_it_is_asked() -> None:
    waiters, hanging, asked_at = Waiters(1), threading.Event(), []
    before = threading.active_count()

    def ask(number: int) -> Callable[[], int]:
        def work() -> int:
            asked_at.append(number)
            hanging.wait()
            return number

        return work

    questions = [waiters.submit("store", "look", ask(number)) for number in range(10)]
    for question in questions[1:9]:
        assert question.cancel()
    waiters.submit("store", "look", ask(10)).cancel()
    assert len(waiters._queues["store"].waiting) <= 2  # what was taken back is not kept
    assert threading.active_count() == before + 1
    assert waiters.submit("another", "look", lambda: 7).result(10) == 7
    hanging.set()
    assert [questions[0].result(10), questions[9].result(10)] == [0, 9]
    assert asked_at == [0, 9]


def test_what_will_never_end_is_replaced_but_not_without_end() -> None:
    clock, hanging = ManualClock(), threading.Event()
    waiters = Waiters(1, clock)
    begun: list[threading.Event] = []

    def hang(started: threading.Event) -> None:
        started.set()
        hanging.wait()

    for _ in range(3):
        begun.append(threading.Event())
        waiters.submit("store", "look", lambda started=begun[-1]: hang(started))  # type: ignore[misc]
        assert begun[-1].wait(10)
        clock.sleep(GIVEN_UP_S + 1)
    last = waiters.submit("store", "look", lambda: 1)
    assert not last.done() and last.cancel()
    hanging.set()


def without_threads(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """The machine has no more threads to give at these starts, counted from 1."""
    starts = iter(range(1, 1000))
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if next(starts) in numbers:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def test_without_threads_all_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    without_threads(monkeypatch, 2, 3)
    assert at_once(*(lambda number=number: number for number in range(5))) == list(range(5))


def test_a_thread_that_could_not_be_started_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    waiters = Waiters(1)
    without_threads(monkeypatch, 1)
    with pytest.raises(RuntimeError):
        waiters.submit("store", "first", lambda: 1)
    assert waiters.submit("store", "second", lambda: 2).result(10) == 2


def test_questions_to_a_store_that_hangs_do_not_pile_up() -> None:
    waiters, hanging = Waiters(1), threading.Event()
    asked = [waiters.submit("a", "a", lambda: hanging.wait(30)) for _ in range(80)]
    refused = [one for one in asked if one.done() and isinstance(one.exception(), StoreUnreachableError)]
    assert 10 < len(refused) < 20
    hanging.set()
    assert all(one.result(30) for one in asked if one not in refused)
    assert waiters.submit("a", "a", lambda: True).result(30)
