"""A store that uses no more than its share of a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.buffers import total_size
from holdfast.stores.lines.shaper import Shaper
from holdfast.stores.lines.terms import USUAL_PRIORITY, Schedule
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["ThrottledStore"]

_BURST_SECONDS = 1.0


class ThrottledStore:
    """`store`, with the contents of objects moved at `bytes_per_second` at most, in both directions together.

    Up to one second's worth is saved while nothing moves. Or, in place of a number, `shapers` = (up, down) that others
    use too: then what has a higher `priority` goes first, slice by slice. Writers wait before they send. Readers wait
    after they have received, for only then is the size known. Requests are not counted.
    """

    def __init__(
        self,
        store: Store,
        bytes_per_second: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
        *,
        shapers: tuple[Shaper, Shaper] | None = None,
        priority: int = USUAL_PRIORITY,
    ) -> None:
        if shapers is None:
            if bytes_per_second is None or not bytes_per_second > 0:
                raise UsageError(
                    "a store cannot be limited to no bytes per second", hint="leave the limit away instead"
                )
            both = Shaper(Schedule(bytes_per_second), clock, burst_s=_BURST_SECONDS)
            shapers = both, both
        self._store = store
        self._up, self._down = shapers
        self._priority = priority

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def archives(self) -> Archives | None:
        return archives_of(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._up.acquire(total_size(data), self._priority)
        return self._store.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._up.acquire(total_size(data), self._priority)
        return self._store.create(key, data)

    def get(self, key: str) -> bytes:
        content = self._store.get(key)
        self._down.acquire(len(content), self._priority)
        return content

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        pieces = self._store.get_ranges(key, ranges)
        self._down.acquire(sum(map(len, pieces)), self._priority)
        return pieces

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)
