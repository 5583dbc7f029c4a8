"""A store that counts what is read from it: bytes that came, and requests that were made for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from holdfast.stores.protocol import ObjectInfo, Store, store_identity
from holdfast.stores.ranges import merged

__all__ = ["CountingStore"]

_GAP_BYTES: Final = 256 << 10  # as object stores are asked: `stores/cloud.py`
_PAGE: Final = 1000  # names in an answer to a listing


class CountingStore:
    """`store`, all of it, with `bytes` and `requests` of what was read through here. Safe for several threads.

    A request that the store repeats by itself counts once; one that failed counts, and its bytes do not. Ranges that a
    store asks for together are one request.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.bytes = 0
        self.requests = 0
        if hasattr(store, "read_ranges_into"):  # of the instance: whoever asks for it looks whether it is there
            self.read_ranges_into = self._read_ranges_into

    def __getattr__(self, name: str) -> Any:
        """Whatever else this store can do: it is not counted."""
        return getattr(self._store, name)

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def counts_reads(self) -> bool:
        """Whether the store itself stands for several (`stores/near.py`): then what is counted here is of them all."""
        return bool(getattr(self._store, "counts_reads", False))

    def get(self, key: str) -> bytes:
        self._count(1, 0)
        data = self._store.get(key)
        self._count(0, len(data))
        return data

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        spans = merged([one for one in ranges if one[1]], _GAP_BYTES)
        self._count(len(spans), 0)
        found = self._store.get_ranges(key, ranges)
        self._count(0, sum(length for _, length in spans))
        return found

    def head(self, key: str) -> ObjectInfo:
        self._count(1, 0)
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._count(1, 0)
        for number, info in enumerate(self._store.list(prefix, after), 1):
            if number % _PAGE == 0:
                self._count(1, 0)
            yield info

    def folders(self, prefix: str) -> Sequence[str]:
        self._count(1, 0)
        return self._store.folders(prefix)

    def _read_ranges_into(self, key: str, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        spans = merged([one for one in ranges if one[1]], _GAP_BYTES)
        self._count(len(spans), 0)
        self._store.read_ranges_into(key, ranges, out)  # type: ignore[attr-defined]  # not in the contract
        self._count(0, sum(length for _, length in ranges))

    def _count(self, requests: int, size: int) -> None:
        with self._lock:
            self.requests += requests
            self.bytes += size
