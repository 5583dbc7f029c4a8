"""ReadOnlyStore and ThrottledStore; the rest of what they do is the contract's."""

from __future__ import annotations

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import RefusedError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.stores.throttled import ThrottledStore


def test_a_read_only_store_reads() -> None:
    memory = MemoryStore()
    memory.put("a/b", b"content")
    store = ReadOnlyStore(memory)
    assert store.get("a/b") == b"content"
    assert store.get_ranges("a/b", [(1, 2)]) == [b"on"]
    assert store.head("a/b") == memory.head("a/b")
    assert list(store.list("a/")) == list(memory.list("a/"))
    assert (store.url, store.capabilities) == (memory.url, memory.capabilities)


def test_a_read_only_store_refuses_to_be_changed() -> None:
    memory = MemoryStore()
    memory.put("a", b"content")
    store = ReadOnlyStore(memory)
    for action in (lambda: store.put("b", b"x"), lambda: store.create("b", b"x"), lambda: store.delete("a")):
        with pytest.raises(RefusedError) as caught:
            action()
        assert caught.value.hint
        assert caught.value.object_name in str(caught.value)
    assert [info.key for info in memory.list("")] == ["a"]


def throttled(rate: float) -> tuple[ThrottledStore, ManualClock]:
    clock = ManualClock()
    return ThrottledStore(MemoryStore(clock), rate, clock), clock


def test_one_second_of_bytes_goes_at_once_and_the_rest_at_the_rate() -> None:
    store, clock = throttled(100)
    store.put("a", bytes(100))
    assert clock.monotonic() == 0
    store.create("b", [bytes(30), bytes(20)])
    assert clock.monotonic() == 0.5
    store.put("c", bytes(200))
    assert clock.monotonic() == 2.5


def test_readers_pay_for_what_they_received() -> None:
    store, clock = throttled(100)
    store.put("a", bytes(100))
    store.get("a")
    assert clock.monotonic() == 1
    store.get_ranges("a", [(0, 20), (50, 30)])
    assert clock.monotonic() == 1.5


def test_what_moves_no_content_costs_nothing() -> None:
    store, clock = throttled(1)
    store.put("a", b"")
    store.head("a")
    list(store.list(""))
    store.delete("a")
    assert clock.monotonic() == 0


def test_an_idle_line_saves_up_one_second_and_no_more() -> None:
    store, clock = throttled(100)
    store.put("a", bytes(100))
    clock.sleep(1000)
    store.put("b", bytes(150))
    assert clock.monotonic() == 1000.5


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_limit_of_nothing_makes_no_sense(rate: float) -> None:
    with pytest.raises(UsageError):
        ThrottledStore(MemoryStore(), rate)
