"""Asking a store once, and for much at a time: over a long line it is the answers one after the other that take time.

A copy knows beforehand most of what it will list and read. It asks for that at once, and then goes through it in its
own order: what was asked for ahead is answered from memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from holdfast.errors import ObjectNotFoundError
from holdfast.fanout.beside import for_each
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.vault.format.names import LEASES

__all__ = ["AskedStore"]

_KEPT_BYTES: Final = 64 << 20  # of objects that were asked for ahead; what is above is read when it is needed

T = TypeVar("T")


class AskedStore:
    """`store`; listings and objects that were asked for ahead are not asked for again until they are forgotten.

    What is written through it is added to the listings. Whatever contradicts them (a name that is taken, an object that
    is gone) makes it forget, so that who looks again sees what there is now. Not for series that others write to while
    one settles with them: that needs the store itself.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._listings: dict[str, dict[str, ObjectInfo]] = {}
        self._objects: dict[str, bytes] = {}
        self._kept = 0
        self._leases: dict[str, ObjectInfo] = {}

    def ask(self, prefixes: Iterable[str]) -> list[Callable[[], None]]:
        """Tasks, for `at_once` with others: each lists a prefix."""
        return [partial(self._list_ahead, prefix) for prefix in dict.fromkeys(prefixes)]

    def get_ahead(self, keys: Iterable[str]) -> None:
        """Get these objects, a few at a time. One that is not there is passed over."""
        for_each(self._get_ahead, [key for key in dict.fromkeys(keys) if key not in self._objects])

    def forget_listings(self) -> None:
        """Whoever lists next asks the store."""
        with self._lock:
            self._listings.clear()

    def forget_objects(self, prefix: str) -> None:
        """Whoever reads them next asks the store."""
        with self._lock:
            for key in [key for key in self._objects if key.startswith(prefix)]:
                self._kept -= len(self._objects.pop(key))

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
        return self._wrote(key, lambda: self._store.put(key, data))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        info = self._wrote(key, lambda: self._store.create(key, data))
        if key.startswith(LEASES):
            self._leases[key] = info
        return info

    def get(self, key: str) -> bytes:
        found = self._objects.get(key)
        return self._sure(key, lambda: self._store.get(key)) if found is None else found

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._sure(key, lambda: self._store.get_ranges(key, ranges))

    def head(self, key: str) -> ObjectInfo:
        """Of a lease that was written through this, what the store said then: nobody else writes that generation."""
        return self._leases.get(key) or self._sure(key, lambda: self._store.head(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            listing = next((found for known, found in self._listings.items() if prefix.startswith(known)), None)
            found = None if listing is None else [info for key, info in listing.items() if key.startswith(prefix)]
        if found is None:
            yield from self._store.list(prefix, after)
            return
        yield from sorted(info for info in found if info.key > after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        self._forget_about(key)
        self._store.delete(key)

    def _list_ahead(self, prefix: str) -> None:
        found = {info.key: info for info in self._store.list(prefix)}
        with self._lock:
            self._listings[prefix] = found

    def _get_ahead(self, key: str) -> None:
        if self._kept >= _KEPT_BYTES:
            return
        with suppress(ObjectNotFoundError):
            data = self._store.get(key)
            with self._lock:
                if self._kept + len(data) <= _KEPT_BYTES:
                    self._objects[key] = data
                    self._kept += len(data)

    def _wrote(self, key: str, write: Callable[[], ObjectInfo]) -> ObjectInfo:
        try:
            info = write()
        except BaseException:
            self._forget_about(key)  # it may be there now
            raise
        with self._lock:
            self._kept -= len(self._objects.pop(key, b""))
            for prefix, listing in self._listings.items():
                if key.startswith(prefix):
                    listing[key] = info
        return info

    def _sure(self, key: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except ObjectNotFoundError:
            self._forget_about(key)
            raise

    def _forget_about(self, key: str) -> None:
        with self._lock:
            self._kept -= len(self._objects.pop(key, b""))
            for prefix in [prefix for prefix in self._listings if key.startswith(prefix)]:
                del self._listings[prefix]
