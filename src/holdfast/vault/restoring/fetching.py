"""Sealed chunks, fetched from their packs: neighbours in one request, into memory that is used again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from holdfast.errors import DamageError, ObjectNotFoundError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.metering import counted
from holdfast.stores.protocol import Store
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import PackOpener, preamble_bytes
from holdfast.vault.index import Located
from holdfast.vault.scratch import bytes_scratch

__all__ = ["Fetcher", "Sealed"]

_GAP_BYTES = 64 << 10  # ranges closer than this are one request: a round trip costs more than the bytes between
_OPENERS_MAX = 1024


class Sealed(NamedTuple):
    """A chunk as it is stored, and what opens it. `data` is valid until the thread fetches again."""

    chunk: ChunkId
    located: Located
    opener: PackOpener
    data: memoryview


@runtime_checkable
class _ReadsInto(Protocol):
    def read_ranges_into(self, key: str, ranges: Sequence[tuple[int, int]], out: memoryview) -> None: ...


class Fetcher:
    """Fetches from the packs of one vault. Safe for several threads."""

    def __init__(self, store: Store, keys: VaultKeys) -> None:
        self._store = store
        self._keys = keys
        self._openers: OrderedDict[PackId, PackOpener] = OrderedDict()
        self._lock = threading.Lock()

    def fetch(self, pack: PackId, members: Iterable[tuple[ChunkId, Located]], purpose: str = "") -> Iterator[Sealed]:
        """Chunks of one pack, in the order in which they lie there. Raises DamageError.

        What is fetched lies in the thread's memory for that `purpose`; without one, it is the caller's own.
        """
        members = sorted(members, key=lambda member: member[1].place.offset)
        ranges = _merge([(member[1].place.offset, member[1].place.stored) for member in members])
        opener = self._openers.get(pack)
        try:
            if opener is None:
                views, opener = self._first(pack, members[0][1].pack_size, ranges)
            else:
                views = self._read(pack_key(pack), ranges, purpose)
        except ObjectNotFoundError as error:
            name = pack_key(pack)
            raise DamageError(f"{name} is missing from {self._store.url}", object_name=name) from error
        position = 0
        for chunk, located in members:
            place = located.place
            while place.offset >= ranges[position][0] + ranges[position][1]:
                position += 1
            start = place.offset - ranges[position][0]
            yield Sealed(chunk, located, opener, views[position][start : start + place.stored])

    def doubt(self) -> bool:
        """What came could not be used. Whether it may have come from a nearer store: that one is left out from now on,
        and what it said of packs is forgotten.
        """
        doubt = getattr(self._store, "doubt", None)
        if doubt is None or not doubt():
            return False
        with self._lock:
            self._openers.clear()
        return True

    def _first(self, pack: PackId, size: int, ranges: list[tuple[int, int]]) -> tuple[list[memoryview], PackOpener]:
        """Of a pack that was not opened yet, the preamble comes with the first chunks: a request less."""
        preamble = min(preamble_bytes(self._keys.suite), size)  # a pack of an earlier suite may be smaller than that
        wanted = [(0, preamble), *ranges]
        fetched = counted(self._store, _size(wanted), lambda: self._store.get_ranges(pack_key(pack), wanted))
        opener = PackOpener(self._keys, pack, fetched[0])
        with self._lock:
            self._openers[pack] = opener
            while len(self._openers) > _OPENERS_MAX:
                self._openers.popitem(last=False)
        return [memoryview(data) for data in fetched[1:]], opener

    def _read(self, key: str, ranges: list[tuple[int, int]], purpose: str) -> list[memoryview]:
        store, size = self._store, _size(ranges)
        if not purpose or not isinstance(store, _ReadsInto):
            return [memoryview(data) for data in counted(store, size, lambda: store.get_ranges(key, ranges))]
        out = bytes_scratch(purpose, size).data
        counted(store, size, lambda: store.read_ranges_into(key, ranges, out))
        views, position = [], 0
        for _, length in ranges:
            views.append(out[position : position + length])
            position += length
        return views


def _size(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(length for _, length in ranges)


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring (start, length) in rising order, joined where the gap is small."""
    merged: list[tuple[int, int]] = []
    for start, length in ranges:
        if merged and start <= merged[-1][0] + merged[-1][1] + _GAP_BYTES:
            first = merged[-1][0]
            merged[-1] = (first, max(merged[-1][1], start + length - first))
        else:
            merged.append((start, length))
    return merged
