"""A store that shows its past: listings that lag, reads of what was overwritten or deleted, a clock that is wrong.

Writing is never affected: `create` sees what is there. Only what was written through this object lags, for as long as
the sentence that struck it says, counted in seconds of the script's clock and in operations on this store, whichever
is over later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from holdfast.clock import Clock
from holdfast.errors import ObjectNotFoundError
from holdfast.stores.keys import folders_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.stores.ranges import cut

__all__ = ["Lag", "Lags", "SkewedTimes", "LaggingStore"]

_Result = TypeVar("_Result")


class Lag(NamedTuple):
    """For how long something is not seen: until both are over."""

    seconds: float = 0.0
    operations: int = 0


class Lags(Protocol):
    """What a script decides of each write."""

    clock: Clock

    def appears_after(self, verb: str, key: str) -> Lag | None:
        """Of a new object: when listings begin to name it."""
        ...

    def listed_after(self, key: str) -> Lag | None:
        """Of a deleted object: when listings cease to name it."""
        ...

    def stale_after(self, verb: str, key: str) -> Lag | None:
        """Of an object that was overwritten or deleted: when reading gives the new state."""
        ...

    @property
    def times(self) -> SkewedTimes | None: ...


class SkewedTimes:
    """The store's clock, where it is wrong: ahead by `seconds`, by `drift` seconds more each second, and, once it has
    given its `jump_at`-th time, by `jump` seconds more.
    """

    def __init__(self, seconds: float, drift: float, jump: float, jump_at: int | None) -> None:
        self._seconds = seconds
        self._drift = drift
        self._jump = jump
        self._jump_at = jump_at
        self._first_ns: int | None = None
        self._given = 0

    def skewed(self, time_ns: int) -> int:
        """What this clock shows when the right one shows `time_ns`. Called in the order of time."""
        self._first_ns = time_ns if self._first_ns is None else self._first_ns
        self._given += 1
        seconds = self._seconds + self._drift * (time_ns - self._first_ns) / 1e9
        if self._jump_at is not None and self._given > self._jump_at:
            seconds += self._jump
        return time_ns + round(seconds * 1e9)


class _Until(NamedTuple):
    time_ns: int
    operation: int


@dataclass
class _Past:
    """What is remembered of one key."""

    hidden: _Until | None = None  # listings do not name it
    listed: tuple[_Until, ObjectInfo] | None = None  # listings still name it
    old: tuple[_Until, bytes, ObjectInfo] | None = None  # reading gives this
    modified_ns: int | None = None  # by the skewed clock


class LaggingStore:
    """`store`, seen through `lags`. Keeps what was overwritten or deleted in memory for as long as it can be read."""

    def __init__(self, store: Store, lags: Lags) -> None:
        self._store = store
        self._lags = lags
        self._lock = threading.RLock()
        self._operations = 0
        self._past: dict[str, _Past] = {}

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write("put", key, lambda: self._store.put(key, data))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write("create", key, lambda: self._store.create(key, data))

    def get(self, key: str) -> bytes:
        old = self._old(key)
        return self._store.get(key) if old is None else old[0]

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        old = self._old(key)
        return self._store.get_ranges(key, ranges) if old is None else cut(key, old[0], ranges)

    def head(self, key: str) -> ObjectInfo:
        old = self._old(key)
        return self._shown(self._store.head(key)) if old is None else old[1]

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            self._operations += 1
            found = {info.key: self._shown(info) for info in self._store.list(prefix, after)}
            for key, past in self._past.items():
                if past.hidden is not None and not self._over(past.hidden):
                    found.pop(key, None)
                wanted = key.startswith(prefix) and key > after
                if wanted and past.listed is not None and not self._over(past.listed[0]):
                    found.setdefault(key, past.listed[1])
        yield from sorted(found.values())

    def folders(self, prefix: str) -> Sequence[str]:
        return folders_of((info.key for info in self.list(prefix)), prefix)

    def delete(self, key: str) -> None:
        with self._lock:
            self._operations += 1
            before = self._present(key)
            self._store.delete(key)
            if before is None:
                return
            past = self._past.setdefault(key, _Past())
            listed, stale = self._lags.listed_after(key), self._lags.stale_after("delete", key)
            past.listed = (self._until(listed), before[1]) if listed is not None else None
            past.old = (self._until(stale), *before) if stale is not None else None
            past.hidden = past.modified_ns = None

    def _write(self, verb: str, key: str, write: Callable[[], ObjectInfo]) -> ObjectInfo:
        with self._lock:
            self._operations += 1
            before = self._present(key) if verb == "put" else None
            written = write()
            past = self._past[key] = _Past()
            if before is None:
                late = self._lags.appears_after(verb, key)
                past.hidden = self._until(late) if late is not None else None
            else:
                stale = self._lags.stale_after(verb, key)
                past.old = (self._until(stale), *before) if stale is not None else None
            if self._lags.times is not None:
                past.modified_ns = self._lags.times.skewed(written.modified_ns)
            return self._shown(written)

    def _present(self, key: str) -> tuple[bytes, ObjectInfo] | None:
        with suppress(ObjectNotFoundError):
            return self._store.get(key), self._shown(self._store.head(key))
        return None

    def _old(self, key: str) -> tuple[bytes, ObjectInfo] | None:
        with self._lock:
            self._operations += 1
            past = self._past.get(key)
            if past is None or past.old is None or self._over(past.old[0]):
                return None
            return past.old[1:]

    def _shown(self, info: ObjectInfo) -> ObjectInfo:
        with self._lock:
            past = self._past.get(info.key)
            return info if past is None or past.modified_ns is None else info._replace(modified_ns=past.modified_ns)

    def _until(self, lag: Lag) -> _Until:
        return _Until(self._lags.clock.now_ns() + round(lag.seconds * 1e9), self._operations + lag.operations)

    def _over(self, until: _Until) -> bool:
        return self._lags.clock.now_ns() >= until.time_ns and self._operations > until.operation
