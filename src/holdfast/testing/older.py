"""A store as a program sees it that knows fewer kinds of objects: leases, collections and thinning are none of its
business. It opens no lease that anybody sees, and nobody's collection stops it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.stores.keys import folders_of
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["HidingStore", "OlderStore", "NEWER_KINDS"]

NEWER_KINDS = ("leases/", "trash/", "thinned/")


class HidingStore:
    """`store`, but for keys that begin with one of `hidden`: those lie in this process's memory, for nobody else,
    with times of `clock`.
    """

    def __init__(self, store: Store, hidden: Sequence[str], clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._hidden = tuple(hidden)
        self._own = MemoryStore(clock)

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
        return self._of(key).put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._of(key).create(key, data)

    def get(self, key: str) -> bytes:
        return self._of(key).get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._of(key).get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        return self._of(key).head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        if prefix.startswith(self._hidden):
            yield from self._own.list(prefix, after)
            return
        shown = [info for info in self._store.list(prefix, after) if not info.key.startswith(self._hidden)]
        yield from sorted([*shown, *self._own.list(prefix, after)])

    def folders(self, prefix: str) -> Sequence[str]:
        return folders_of((info.key for info in self.list(prefix)), prefix)

    def delete(self, key: str) -> None:
        self._of(key).delete(key)

    def _of(self, key: str) -> Store:
        return self._own if key.startswith(self._hidden) else self._store


class OlderStore(HidingStore):
    """What a program of before leases and collections sees."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(store, NEWER_KINDS, clock)
