"""One store over several lines: when one fails, the next; and back again when it works."""

from __future__ import annotations

import random as random_numbers
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import StoreUnreachableError, UsageError
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.lines.routes import delay_after
from holdfast.stores.lines.terms import USUAL_PRIORITY
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["Way", "WaysStore", "open_ways"]

_Result = TypeVar("_Result")


class Way(NamedTuple):
    """What to open over a line: see `Line.open_store`."""

    url: str
    options: Mapping[str, str] = {}
    credentials: Mapping[str, str] = {}
    endpoints: Sequence[str] = ()


class _Opener(Protocol):
    def open_way(self, way: Way, priority: int, clock: Clock) -> Store: ...


def open_ways(
    ways: Sequence[tuple[_Opener, Way]],
    *,
    priority: int = USUAL_PRIORITY,
    clock: Clock = SYSTEM_CLOCK,
    note: Callable[[str], None] | None = None,
) -> Store:
    """The store that all of `ways`, each a line and what to open over it, lead to; the best way first.

    After an error that a second try may mend, it is tried again, over the next way if there is one. Raises UsageError.
    """
    from holdfast.stores.retrying import RetryingStore

    if not ways:
        raise UsageError("a store needs a way that leads to it")
    stores = [line.open_way(way, priority, clock) for line, way in ways]
    if len(stores) > 1:
        return RetryingStore(WaysStore(stores, clock), clock=clock, note=note)
    return RetryingStore(stores[0], clock=clock, note=note) if stores[0].capabilities.remote else stores[0]


class WaysStore:
    """`stores` hold the same objects, being one store over different ways; the best way first.

    Each operation goes over the first way that is not known to be down, and fails when that fails: whoever tries again
    (`RetryingStore`) gets another way. A way that failed is left alone, for longer each time, at random lengths.
    """

    def __init__(
        self, stores: Sequence[Store], clock: Clock = SYSTEM_CLOCK, random: random_numbers.Random | None = None
    ) -> None:
        self._stores = list(stores)
        self._clock = clock
        self._random = random or random_numbers.SystemRandom()
        self._lock = threading.Lock()
        self._failures = [0] * len(self._stores)
        self._retry_at = [0.0] * len(self._stores)

    @property
    def url(self) -> str:
        return self._stores[0].url

    @property
    def identity(self) -> str:
        return store_identity(self._stores[0])

    @property
    def archives(self) -> Archives | None:
        return archives_of(self._stores[0])

    @property
    def capabilities(self) -> Capabilities:
        return self._stores[0].capabilities

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._over_a_way(lambda store: store.put(key, data))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._over_a_way(lambda store: store.create(key, data))

    def get(self, key: str) -> bytes:
        return self._over_a_way(lambda store: store.get(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._over_a_way(lambda store: store.get_ranges(key, ranges))

    def head(self, key: str) -> ObjectInfo:
        return self._over_a_way(lambda store: store.head(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        number = self._best()
        try:
            yield from self._stores[number].list(prefix, after)
        except StoreUnreachableError:
            self._failed(number)
            raise
        self._succeeded(number)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._over_a_way(lambda store: store.folders(prefix))

    def delete(self, key: str) -> None:
        self._over_a_way(lambda store: store.delete(key))

    def _over_a_way(self, action: Callable[[Store], _Result]) -> _Result:
        number = self._best()
        try:
            result = action(self._stores[number])
        except StoreUnreachableError:
            self._failed(number)
            raise
        self._succeeded(number)
        return result

    def _best(self) -> int:
        """The first way that may be tried; if there is none, the one that may be tried soonest."""
        now = self._clock.monotonic()
        with self._lock:
            return min(range(len(self._stores)), key=lambda each: (max(0.0, self._retry_at[each] - now), each))

    def _failed(self, number: int) -> None:
        with self._lock:
            self._failures[number] += 1
            self._retry_at[number] = self._clock.monotonic() + delay_after(self._failures[number], self._random)

    def _succeeded(self, number: int) -> None:
        if self._failures[number]:
            with self._lock:
                self._failures[number] = 0
                self._retry_at[number] = 0.0
