"""Numbered places that are filled once, at a majority of one, two or three stores, whoever fills them.

Each store gives one thing: of many who create an object exactly one wins, and it is never replaced. Whoever wants to
fill a place goes through the stores in one order that all share, and takes over what it finds instead of its own:

* A place is filled when a majority of the stores has the same bytes there; that can never change again.
* Who finds another's bytes at the first store that answers carries those on, so that a dead writer blocks nobody.
* More silent stores than a minority: nothing is written at the others, and the writer stops.

Of two stores one may be gone for good. Then somebody says so at the other: bytes that *decide alone* there, as whoever
reads them can tell (`decides`). They count whatever the lost store holds, or gets later, at that place; without them
two stores with different bytes, or one that is silent, decide nothing.

Why no three of three stores ever differ: own bytes are written at the third only by who has them at the first or the
second. So with all three answering there is always a majority. Two stores: both are needed. The argument is tried out
in every order of operations by `tests/unit/recovery/test_slots.py`. The idea of helping what is found is that of Paxos
(L. Lamport, "The part-time parliament", 1998) and of Disk Paxos (E. Gafni, L. Lamport, 2003); there are no ballots
here, as nothing is ever replaced.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

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

__all__ = ["STORES_MAX", "Ask", "Decides", "Slots", "filling", "looking", "nothing_decides"]

STORES_MAX: Final = 3


class Ask(NamedTuple):
    """One operation on the store of that number. `data`: create it if there is nothing; None: only look.

    The answer is what is there afterwards, None for nothing; or the error of a store that did not answer.
    """

    store: int
    data: bytes | None


Answer = bytes | None | HoldfastError
Decides: TypeAlias = Callable[[int, bytes], bool]  # the number of a store, and what it has: whether that decides alone


def nothing_decides(store: int, data: bytes) -> bool:
    """No bytes decide alone."""
    return False


def filling(count: int, proposal: bytes, decides: Decides = nothing_decides) -> Generator[Ask, Answer, bytes]:
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
                return (yield from _alone(count, store, held, silent, decides))
            continue
        assert answer is not None
        if not held:
            candidate = answer
        held[store] = answer
        winner, votes = Counter(held.values()).most_common(1)[0]
        if votes >= most:
            return winner
    for store, data in held.items():
        if decides(store, data):
            return data
    if not silent:
        raise DamageError(
            "no two stores of the journal have the same here, which no control plane can bring about",
            hint="somebody else writes to these stores: look at their access logs",
        )
    raise ConflictError(
        "two control planes have written this place of the journal, each at one store, and the third does not answer",
        hint="wait until it answers: whose entry counts is decided there",
    ) from next(iter(silent.values()), None)


def looking(count: int, decides: Decides = nothing_decides) -> Generator[Ask, Answer, bytes | None]:
    """What a place is filled with, None while no store of a majority has anything; what is half filled is filled.

    Raises as `filling` does.
    """
    most = count // 2 + 1
    held: dict[int, bytes] = {}
    silent: dict[int, HoldfastError] = {}
    votes: Counter[bytes] = Counter()
    for store in range(count):
        answer = yield Ask(store, None)
        if isinstance(answer, HoldfastError):
            silent[store] = answer
            if len(silent) > count - most:
                return (yield from _alone(count, store, held, silent, decides))
        elif answer is not None:
            held[store] = answer
            votes[answer] += 1
            if votes[answer] >= most:
                return answer
    if not held:
        return None
    return (yield from filling(count, next(iter(held.values())), decides))


def _alone(
    count: int, asked: int, held: dict[int, bytes], silent: dict[int, HoldfastError], decides: Decides
) -> Generator[Ask, Answer, bytes]:
    """Too many are silent: what one of the others has may decide alone. Nothing is written."""
    for store in range(count):
        if store > asked:
            answer = yield Ask(store, None)
            if isinstance(answer, bytes):
                held[store] = answer
        if store in held and decides(store, held[store]):
            return held[store]
    raise _no_majority(silent, count)


def _no_majority(silent: dict[int, HoldfastError], count: int) -> StoreUnreachableError:
    reasons = "; ".join(error.message for error in silent.values())
    return StoreUnreachableError(
        f"{len(silent)} of the {count} stores of the journal do not answer ({reasons})",
        hint="a run goes on when a majority of them answers; with two stores both have to. If one is gone for good: "
        "`holdfast recover adopt RUN --without SITE`",
    )


class Slots:
    """The places under one prefix (`runs/<id>/`), numbered from 0 on, at one to three stores in the order of all."""

    def __init__(self, stores: Sequence[Store], prefix: str) -> None:
        """Raises UsageError for another number of stores, or two of one name."""
        if not 1 <= len(stores) <= STORES_MAX or len({store.url for store in stores}) < len(stores):
            raise UsageError(f"a journal lies at one to {STORES_MAX} different stores")
        self._stores = stores
        self._prefix = prefix
        self._hanging: dict[int, Future[Answer]] = {}

    def fill(self, number: int, proposal: bytes, decides: Decides = nothing_decides) -> bytes:
        """What the place is filled with: `proposal`, or what somebody else was faster with. Durable at a majority.

        Raises StoreUnreachableError, ConflictError, and what the stores raise besides.
        """
        filled = self._drive(number, filling(len(self._stores), proposal, decides), {})
        assert filled is not None
        return filled

    def look(self, number: int, decides: Decides = nothing_decides) -> bytes | None:
        """What the place is filled with; None: nothing yet. Raises as `fill` does.

        All stores are asked at once, and their answers taken in the order of all: to look changes nothing, so it does
        not matter which was asked first. Nobody waits for one whose answer is not needed.
        """
        key, count = self._key(number), len(self._stores)
        asked = {one: self._asked(one, key) for one in range(count) if count > 1 and self._is_free(one)}
        return self._drive(number, looking(count, decides), asked)

    def _is_free(self, store: int) -> bool:
        """Whether an earlier question to it was answered; else it is asked when its answer is wanted, not before."""
        return store not in self._hanging or self._hanging[store].done()

    def _asked(self, store: int, key: str) -> Future[Answer]:
        answer: Future[Answer] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._ask(key, Ask(store, None)))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is taken
                answer.set_exception(error)

        self._hanging[store] = answer
        threading.Thread(target=ask, name=f"journal {store}", daemon=True).start()  # one that hangs keeps nobody alive
        return answer

    def at(self, store: int, number: int) -> bytes | None:
        """What that one store has at the place. Raises what it raises."""
        answer = self._ask(self._key(number), Ask(store, None))
        if isinstance(answer, HoldfastError):
            raise answer
        return answer

    def without(self, store: int) -> Slots:
        """The same places, at the other stores."""
        return Slots([one for number, one in enumerate(self._stores) if number != store], self._prefix)

    def __len__(self) -> int:
        return len(self._stores)

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:010d}"

    def _drive(
        self, number: int, steps: Generator[Ask, Answer, bytes | None], looked: dict[int, Future[Answer]]
    ) -> bytes | None:
        """`looked`: looks that are under way; each is good for the first look that is wanted of its store."""
        key = self._key(number)
        try:
            asked = next(steps)
            while True:
                under_way = looked.pop(asked.store, None) if asked.data is None else None
                answer = self._ask(key, asked) if under_way is None else under_way.result()
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
