"""A store whose packs are read from a nearer one where that has them: a cache that nobody has to be told about.

Names, listings, documents and everything that is written are the store's own. Ranges of packs are read from the nearer
store; what it lacks, or does not give, comes from the store itself. Nobody can judge a range before it is decoded, but
whoever cannot use what came asks again: a range that is asked for twice makes the nearer pack prove itself, once,
every byte of it, and one that is wrong is read there no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.metering import counted
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["NearStore"]


class NearStore:
    """`origin`, with ranges of objects below `prefix` from `near`. `prove` raises DamageError where an object of `near`
    is not what its name says. `taken` counts the bytes that came from `near`.
    """

    counts_reads = True  # by itself: which of the two a read went to

    def __init__(
        self, origin: Store, near: Store, prefix: str, prove: Callable[[str], object], note: Callable[[str], None]
    ) -> None:
        self.origin, self.near = origin, near
        self._prefix = prefix
        self._prove = prove
        self._note = note
        self._lock = threading.Lock()
        self._there: set[str] | None = None
        self._asked: dict[str, list[tuple[int, int]]] = {}
        self._proven: set[str] = set()
        self.taken = 0

    @property
    def url(self) -> str:
        return self.origin.url

    @property
    def identity(self) -> str:
        return store_identity(self.origin)

    @property
    def archives(self) -> Archives | None:
        return archives_of(self.origin)

    @property
    def capabilities(self) -> Capabilities:
        return self.origin.capabilities

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        size = sum(length for _, length in ranges)
        if key.startswith(self._prefix) and self._may_read(key, ranges):
            try:
                found = counted(self.near, size, lambda: self._from_near(key, ranges))
            except (ObjectNotFoundError, DamageError):  # evicted meanwhile, or cut off
                self._leave(key)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, there is the store itself
                why = error.message if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
                self._note(f"{self.near.url} is not asked any more: {why}")
                self._forget()
            else:
                with self._lock:
                    first, self.taken = not self.taken, self.taken + size
                if first and size:
                    self._note(f"packs are read from {self.near.url} where it has them")
                return found
        return counted(self.origin, size, lambda: self.origin.get_ranges(key, ranges))

    def _from_near(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        found = self.near.get_ranges(key, ranges)
        if [len(data) for data in found] != [length for _, length in ranges]:
            raise DamageError(f"{key} at {self.near.url} is not as long as it should be", object_name=key)
        return found

    def doubt(self) -> bool:
        """Somebody could not use what came, however often it was asked for: nothing is read near any more, nor of packs
        that proved themselves. Returns whether asking again may help: whether anything ever came from there.
        """
        beyond = getattr(self.origin, "doubt", None)
        more = beyond is not None and beyond()
        with self._lock:
            known, taken = bool(self._there), bool(self.taken)
        if known and taken:
            self._note(f"{self.near.url} is not asked any more: what it gave could not be used")
        if taken:
            self._forget()
        return taken or more

    def _forget(self) -> None:
        with self._lock:
            self._there = set()

    def _may_read(self, key: str, ranges: Sequence[tuple[int, int]]) -> bool:
        with self._lock:
            if self._there is None:
                self._there = self._listed()
            if key not in self._there:
                return False
            before = self._asked.setdefault(key, [])
            again = key not in self._proven and any(_overlap(one, other) for one in ranges for other in before)
            if not again:
                before.extend(one for one in ranges if one[1])
                return True
        try:
            self._prove(key)
        except HoldfastError as error:
            self._note(f"{key} at {self.near.url} is not used: {error.message}")
            self._leave(key)
            return False
        with self._lock:
            self._proven.add(key)
        return True

    def _listed(self) -> set[str]:
        try:
            return {info.key for info in self.near.list(self._prefix)}
        except HoldfastError as error:
            self._note(f"{self.near.url} is not asked: {error.message}")
            return set()

    def _leave(self, key: str) -> None:
        with self._lock:
            if self._there is not None:
                self._there.discard(key)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self.origin.put(key, data)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self.origin.create(key, data)

    def get(self, key: str) -> bytes:
        return self.origin.get(key)

    def head(self, key: str) -> ObjectInfo:
        return self.origin.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self.origin.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self.origin.folders(prefix)

    def delete(self, key: str) -> None:
        self.origin.delete(key)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]
