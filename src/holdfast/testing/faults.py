"""Faults of a store, scripted in sentences, for `holdfast.stores.faulty.FaultyStore`.

::

    faults = (
        Faults(seed=1)
        .fail("put", matching="packs/*", at=3)
        .lose_answer("create", at=2)
        .slow("get", by=0.05)
        .stop_after(7)
    )
    store = FaultyStore(LocalStore(folder), faults)

`verb` is a method of a store, `"*"` for any, or several (`"put create"`). `matching` is a shell pattern for the key
(`*` also matches slashes). `at` counts the operations that match, from 1: one number, or a collection such as
`range(1, 4)`; None means each of them. `chance` is the probability, from 0 to 1, that it happens then.
"""

from __future__ import annotations

import random as random_numbers
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Self

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import HoldfastError, StorageFullError, StoreUnreachableError, UsageError
from holdfast.stores.faulty import Fault, Operation

__all__ = ["VERBS", "WRITING_VERBS", "Crash", "Faults"]

VERBS = ("put", "create", "get", "get_ranges", "head", "list", "folders", "delete")
WRITING_VERBS = ("put", "create", "delete")


class Crash(BaseException):
    """The process is as good as dead: not an Exception, so that no code which handles errors can go on after it."""


class Faults:
    """A script of faults. Its methods add a sentence and return the script; all of them may be used while it runs.

    `seed` makes what happens by chance repeatable, `clock` is what `slow` waits on.
    """

    def __init__(self, seed: int = 0, clock: Clock = SYSTEM_CLOCK) -> None:
        self._random = random_numbers.Random(seed)
        self._clock = clock
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def fail(
        self,
        verb: str,
        *,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        before_effect: bool = True,
        with_: type[HoldfastError] = StoreUnreachableError,
        chance: float = 1.0,
    ) -> Self:
        """The operation raises `with_`: before it takes effect, or (`before_effect=False`) although it did."""
        fault = _Failure(with_) if before_effect else _LostAnswer(with_)
        return self._add(_Rule(_verbs(verb), matching, _times(at), fault, chance))

    def lose_answer(
        self, verb: str, *, matching: str = "*", at: int | Collection[int] | None = None, chance: float = 1.0
    ) -> Self:
        """The operation takes effect, and its caller hears StoreUnreachableError."""
        return self.fail(verb, matching=matching, at=at, before_effect=False, chance=chance)

    def slow(
        self,
        verb: str,
        *,
        by: float,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        chance: float = 1.0,
    ) -> Self:
        """The operation begins `by` seconds later."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), _Delay(by, self._clock), chance))

    def shorten(self, verb: str, *, to: int, matching: str = "*", at: int | Collection[int] | None = None) -> Self:
        """Reading (`get`, `get_ranges`) hands out at most the first `to` bytes of each piece, without an error."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), _ShortRead(to), 1.0))

    def damage(self, verb: str, *, byte: int, matching: str = "*", at: int | Collection[int] | None = None) -> Self:
        """Reading hands out contents with the lowest bit of byte number `byte` (modulo the size) flipped."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), _Damage(byte), 1.0))

    def fill_up_after(self, size: int) -> Self:
        """There is room for `size` more bytes. A write that does not fit raises StorageFullError, without effect."""
        return self._add(_Rule(("put", "create"), "*", None, _FullDisk(size), 1.0))

    def stop_after(self, count: int, verb: str = "*") -> Self:
        """The process dies (`Crash`) when the `count`-th operation has taken effect; later operations die at once.

        With `verb="put create delete"` only writes are counted; afterwards reading raises `Crash` too.
        """
        return self._add(_Rule(VERBS, "*", None, _Stop(count, _verbs(verb)), 1.0))

    def heal(self) -> Self:
        """From now on nothing goes wrong any more: all sentences are forgotten."""
        with self._lock:
            self._rules.clear()
        return self

    def due(self, operation: Operation) -> Sequence[Fault]:
        """The faults that befall `operation`, in the order of their sentences. For FaultyStore; counts it."""
        with self._lock:
            return [rule.fault.struck(operation) for rule in self._rules if rule.strikes(operation, self._random)]

    def _add(self, rule: _Rule) -> Self:
        with self._lock:
            self._rules.append(rule)
        return self


def _verbs(text: str) -> Collection[str]:
    verbs = VERBS if text == "*" else tuple(text.split())
    unknown = set(verbs) - set(VERBS)
    if unknown or not verbs:
        raise UsageError(f"{text!r} names no methods of a store", hint=f"known are: {', '.join(VERBS)} and *")
    return verbs


def _times(at: int | Collection[int] | None) -> Collection[int] | None:
    return (at,) if isinstance(at, int) else at


class _Harmless:
    """A fault that does nothing; the others override what they need."""

    def struck(self, operation: Operation) -> Fault:
        """What befalls this one operation; called under the script's lock."""
        return self

    def before(self, operation: Operation) -> None:
        return

    def read(self, content: bytes) -> bytes:
        return content

    def after(self, operation: Operation) -> None:
        return


@dataclass
class _Rule:
    verbs: Collection[str]
    matching: str
    times: Collection[int] | None
    fault: _Harmless
    chance: float
    seen: int = field(default=0)

    def strikes(self, operation: Operation, random: random_numbers.Random) -> bool:
        if operation.verb not in self.verbs or not fnmatchcase(operation.key, self.matching):
            return False
        self.seen += 1
        if self.times is not None and self.seen not in self.times:
            return False
        return self.chance >= 1 or random.random() < self.chance


@dataclass
class _Failure(_Harmless):
    error: type[HoldfastError]

    def before(self, operation: Operation) -> None:
        raise self.error(f"scripted fault: {operation.verb} {operation.key} failed", object_name=operation.key)


@dataclass
class _LostAnswer(_Harmless):
    error: type[HoldfastError]

    def after(self, operation: Operation) -> None:
        raise self.error(
            f"scripted fault: the answer to {operation.verb} {operation.key} was lost", object_name=operation.key
        )


@dataclass
class _Delay(_Harmless):
    seconds: float
    clock: Clock

    def before(self, operation: Operation) -> None:
        self.clock.sleep(self.seconds)


@dataclass
class _ShortRead(_Harmless):
    size: int

    def read(self, content: bytes) -> bytes:
        return content[: self.size]


@dataclass
class _Damage(_Harmless):
    byte: int

    def read(self, content: bytes) -> bytes:
        if not content:
            return content
        damaged = bytearray(content)
        damaged[self.byte % len(damaged)] ^= 1
        return bytes(damaged)


@dataclass
class _FullDisk(_Harmless):
    room: int

    def struck(self, operation: Operation) -> Fault:
        if operation.size > self.room:
            return _Failure(StorageFullError)
        self.room -= operation.size
        return _Harmless()


@dataclass
class _Stop(_Harmless):
    left: int
    counted: Collection[str]

    def struck(self, operation: Operation) -> Fault:
        if self.left <= 0:
            return _CrashBefore()
        if operation.verb in self.counted:
            self.left -= 1
        return _CrashAfter() if self.left == 0 else _Harmless()


class _CrashBefore(_Harmless):
    def before(self, operation: Operation) -> None:
        raise Crash(f"scripted crash: before {operation.verb} {operation.key}")


class _CrashAfter(_Harmless):
    def after(self, operation: Operation) -> None:
        raise Crash(f"scripted crash: after {operation.verb} {operation.key}")
