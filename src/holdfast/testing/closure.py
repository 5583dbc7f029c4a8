"""Whether everything that the roots on a store reach is on the store: root → parts → chunks → delta bases → packs.

Looked at from outside, object by object, without the chunk index: that is a cache, and may be what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.ids import ChunkId, PartId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.testing.invariants import BrokenInvariant
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS, THINNED, part_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import read_pack_table
from holdfast.vault.snapshots.finding import read_part, read_root
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.thinning import kept_links

__all__ = ["Closures"]


class Closures:
    """A store's roots and what they need, read once each. The store is asked directly, without faults."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._roots: dict[str, Root] = {}
        self._parts: dict[str, frozenset[ChunkId]] = {}
        self._packs: dict[str, dict[ChunkId, ChunkId]] = {}  # chunk → delta base, empty for none
        self._seen: frozenset[str] = frozenset()
        self.looks = 0

    def roots(self) -> dict[str, Root]:
        """Key → root, of all that are there now."""
        return {info.key: self._root(info.key) for info in self._handle.store.list(SNAPSHOTS)}

    def hold(self) -> None:
        """Raises BrokenInvariant, naming a root and what it lacks."""
        listed = list(_listed(self._handle.store))
        keys = frozenset(info.key for info in listed)
        if keys == self._seen:
            return
        self.looks += 1
        there = self._chunks({info.key: info for info in listed if info.key.startswith(PACKS)})
        for key in sorted(keys):
            if key.startswith(SNAPSHOTS):
                self._root_holds(key, keys, there)
        self._seen = keys

    def _root_holds(self, key: str, keys: frozenset[str], there: dict[ChunkId, list[ChunkId]]) -> None:
        for link in kept_links(self._handle, self._root(key)):
            name = part_key(PartId(link.id.hex()))
            if name not in keys:
                raise BrokenInvariant(f"{key} needs {name}, which is not on {self._handle.store.url}")
            for chunk in self._part(name, PartId(link.id.hex())):
                if not _resolves(chunk, there, 0):
                    raise BrokenInvariant(f"{key} needs chunk {chunk.hex()[:16]}…, which no pack can give any more")

    def _root(self, key: str) -> Root:
        if key not in self._roots:
            self._roots[key] = read_root(self._handle, key)
        return self._roots[key]

    def _part(self, key: str, part: PartId) -> frozenset[ChunkId]:
        if key not in self._parts:
            entries = read_part(self._handle, part).entries
            self._parts[key] = frozenset(chunk for entry in entries for _, _, chunk, _ in entry_chunks(entry))
        return self._parts[key]

    def _chunks(self, packs: dict[str, ObjectInfo]) -> dict[ChunkId, list[ChunkId]]:
        """Chunk → the base that each place of it needs, over the packs that are there."""
        there: dict[ChunkId, list[ChunkId]] = {}
        suite = self._handle.keys.suite
        for key, info in packs.items():
            if key not in self._packs:
                table = read_pack_table(self._handle.store, self._handle.keys, info)
                self._packs[key] = {chunk: place.base for chunk, place in places_of(table, suite, key, info.size)}
            for chunk, base in self._packs[key].items():
                there.setdefault(chunk, []).append(base)
        return there


def _listed(store: Store) -> Iterator[ObjectInfo]:
    for prefix in (PACKS, PARTS, SNAPSHOTS, THINNED):
        yield from store.list(prefix)


def _resolves(chunk: ChunkId, there: dict[ChunkId, list[ChunkId]], depth: int) -> bool:
    if depth > 8:
        return False
    return any(not base or _resolves(base, there, depth + 1) for base in there.get(chunk, ()))
