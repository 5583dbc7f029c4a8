"""Which packs a snapshot needs at another site, so that it restores there whenever it restores here."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from holdfast.errors import DamageError
from holdfast.ids import ChunkId, PackId, PartId
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.records import PartLink, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.thinning import kept_links

__all__ = ["packs_of"]

_CHAIN_MAX = 8  # deltas of deltas, as for who reads


def packs_of(
    handle: Handle,
    root: Root,
    stored: Collection[str] | None = None,
    links: Iterable[PartLink] | None = None,
) -> dict[PackId, int]:
    """The packs that hold a snapshot's chunks and their delta bases, with their sizes. Raises DamageError.

    `stored`: keys of the packs that can be had. Of a chunk that lies in several of them, all are named, for who reads
    passes over one that does not decode; one that cannot be had, only where no other holds the chunk. Without `stored`,
    of each chunk the one that is read first. `links`: the parts that count; by default, those that the snapshot still
    has.
    """
    search = _Search(handle, stored)
    for link in kept_links(handle, root) if links is None else links:
        for entry in read_part(handle, PartId(link.id.hex())).entries:
            for _, _, chunk, _ in entry_chunks(entry):
                search.add(chunk, 0)
    return search.packs


class _Search:
    def __init__(self, handle: Handle, stored: Collection[str] | None) -> None:
        self._index = handle.index
        self._reader = handle.reader()
        self._stored = stored
        self._seen: dict[ChunkId, DamageError | None] = {}
        self.packs: dict[PackId, int] = {}

    def add(self, chunk: ChunkId, depth: int) -> None:
        """Take in all packs that give the chunk. Raises DamageError when none does."""
        if chunk not in self._seen:
            self._seen[chunk] = self._problem(chunk, depth)
        problem = self._seen[chunk]
        if problem is not None:
            raise problem

    def _problem(self, chunk: ChunkId, depth: int) -> DamageError | None:
        if depth > _CHAIN_MAX:
            return DamageError(f"a chain of deltas is longer than {_CHAIN_MAX}")
        first: DamageError | None = None
        found = False
        for located in self._places(chunk):
            try:
                if located.place.base:
                    self.add(located.place.base, depth + 1)
            except DamageError as error:
                first = first or error
                continue
            self.packs[located.pack] = located.pack_size
            found = True
        return None if found else first

    def _places(self, chunk: ChunkId) -> list[Located]:
        located = self._reader.locate(chunk)
        if self._stored is None:
            return [located]
        places = [place for place in self._index.places(chunk) if pack_key(place.pack) in self._stored]
        return places or [located]
