"""Numbered places that are filled once, at a majority of one, two or three stores, whoever fills them.

Each store gives one thing: of many who create an object exactly one wins, and it is never replaced. Whoever wants to
fill a place goes through the stores in one order that all share, and takes over what it finds instead of its own:

* A place is filled when a majority of the stores has the same bytes there; that can never change again.
* Who finds another's bytes at the first store that answers carries those on, so that a dead writer blocks nobody.
* More silent stores than a minority: nothing is written at the others, and the writer stops.

Why no three of three stores ever differ: own bytes are written at the third only by who has them at the first or the
second. So with all three answering there is always a majority. Two stores: both are needed. The argument is tried out
in every order of operations by `tests/unit/recovery/test_slots.py`. The idea of helping what is found is that of Paxos
(L. Lamport, "The part-time parliament", 1998) and of Disk Paxos (E. Gafni, L. Lamport, 2003); there are no ballots
here, as nothing is ever replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    HoldfastError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.stores.protocol import Store

__all__ = ["STORES_MAX", "Ask", "Slots", "filling", "looking"]

STORES_MAX: Final = 3


class Ask(NamedTuple):
    """One operation on the store of that number. `data`: create it if there is nothing; None: only look.

    The answer is what is there afterwards, None for nothing; or the error of a store that did not answer.
    """

    store: int
    data: bytes | None


Answer = bytes | None | HoldfastError


def filling(count: int, proposal: bytes) -> Generator[Ask, Answer, bytes]:
    """Fill one place at `count` stores: yields what to ask, gets the answers, returns what the place is filled with.

    Raises StoreUnreachableError (no majority answers), ConflictError (two bytes at one store each, and the third is
    silent: it has to answer before anybody can go on), DamageError (all three differ).
    """
    most = count // 2 + 1
    candidate = proposal
    held: dict[int, bytes] = {}
    silent: dict[int, HoldfastError] = {}
    for store in range(count):
        answer = yield Ask(store, candidate)
        if isinstance(answer, HoldfastError):
            silent[store] = answer
            if len(silent) > count - most:
                raise _no_majority(silent, count)
            continue
        assert answer is not None
        if not held:
            candidate = answer
        held[store] = answer
        winner, votes = Counter(held.values()).most_common(1)[0]
        if votes >= most:
            return winner
    if not silent:
        raise DamageError(
            "no two stores of the journal have the same here, which no control plane can bring about",
            hint="somebody else writes to these stores: look at their access logs",
        )
    raise ConflictError(
        "two control planes have written this place of the journal, each at one store, and the third does not answer",
        hint="wait until it answers: whose entry counts is decided there",
    ) from next(iter(silent.values()), None)


def looking(count: int) -> Generator[Ask, Answer, bytes | None]:
    """What a place is filled with, None while no store of a majority has anything; what is half filled is filled.

    Raises as `filling` does.
    """
    most = count // 2 + 1
    found: bytes | None = None
    silent: dict[int, HoldfastError] = {}
    votes: Counter[bytes] = Counter()
    for store in range(count):
        answer = yield Ask(store, None)
        if isinstance(answer, HoldfastError):
            silent[store] = answer
            if len(silent) > count - most:
                raise _no_majority(silent, count)
        elif answer is not None:
            found = answer if found is None else found
            votes[answer] += 1
            if votes[answer] >= most:
                return answer
    if found is None:
        return None
    return (yield from filling(count, found))


def _no_majority(silent: dict[int, HoldfastError], count: int) -> StoreUnreachableError:
    reasons = "; ".join(error.message for error in silent.values())
    return StoreUnreachableError(
        f"{len(silent)} of the {count} stores of the journal do not answer ({reasons})",
        hint="a run goes on when a majority of them answers; with two stores both have to",
    )


class Slots:
    """The places under one prefix (`runs/<id>/`), numbered from 0 on, at one to three stores in the order of all."""

    def __init__(self, stores: Sequence[Store], prefix: str) -> None:
        """Raises UsageError for another number of stores, or two of one name."""
        if not 1 <= len(stores) <= STORES_MAX or len({store.url for store in stores}) < len(stores):
            raise UsageError(f"a journal lies at one to {STORES_MAX} different stores")
        self._stores = stores
        self._prefix = prefix

    def fill(self, number: int, proposal: bytes) -> bytes:
        """What the place is filled with: `proposal`, or what somebody else was faster with. Durable at a majority.

        Raises StoreUnreachableError, ConflictError, and what the stores raise besides.
        """
        filled = self._drive(number, filling(len(self._stores), proposal))
        assert filled is not None
        return filled

    def look(self, number: int) -> bytes | None:
        """What the place is filled with; None: nothing yet. Raises as `fill` does."""
        return self._drive(number, looking(len(self._stores)))

    def _drive(self, number: int, steps: Generator[Ask, Answer, bytes | None]) -> bytes | None:
        key = f"{self._prefix}{number:010d}"
        answer: Answer = None
        try:
            asked = next(steps)
            while True:
                answer = self._ask(key, asked)
                asked = steps.send(answer)
        except StopIteration as ended:
            value: bytes | None = ended.value
            return value

    def _ask(self, key: str, asked: Ask) -> Answer:
        store = self._stores[asked.store]
        try:
            if asked.data is None:
                return store.get(key)
            try:
                store.create(key, asked.data)
            except AlreadyExistsError:
                return store.get(key)
            return asked.data
        except ObjectNotFoundError:
            return None
        except HoldfastError as error:
            # Also a store that refuses or is full: it has no say now, and what it may have written is found later.
            return error
