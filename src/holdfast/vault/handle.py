"""An opened vault: its store, its keys, and what is read from it once and kept."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.vault.format.keys import VaultKeys

if TYPE_CHECKING:  # at run time where chunks are asked for: who looks at snapshots loads no NumPy
    from holdfast.vault.index import ChunkIndex
    from holdfast.vault.restoring.reading import ChunkReader

__all__ = ["Handle", "PACK_BYTES"]

PACK_BYTES = 32 << 20  # what writers aim at: few enough objects, small enough to fetch one for a chunk


_WORKERS_MAX = 16  # each keeps some 25 MiB of working memory, and moves a gigabyte a second


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Handle:
    """What the verbs of this package work on. Thread-safe but for `refresh`."""

    store: Store
    keys: VaultKeys
    clock: Clock = SYSTEM_CLOCK
    progress: Progress = SILENT
    workers: int = field(default_factory=lambda: min(_WORKERS_MAX, max(2, _usable_cores())))
    pack_bytes: int = PACK_BYTES
    _index: ChunkIndex | None = field(default=None, repr=False)
    _before: ChunkIndex | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def own(self) -> Handle:
        """Of the store that is written to: this one, unless replicas stand in for what cannot be read in it."""
        return self

    @property
    def index(self) -> ChunkIndex:
        """The chunk index, brought up to date at first use."""
        from holdfast.vault.index import ChunkIndex

        with self._lock:
            if self._index is None:
                self._index = ChunkIndex.load(self.store, self.keys, self._before)
                self._before = None
                for problem in self._index.problems:
                    self.progress.note(f"{problem.message}; its packs are found by their footers instead")
            return self._index

    def refresh(self) -> None:
        """Others may have written since: the index is brought up to date when it is used next."""
        with self._lock:
            if self._index is not None:  # (`or` would count its packs)
                self._before, self._index = self._index, None

    def reader(self) -> ChunkReader:
        """Something that reads chunks. Raises CredentialError for a writer."""
        from holdfast.vault.restoring.reading import ChunkReader

        self.keys.require_reader("reading")
        return ChunkReader(self.store, self.keys, self.index, self.progress)
