"""A store together with its locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.stores.retention.port import ObjectLocks

__all__ = ["LockableStore"]


class LockableStore:
    """`store` as it is; `locks` says what else the bucket can do (`locks_of`). `make` is called when that is asked for:
    it loads a provider's SDK, which whoever never locks anything need not have.
    """

    def __init__(self, store: Store, make: Callable[[], ObjectLocks]) -> None:
        self._store = store
        self._make = make
        self._locks: ObjectLocks | None = None
        self._lock = threading.Lock()

    @property
    def locks(self) -> ObjectLocks:
        """Raises MissingExtraError, UsageError."""
        with self._lock:
            if self._locks is None:
                self._locks = self._make()
            return self._locks

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
        return self._store.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._store.create(key, data)

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)
