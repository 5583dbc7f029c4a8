"""One store over several ways."""

from __future__ import annotations

import random

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ObjectNotFoundError, StoreUnreachableError, UsageError
from holdfast.stores.lines.ways import WaysStore, open_ways
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.stores.retrying import RetryingStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.faults import Faults
from holdfast.testing.store_contract import StoreContract


class TestWaysStore(StoreContract):
    """The first way fails every third time, and every fifth time after the effect."""

    @pytest.fixture
    def store(self) -> Store:
        clock = ManualClock()
        memory = MemoryStore()
        shaky = Faults(seed=1).fail("*", chance=0.3).lose_answer("create", chance=0.2).over(memory)
        return RetryingStore(WaysStore([shaky, memory], clock, random.Random(1)), clock=clock)


def two_ways() -> tuple[WaysStore, list[str], ManualClock, dict[str, bool]]:
    clock, used = ManualClock(), []
    memory = MemoryStore(clock)
    down = {"first": False, "second": False}

    class Watched(CountingStore):
        def __init__(self, name: str) -> None:
            super().__init__(memory)
            self.name = name

        def get(self, key: str) -> bytes:
            used.append(self.name)
            if down[self.name]:
                raise StoreUnreachableError("no answer")
            return super().get(key)

    memory.put("a", b"content")
    return WaysStore([Watched("first"), Watched("second")], clock, random.Random(1)), used, clock, down


def test_the_first_way_is_taken_while_it_works() -> None:
    store, used, _, _ = two_ways()
    for _ in range(3):
        assert store.get("a") == b"content"
    with pytest.raises(ObjectNotFoundError):
        store.get("b")  # an answer: the way is good
    store.get("a")
    assert set(used) == {"first"}


def test_a_way_that_fails_is_left_alone_and_tried_again_later() -> None:
    store, used, clock, down = two_ways()
    down["first"] = True
    with pytest.raises(StoreUnreachableError):
        store.get("a")
    assert store.get("a") == b"content"
    clock.sleep(0.51)
    with pytest.raises(StoreUnreachableError):
        store.get("a")
    clock.sleep(0.45)
    assert store.get("a") == b"content"
    assert used == ["first", "second", "first", "second"]
    down["first"] = False
    clock.sleep(60)
    store.get("a")
    assert used[-1] == "first"


def test_when_all_are_down_the_one_that_is_due_first_is_tried() -> None:
    store, used, _, down = two_ways()
    down["first"] = down["second"] = True
    for _ in range(6):
        with pytest.raises(StoreUnreachableError):
            store.get("a")
    assert used[:2] == ["first", "second"]
    assert set(used[2:]) == {"first", "second"}


def test_a_store_needs_a_way() -> None:
    with pytest.raises(UsageError):
        open_ways([])
