"""Places that are filled once: every order of operations of several writers, with stores that go and come back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slot_writers import Writer

from holdfast.errors import ConflictError, StoreUnreachableError, UsageError
from holdfast.recovery.journal.deciding import NOTHING, filling, looking
from holdfast.recovery.journal.slots import Slots
from holdfast.stores.memory import MemoryStore
from holdfast.stores.readonly import ReadOnlyStore


def writer(name: bytes, count: int, sees: frozenset[int], *, looks: bool = False) -> Writer:
    """One control plane that fills the place with its name, or only looks."""
    return Writer(looking(count) if looks else filling(count, name), sees)


def orders(count: int, views: tuple[frozenset[int], ...]) -> Iterator[tuple[list[bytes | None], list[Writer]]]:
    """Every order in which writers with these views can act, each to its end or dead after any operation."""

    def replay(order: tuple[int, ...]) -> tuple[list[bytes | None], list[Writer]]:
        stores: list[bytes | None] = [None] * count
        writers = [writer(bytes([number]), count, view) for number, view in enumerate(views)]
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
                    later = writer(b"later", count, frozenset(range(count)))
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
        writer(bytes([number]), count, frozenset(view), looks=look)
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


class Vandal:
    """Puts bytes that are nothing into the place at one store, once, if it is free."""

    def __init__(self, store: int) -> None:
        self.store, self.ended, self.result = store, False, None
        self.heard: list[object] = []

    def act(self, stores: list[bytes | None]) -> None:
        if stores[self.store] is None:
            stores[self.store] = b"!%d" % self.store  # others at each store
        self.ended = True


def is_nothing(data: bytes) -> bool:
    return data == NOTHING or data.startswith(b"!")


def fills(count: int, proposal: bytes, sees: frozenset[int], *, looks: bool = False) -> Writer:
    writer = Writer.__new__(Writer)
    writer.sees = sees
    writer.steps = looking(count, void=is_nothing) if looks else filling(count, proposal, void=is_nothing)
    writer.asked, writer.result, writer.heard, writer.ended = None, None, [], False
    writer._go(first=True)
    return writer


def replayed(
    count: int, views: tuple[frozenset[int], ...], dirty: tuple[int, ...], order: tuple[int, ...]
) -> tuple[list[bytes | None], list[Writer | Vandal]]:
    stores: list[bytes | None] = [None] * count
    acting: list[Writer | Vandal] = [fills(count, bytes([number]), view) for number, view in enumerate(views)]
    acting += [Vandal(store) for store in dirty]
    for one in order:
        acting[one].act(stores)
    return stores, acting


def settled(stores: list[bytes | None]) -> Writer:
    """Somebody who comes later, and whom all stores answer."""
    later = fills(len(stores), b"later", frozenset(range(len(stores))))
    while not later.ended:
        later.act(stores)
    return later


@pytest.mark.parametrize(
    ("count", "dirty"),
    [(1, (0,)), (2, (0,)), (2, (1,)), (2, (0, 1)), (3, (0,)), (3, (2,)), (3, (0, 1)), (3, (1, 2)), (3, (0, 1, 2))],
)
def test_every_order_with_somebody_who_fills_places_with_nothing(count: int, dirty: tuple[int, ...]) -> None:
    """Nobody is told two things, and whoever comes later is told the same, or may go on with the next place."""
    everywhere = frozenset(range(count))
    told_something = told_nothing = 0
    for views in product([everywhere, everywhere - {0}, everywhere - {count - 1}], repeat=2):
        waiting: list[tuple[int, ...]] = [()]
        known: set[tuple[object, ...]] = set()
        while waiting:
            order = waiting.pop()
            stores, acting = replayed(count, views, dirty, order)
            state = (*stores, *(tuple(one.heard) for one in acting), *(one.ended for one in acting))
            if state in known:
                continue
            known.add(state)
            told = {one.result for one in acting if isinstance(one.result, bytes)}
            assert len(told) <= 1, (views, order, stores, told)
            later = settled(list(stores))
            assert isinstance(later.result, bytes), "with all stores answering everybody can go on"
            assert not told or told == {later.result}, (views, order, stores, told, later.result)
            told_something += bool(told - {NOTHING})
            told_nothing += NOTHING in told
            waiting += [(*order, number) for number, one in enumerate(acting) if not one.ended]
    assert told_something
    assert told_nothing or (count, len(dirty)) == (3, 1), "two stores that are clean are enough"


def test_one_store_full_of_nothing_costs_a_place_only_where_two_are_needed() -> None:
    for count, expected in ((3, b"mine"), (2, NOTHING), (1, NOTHING)):
        for store in range(count):
            stores: list[bytes | None] = [b"!" if number == store else None for number in range(count)]
            writer = fills(count, b"mine", frozenset(range(count)))
            while not writer.ended:
                writer.act(stores)
            assert writer.result == expected, (count, store)
            looker = fills(count, b"", frozenset(range(count)), looks=True)
            while not looker.ended:
                looker.act(stores)
            assert looker.result == expected


def test_what_is_too_large_is_nothing_and_is_not_fetched() -> None:
    class Counting(MemoryStore):
        fetched = 0

        def get(self, key: str) -> bytes:
            self.fetched += 1
            return super().get(key)

    store = Counting(name="a")
    store.create("p/0000000000", b"x" * 101)
    assert Slots([store], "p/", 100).look(0) == NOTHING and store.fetched == 0
    assert Slots([store], "p/", 101).look(0) == b"x" * 101
