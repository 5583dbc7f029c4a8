"""Places that are filled once: every order of operations of several writers, with stores that go and come back."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConflictError, HoldfastError, StoreUnreachableError, UsageError
from holdfast.recovery.journal.slots import Answer, Ask, Slots, filling, looking
from holdfast.stores.memory import MemoryStore
from holdfast.stores.readonly import ReadOnlyStore


class Writer:
    """One control plane that fills the place, an operation at a time. `sees`: the stores that answer it."""

    def __init__(self, name: bytes, count: int, sees: frozenset[int], *, looks: bool = False) -> None:
        self.sees = sees
        self.steps: Generator[Ask, Answer, bytes | None] = looking(count) if looks else filling(count, name)
        self.asked: Ask | None = None
        self.result: bytes | HoldfastError | None = None
        self.heard: list[object] = []
        self.ended = False
        self._go(first=True)

    def _go(self, answer: Answer = None, *, first: bool = False) -> None:
        self.heard.append(answer if isinstance(answer, bytes) else answer is None)
        try:
            self.asked = next(self.steps) if first else self.steps.send(answer)
        except StopIteration as ended:
            self.ended, self.result = True, ended.value
        except HoldfastError as error:
            self.ended, self.result = True, error

    def act(self, stores: list[bytes | None], *, lost: bool = False) -> None:
        """One operation. `lost`: it is done, and its answer is lost."""
        asked = self.asked
        assert asked is not None
        if asked.store not in self.sees:
            self._go(StoreUnreachableError("silent"))
            return
        if asked.data is not None and stores[asked.store] is None:
            stores[asked.store] = asked.data
        self._go(StoreUnreachableError("the answer was lost") if lost else stores[asked.store])


def orders(count: int, views: tuple[frozenset[int], ...]) -> Iterator[tuple[list[bytes | None], list[Writer]]]:
    """Every order in which writers with these views can act, each to its end or dead after any operation."""

    def replay(order: tuple[int, ...]) -> tuple[list[bytes | None], list[Writer]]:
        stores: list[bytes | None] = [None] * count
        writers = [Writer(bytes([number]), count, view) for number, view in enumerate(views)]
        for one in order:
            writers[one].act(stores)
        return stores, writers

    waiting: list[tuple[int, ...]] = [()]
    known: set[tuple[object, ...]] = set()
    while waiting:
        order = waiting.pop()
        stores, writers = replay(order)
        state = (*stores, *(tuple(one.heard) for one in writers))
        if state in known:
            continue  # another order has led to the same
        known.add(state)
        yield stores, writers
        waiting += [(*order, number) for number, one in enumerate(writers) if not one.ended]


def majority(stores: list[bytes | None]) -> bytes | None:
    return next((one for one in stores if one is not None and stores.count(one) > len(stores) // 2), None)


VIEWS = {
    1: [frozenset({0}), frozenset()],
    2: [frozenset({0, 1}), frozenset({0}), frozenset({1})],
    3: [frozenset({0, 1, 2}), frozenset({0, 1}), frozenset({1, 2}), frozenset({0, 2}), frozenset({0})],
}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_order_of_two_and_three_writers(count: int) -> None:
    """Nobody is ever told two different things, and whoever was told something was told what all will be told."""
    seen = 0
    for number in (2, 3):
        for views in product(VIEWS[count], repeat=number):
            for stores, writers in orders(count, views):
                seen += 1
                told = {one.result for one in writers if isinstance(one.result, bytes)}
                assert len(told) <= 1, (views, stores)
                assert len({one for one in stores if one is not None}) <= 2, "never three of three"
                if told:
                    assert majority(stores) in told
                if all(one.ended for one in writers):
                    later = Writer(b"later", count, frozenset(range(count)))
                    while not later.ended:
                        later.act(stores)
                    assert isinstance(later.result, bytes), "with all stores answering there is a majority"
                    assert not told or later.result in told
    assert seen > {1: 20, 2: 150, 3: 1000}[count]


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40),
    st.lists(st.sets(st.integers(0, 2)), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_answers_that_are_lost(
    count: int, acts: list[tuple[int, bool]], views: list[set[int]], looks: list[bool]
) -> None:
    stores: list[bytes | None] = [None] * count
    writers = [
        Writer(bytes([number]), count, frozenset(view), looks=look)
        for number, (view, look) in enumerate(zip(views, looks, strict=True))
    ]
    for number, lost in acts:
        if not writers[number].ended:
            writers[number].act(stores, lost=lost)
    told = {one.result for one in writers if isinstance(one.result, bytes)}
    assert len(told) <= 1
    assert not told or majority(stores) in told


def test_a_split_waits_for_the_third_store() -> None:
    first, second, third = (MemoryStore(name=name) for name in "abc")
    first.create("p/0000000000", b"a")
    second.create("p/0000000000", b"b")
    silent = Slots([first, second, ReadOnlyStore(third)], "p/")
    with pytest.raises(ConflictError, match="the third does not answer"):
        silent.fill(0, b"c")
    assert Slots([first, second, third], "p/").look(0) == b"a"
    assert silent.look(0) == b"a"


def test_stores() -> None:
    first, second = MemoryStore(name="a"), MemoryStore(name="b")
    slots = Slots([first, second], "runs/x/")
    assert slots.look(0) is None
    assert slots.fill(0, b"one") == b"one"
    assert slots.fill(0, b"two") == b"one"
    assert first.get("runs/x/0000000000") == second.get("runs/x/0000000000") == b"one"
    with pytest.raises(StoreUnreachableError, match="1 of the 2 stores"):
        Slots([first, ReadOnlyStore(second)], "runs/y/").fill(0, b"one")
    assert Slots([first, second], "runs/y/").fill(0, b"two") == b"one", "what a dead writer began is carried on"
    for wrong in ([], [first, first], [MemoryStore(name=name) for name in "abcd"]):
        with pytest.raises(UsageError):
            Slots(wrong, "runs/z/")
