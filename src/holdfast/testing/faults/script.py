"""The sentences: what goes wrong, at which operations."""

from __future__ import annotations

import random as random_numbers
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Self

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import HoldfastError, StoreUnreachableError, UsageError
from holdfast.stores.faulty import Fault, FaultyStore, Operation
from holdfast.stores.protocol import Store
from holdfast.testing.faults.lagging import Lag, LaggingStore, SkewedTimes
from holdfast.testing.faults.single import (
    Damaged,
    Delay,
    Failure,
    FullDisk,
    Harmless,
    LostAnswer,
    ShortRead,
    Stop,
    Throttled,
)

__all__ = ["VERBS", "WRITING_VERBS", "Faults"]

VERBS = ("put", "create", "get", "get_ranges", "head", "list", "folders", "delete")
WRITING_VERBS = ("put", "create", "delete")


class Faults:
    """A script of faults. Its methods add a sentence and return the script; all of them may be used while it runs.

    `seed` makes what happens by chance repeatable, `clock` is what `slow` waits on and lags are measured by.
    """

    def __init__(self, seed: int = 0, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self._random = random_numbers.Random(seed)
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._lags: list[_LagRule] = []
        self._times: SkewedTimes | None = None
        self._shown = False  # whether `over` made a store that shows lags

    def over(self, store: Store) -> FaultyStore:
        """The store on which all this happens."""
        self._shown = True
        return FaultyStore(LaggingStore(store, self), self)

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
        fault = Failure(with_) if before_effect else LostAnswer(with_)
        return self._add(_Rule(_verbs(verb), matching, _times(at), chance, fault))

    def lose_answer(
        self, verb: str, *, matching: str = "*", at: int | Collection[int] | None = None, chance: float = 1.0
    ) -> Self:
        """The operation takes effect, and its caller hears StoreUnreachableError."""
        return self.fail(verb, matching=matching, at=at, before_effect=False, chance=chance)

    def throttle(
        self,
        verb: str = "*",
        *,
        retry_after: float = 1.0,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        chance: float = 1.0,
    ) -> Self:
        """The store answers 503 with Retry-After in seconds: nothing takes effect, StoreUnreachableError."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), chance, Throttled(retry_after)))

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
        return self._add(_Rule(_verbs(verb), matching, _times(at), chance, Delay(by, self.clock)))

    def shorten(self, verb: str, *, to: int, matching: str = "*", at: int | Collection[int] | None = None) -> Self:
        """Reading (`get`, `get_ranges`) hands out at most the first `to` bytes of each piece, without an error."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), 1.0, ShortRead(to)))

    def damage(self, verb: str, *, byte: int, matching: str = "*", at: int | Collection[int] | None = None) -> Self:
        """Reading hands out contents with the lowest bit of byte number `byte` (modulo the size) flipped."""
        return self._add(_Rule(_verbs(verb), matching, _times(at), 1.0, Damaged(byte)))

    def fill_up_after(self, size: int) -> Self:
        """There is room for `size` more bytes. A write that does not fit raises StorageFullError, without effect."""
        return self._add(_Rule(("put", "create"), "*", None, 1.0, FullDisk(size)))

    def stop_after(self, count: int, verb: str = "*") -> Self:
        """The process dies (`Crash`) when the `count`-th operation has taken effect; later operations die at once.

        With `verb="put create delete"` only writes are counted; afterwards reading raises `Crash` too.
        """
        return self._add(_Rule(VERBS, "*", None, 1.0, Stop(count, _verbs(verb))))

    def list_late(
        self,
        *,
        seconds: float = 0.0,
        operations: int = 0,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        chance: float = 1.0,
    ) -> Self:
        """A new object is missing from listings for that long; reading it by its name works. Needs `over`."""
        return self._add_lag("appear", Lag(seconds, operations), matching, at, chance)

    def list_deleted(
        self,
        *,
        seconds: float = 0.0,
        operations: int = 0,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        chance: float = 1.0,
    ) -> Self:
        """A deleted object stays in listings for that long. Needs `over`."""
        return self._add_lag("vanish", Lag(seconds, operations), matching, at, chance)

    def read_stale(
        self,
        *,
        seconds: float = 0.0,
        operations: int = 0,
        matching: str = "*",
        at: int | Collection[int] | None = None,
        chance: float = 1.0,
    ) -> Self:
        """Reading an object that was overwritten or deleted answers with the old state for that long. Needs `over`."""
        return self._add_lag("stale", Lag(seconds, operations), matching, at, chance)

    def skew_times(
        self, seconds: float = 0.0, *, drift: float = 0.0, jump: float = 0.0, jump_at: int | None = None
    ) -> Self:
        """The store's clock is ahead by `seconds` (behind, if negative), gains `drift` seconds each second, and after
        the `jump_at`-th object that is written jumps by `jump` seconds. Needs `over`.
        """
        with self._lock:
            self._times = SkewedTimes(seconds, drift, jump, jump_at)
        return self

    def heal(self) -> Self:
        """From now on nothing goes wrong any more: all sentences are forgotten. What lags already goes on to."""
        with self._lock:
            self._rules.clear()
            self._lags.clear()
            self._times = None
        return self

    def due(self, operation: Operation) -> Sequence[Fault]:
        """The faults that befall `operation`, in the order of their sentences. For FaultyStore; counts it."""
        with self._lock:
            if not self._shown and (self._lags or self._times is not None):
                raise UsageError(
                    "these faults show what a store was like before", hint="make the store with `faults.over(store)`"
                )
            return [
                rule.fault.struck(operation)
                for rule in self._rules
                if rule.strikes(operation.verb, operation.key, self._random)
            ]

    @property
    def times(self) -> SkewedTimes | None:
        """The store's clock, where it is wrong. For LaggingStore."""
        return self._times

    def appears_after(self, verb: str, key: str) -> Lag | None:
        """For LaggingStore."""
        return self._lag("appear", verb, key)

    def listed_after(self, key: str) -> Lag | None:
        """For LaggingStore."""
        return self._lag("vanish", "delete", key)

    def stale_after(self, verb: str, key: str) -> Lag | None:
        """For LaggingStore."""
        return self._lag("stale", verb, key)

    def _lag(self, what: str, verb: str, key: str) -> Lag | None:
        with self._lock:
            found = [r.lag for r in self._lags if r.what == what and r.strikes(verb, key, self._random)]
        return found[-1] if found else None

    def _add(self, rule: _Rule) -> Self:
        with self._lock:
            self._rules.append(rule)
        return self

    def _add_lag(self, what: str, lag: Lag, matching: str, at: int | Collection[int] | None, chance: float) -> Self:
        if lag.seconds <= 0 and lag.operations <= 0:
            raise UsageError("this lasts no time", hint="say for how many seconds=… or operations=…")
        with self._lock:
            self._lags.append(_LagRule(WRITING_VERBS, matching, _times(at), chance, what, lag))
        return self


def _verbs(text: str) -> Collection[str]:
    verbs = VERBS if text == "*" else tuple(text.split())
    unknown = set(verbs) - set(VERBS)
    if unknown or not verbs:
        raise UsageError(f"{text!r} names no methods of a store", hint=f"known are: {', '.join(VERBS)} and *")
    return verbs


def _times(at: int | Collection[int] | None) -> Collection[int] | None:
    return (at,) if isinstance(at, int) else at


@dataclass
class _Sentence:
    verbs: Collection[str]
    matching: str
    times: Collection[int] | None
    chance: float
    seen: int = field(default=0, init=False)

    def strikes(self, verb: str, key: str, random: random_numbers.Random) -> bool:
        if verb not in self.verbs or not fnmatchcase(key, self.matching):
            return False
        self.seen += 1
        if self.times is not None and self.seen not in self.times:
            return False
        return self.chance >= 1 or random.random() < self.chance


@dataclass
class _Rule(_Sentence):
    fault: Harmless


@dataclass
class _LagRule(_Sentence):
    what: str
    lag: Lag
