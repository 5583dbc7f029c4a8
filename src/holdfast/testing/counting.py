"""A store that counts what is asked of it: for tests and measurements of what an operation costs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["CountingStore"]


class CountingStore:
    """`store`, and how often each of its methods was called; `"listed"` counts the names that listings handed out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """Method → calls so far, and `"listed"` → names."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        """Begin from nothing."""
        with self._lock:
            self._counts.clear()

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
        self._count("put")
        return self._store.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._count("create")
        return self._store.create(key, data)

    def get(self, key: str) -> bytes:
        self._count("get")
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._count("get_ranges")
        return self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        self._count("head")
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._count("list")
        for info in self._store.list(prefix, after):
            self._count("listed")
            yield info

    def folders(self, prefix: str) -> Sequence[str]:
        self._count("folders")
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._count("delete")
        self._store.delete(key)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1
