"""Numbered places that are filled once, at a majority of one, two or three stores, whoever fills them.

Each store gives one thing: of many who create an object exactly one wins, and it is never replaced. Whoever wants to
fill a place goes through the stores in one order that all share, and takes over what it finds instead of its own:

* A place is filled when a majority of the stores has the same bytes there; that can never change again.
* Who finds another's bytes at the first store that answers carries those on, so that a dead writer blocks nobody.
* More silent stores than a minority: nothing is written at the others, and the writer stops.

Of two stores one may be gone for good. Then somebody says so at the other: bytes that *decide alone* there, as whoever
reads them can tell (`decides`). They count whatever the lost store holds, or gets later, at that place; without them
two stores with different bytes, or one that is silent, decide nothing.

Whoever may create objects can put anything into a place first. What is nothing, as all readers judge alike (`void`), is
no vote for any bytes, and nobody carries it on: with it at one of three stores, the two others fill the place. A place
is filled with NOTHING when a majority has such, or when every store has something and no bytes have a majority: nothing
can be replaced, so that this never changes either. Writers go on to the next place.

Why no three of three stores ever differ: own bytes are written at the third only by who has them at the first or the
second. So with all three answering there is always a majority. Two stores: both are needed. The argument is tried out
in every order of operations by `tests/unit/recovery/test_slots.py`. The idea of helping what is found is that of Paxos
(L. Lamport, "The part-time parliament", 1998) and of Disk Paxos (E. Gafni, L. Lamport, 2003); there are no ballots
here, as nothing is ever replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Final, NamedTuple, TypeAlias

from holdfast.errors import ConflictError, DamageError, HoldfastError, StoreUnreachableError

__all__ = [
    "NOTHING",
    "STORES_MAX",
    "Answer",
    "Ask",
    "Decides",
    "Voids",
    "filling",
    "looking",
    "no_voids",
    "nothing_decides",
]

STORES_MAX: Final = 3
NOTHING: Final = b"\0nothing"
"""What a place is filled with that nobody's bytes can have any more."""


class Ask(NamedTuple):
    """One operation on the store of that number. `data`: create it if there is nothing; None: only look.

    The answer is what is there afterwards, None for nothing; or the error of a store that did not answer.
    """

    store: int
    data: bytes | None


Answer = bytes | None | HoldfastError
Decides: TypeAlias = Callable[[int, bytes], bool]  # the number of a store, and what it has: whether that decides alone


Voids: TypeAlias = Callable[[bytes], bool]  # whether these bytes are nothing, for all readers alike


def no_voids(data: bytes) -> bool:
    """All bytes are something, but for what is too large."""
    return data == NOTHING


def nothing_decides(store: int, data: bytes) -> bool:
    """No bytes decide alone."""
    return False


def filling(
    count: int,
    proposal: bytes,
    decides: Decides = nothing_decides,
    void: Voids = no_voids,
    *,
    whole: bool = True,
) -> Generator[Ask, Answer, bytes]:
    """Fill one place at `count` stores: yields what to ask, gets the answers, returns what the place is filled with, or
    NOTHING. `whole`: these are all the stores that have a say; else one of them may have decided with another one.

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
        if answer != candidate and void(answer):
            answer = NOTHING
        elif all(one == NOTHING for one in held.values()):
            candidate = answer
        held[store] = answer
        winner, votes = Counter(held.values()).most_common(1)[0]
        if votes >= most:
            return winner
    for store, data in held.items():
        if decides(store, data):
            return data
    if NOTHING in held.values() and not silent and whole:
        return NOTHING
    if NOTHING in held.values() and not silent:
        raise ConflictError(
            "somebody put what is nothing into this place of the journal at one store, and what counts there is known "
            "at the store that is gone alone",
            hint="plan a new recovery",
        )
    if not silent:
        raise DamageError(
            "no two stores of the journal have the same here, which no control plane can bring about",
            hint="somebody else writes to these stores: look at their access logs",
        )
    raise ConflictError(
        "two control planes have written this place of the journal, each at one store, and the third does not answer",
        hint="wait until it answers: whose entry counts is decided there",
    ) from next(iter(silent.values()), None)


def looking(
    count: int, decides: Decides = nothing_decides, void: Voids = no_voids, *, whole: bool = True
) -> Generator[Ask, Answer, bytes | None]:
    """What a place is filled with, or NOTHING; None while no store of a majority has anything that is something. What
    is half filled is filled.

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
            held[store] = answer if answer in held.values() or not void(answer) else NOTHING
            votes[held[store]] += 1
            if votes[held[store]] >= most:
                return held[store]
    something = next((one for one in held.values() if one != NOTHING), None)
    if something is None:
        return None
    return (yield from filling(count, something, decides, void, whole=whole))


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
