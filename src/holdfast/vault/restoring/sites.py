"""One store of a vault as chunks are read from it: its packs, its index, and when that index is not believed."""

from __future__ import annotations

import threading

from holdfast.errors import DamageError
from holdfast.events import SILENT, Progress
from holdfast.ids import ChunkId
from holdfast.stores.protocol import Store
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.index import ChunkIndex, Located
from holdfast.vault.restoring.fetching import Fetcher

__all__ = ["Site"]


class Site:
    """A store, and what finds and fetches chunks there. Safe for several threads."""

    def __init__(self, store: Store, keys: VaultKeys, index: ChunkIndex, progress: Progress = SILENT) -> None:
        self.store = store
        self.fetcher = Fetcher(store, keys)
        self._keys = keys
        self._index = index
        self._progress = progress
        self._lock = threading.Lock()
        self._searched = False
        self._unread: list[str] = []

    def places(self, chunk: ChunkId) -> list[Located]:
        """Where the chunk lies, as far as the index knows."""
        return self._index.places(chunk)

    def locate(self, chunk: ChunkId) -> Located:
        """Where a chunk lies. Raises DamageError when no pack of this store has it."""
        located = self._index.find(chunk)
        if located is not None:
            return located
        self.search()
        located = self._index.find(chunk)
        if located is None:
            raise self.missing(chunk)
        return located

    def search(self) -> None:
        """Read the footers of all packs, once: what an index says of a pack may be a lie, and what it leaves out may
        lie in any.
        """
        with self._lock:  # one thread reads the footers, the others profit
            if not self._searched:
                self._unread = self._index.distrust(self.store, self._keys, self._progress)
                self._searched = True

    def missing(self, chunk: ChunkId) -> DamageError:
        """What to say of a chunk that is not found, also in the packs' footers."""
        short = f"chunk {chunk.hex()[:16]}…"
        if self._unread:
            name = self._unread[0]
            more = f" and {len(self._unread) - 1} others" if len(self._unread) > 1 else ""
            return DamageError(f"{short} is in no pack that can be read; {name}{more} cannot", object_name=name)
        return DamageError(f"{short} is in no pack of {self.store.url}", object_name=chunk.hex())
