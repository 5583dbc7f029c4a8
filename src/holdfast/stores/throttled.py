"""A store that uses no more than its share of a line."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.stores.buffers import total_size
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["ThrottledStore"]

_BURST_SECONDS = 1.0


class ThrottledStore:
    """`store`, with the contents of objects moved at `bytes_per_second` at most, in both directions together.

    A token bucket that holds one second's worth. Writers wait before they send. Readers wait after they have
    received, for only then is the size known; whoever comes next waits for that debt too. Requests are not counted.
    """

    def __init__(self, store: Store, bytes_per_second: float, clock: Clock = SYSTEM_CLOCK) -> None:
        if not bytes_per_second > 0:
            raise UsageError("a store cannot be limited to no bytes per second", hint="leave the limit away instead")
        self._store = store
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = bytes_per_second * _BURST_SECONDS  # bytes; negative: debt
        self._counted_at = clock.monotonic()

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
        self._pay(total_size(data))
        return self._store.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._pay(total_size(data))
        return self._store.create(key, data)

    def get(self, key: str) -> bytes:
        content = self._store.get(key)
        self._pay(len(content))
        return content

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        pieces = self._store.get_ranges(key, ranges)
        self._pay(sum(map(len, pieces)))
        return pieces

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def _pay(self, size: int) -> None:
        """Take `size` bytes out of the bucket, and wait until it is not in debt any more."""
        with self._lock:
            now = self._clock.monotonic()
            earned = (now - self._counted_at) * self._rate
            self._tokens = min(self._tokens + earned, self._rate * _BURST_SECONDS) - size
            self._counted_at = now
            wait = -self._tokens / self._rate
        if wait > 0:
            self._clock.sleep(wait)
