"""One of two stores is gone for good, and somebody says so at the other: every order of operations, also with the lost
store coming back, and with a control plane that never heard of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slot_writers import Writer

from holdfast.errors import HoldfastError
from holdfast.recovery.journal.deciding import Answer, Ask, filling, looking

LOST = (0, 1)
SAYS = b"the other one is gone"


def decides_for(left: int):
    """What is said at the store that is left decides alone there."""

    def decides(store: int, data: bytes) -> bool:
        return store == left and data == SAYS

    return decides


def saying(left: int) -> Generator[Ask, Answer, bytes]:
    """Who leaves the other one out asks the store that is left, and no other."""
    answer = yield Ask(left, SAYS)
    if isinstance(answer, HoldfastError):
        raise answer
    assert answer is not None
    return answer


VIEWS = [frozenset({0, 1}), frozenset({0}), frozenset({1})]


def writers_of(left: int, views: tuple[frozenset[int], ...], looks: bool) -> list[Writer]:
    """The first leaves out; the others fill, and the last looks where `looks`."""
    found = [Writer(saying(left), frozenset({left}))]
    for number, view in enumerate(views):
        if looks and number == len(views) - 1:
            found.append(Writer(looking(2, decides_for(left)), view))
        else:
            found.append(Writer(filling(2, bytes([number]), decides_for(left)), view))
    return found


def orders(
    left: int, views: tuple[frozenset[int], ...], looks: bool
) -> Iterator[tuple[list[bytes | None], list[Writer]]]:
    waiting: list[tuple[int, ...]] = [()]
    known: set[tuple[object, ...]] = set()
    while waiting:
        order = waiting.pop()
        stores: list[bytes | None] = [None, None]
        writers = writers_of(left, views, looks)
        for one in order:
            writers[one].act(stores)
        state = (*stores, *(tuple(one.heard) for one in writers))
        if state in known:
            continue
        known.add(state)
        yield stores, writers
        waiting += [(*order, number) for number, one in enumerate(writers) if not one.ended]


def judge(left: int, stores: list[bytes | None], writers: list[Writer]) -> None:
    told = {one.result for one in writers if isinstance(one.result, bytes)}
    assert len(told) <= 1, (left, stores, told)
    if told:
        assert stores[left] in told, "the store that is left has whatever anybody was told"


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("left", LOST)
def test_every_order(left: int, looks: bool) -> None:
    """Nobody is told two things; once it is said, the lost store can bring about nothing else at that place."""
    seen = said = 0
    for number in (1, 2):
        for views in product(VIEWS, repeat=number):
            for stores, writers in orders(left, views, looks):
                seen += 1
                judge(left, stores, writers)
                if stores[left] != SAYS:
                    continue
                said += 1
                assert all(one.result in (SAYS, None) or isinstance(one.result, HoldfastError) for one in writers)
                later = Writer(looking(2, decides_for(left)), frozenset({left}))
                while not later.ended:
                    later.act(list(stores))
                assert later.result == SAYS, "whoever sees the one that is left knows it"
                both = Writer(filling(2, b"later", decides_for(left)), frozenset({0, 1}))
                held = list(stores)
                while not both.ended:
                    both.act(held)
                assert both.result == SAYS, "and so does who sees the lost one, too, whatever it has"
    assert seen > 150 and said > 50


def test_it_is_needed() -> None:
    """Without the rule the same orders leave the place undecided for ever: the test would see it."""
    stuck = 0
    for stores, _ in orders(1, (frozenset({0, 1}),), looks=False):
        if stores[1] == SAYS and stores[0] not in (None, SAYS):
            blind = Writer(looking(2), frozenset({0, 1}))
            held = list(stores)
            while not blind.ended:
                blind.act(held)
            stuck += isinstance(blind.result, HoldfastError)
    assert stuck


@given(
    st.sampled_from(LOST),
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40),
    st.lists(st.sets(st.integers(0, 1)), min_size=4, max_size=4),
    st.booleans(),
)
def test_answers_that_are_lost(left: int, acts: list[tuple[int, bool]], views: list[set[int]], looks: bool) -> None:
    stores: list[bytes | None] = [None, None]
    writers = writers_of(left, tuple(map(frozenset, views)), looks)
    for number, lost in acts:
        if not writers[number].ended:
            writers[number].act(stores, lost=lost)
    judge(left, stores, writers)
