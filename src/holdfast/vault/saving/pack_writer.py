"""Coded chunks in, stored packs out: sealing in the caller's thread, storing behind it."""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from holdfast.errors import CredentialError, HoldfastError, StorageFullError, StoreUnreachableError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.packs import PackBuilder, SealedPack
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.regions.model import Element

__all__ = ["PackWriter"]

# Then writing an index would only keep the error from its reader.
_STORE_TROUBLE = (StoreUnreachableError, StorageFullError, CredentialError)
_IN_FLIGHT = 2
_PACKS_PER_INDEX = 32  # an interrupted save of 1 GiB or more leaves packs that the next one finds


class PackWriter:
    """Collects coded chunks in packs and stores them, with at most `_IN_FLIGHT` packs on their way.

    A full builder waits for a free buffer: a slow store slows the caller down instead of filling the memory.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._pool = ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="holdfast-store")
        self._free: queue.SimpleQueue[PackBuilder] = queue.SimpleQueue()
        self._made = 0
        self._current: PackBuilder | None = None
        self._running: list[Future[IndexedPack]] = []
        self._unlisted: list[IndexedPack] = []
        self._pending: set[ChunkId] = set()
        self.packs = 0
        self.stored_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if error is not None and not isinstance(error, _STORE_TROUBLE):
            self._rescue_index()

    def holds(self, chunk: ChunkId) -> bool:
        """Whether this writer has taken that chunk already."""
        return chunk in self._pending

    def add(
        self, chunk: ChunkId, payload: bytes | memoryview, *, raw: int, codec: int, element: Element, base: ChunkId
    ) -> int:
        """Take one coded chunk. Returns the bytes it takes in its pack. Raises what storing an earlier pack raised."""
        if self._current is None:
            self._current = self._builder()
        if not self._current.fits(len(payload)):
            self._store_current()
            self._current = self._builder()
        self._pending.add(chunk)
        return self._current.add(chunk, payload, raw=raw, codec=codec, element=element, base=base)

    def finish(self) -> None:
        """Store what is left, and the index. When this returns, everything that was added is durable."""
        if self._current is not None and len(self._current):
            self._store_current()
        self._current = None
        self._collect(wait_for_all=True)
        self._write_index()

    def _rescue_index(self) -> None:
        """List the packs that are stored, so that the next save finds them; what went wrong before matters more."""
        stored = [future.result() for future in self._running if not future.cancelled() and not future.exception()]
        self._unlisted = list({pack.id: pack for pack in [*self._unlisted, *stored]}.values())
        self._running = []
        try:
            self._write_index()
        except HoldfastError as error:
            self._handle.progress.note(f"packs of the interrupted save are in no index: {error.message}")

    def _builder(self) -> PackBuilder:
        if self._made <= _IN_FLIGHT and self._free.empty():
            self._made += 1
            return PackBuilder(self._handle.keys, self._handle.pack_bytes)
        self._collect(wait_for_all=False)
        builder = self._free.get()
        self._collect(wait_for_all=False)
        builder.reset()
        return builder

    def _store_current(self) -> None:
        builder = self._current
        if builder is None:
            return
        pack = builder.finish()
        self.packs += 1
        self.stored_bytes += len(pack.data)
        self._running.append(self._pool.submit(self._store, builder, pack))

    def _store(self, builder: PackBuilder, pack: SealedPack) -> IndexedPack:
        try:
            size = len(pack.data)
            self._handle.store.put(pack.key, pack.data)
            self._handle.index.add(PackId(pack.id), size, pack.table)
            return IndexedPack(bytes.fromhex(pack.id), size, pack.table)
        finally:
            self._free.put(builder)

    def _collect(self, *, wait_for_all: bool) -> None:
        running = []
        for future in self._running:
            if wait_for_all or future.done():
                self._unlisted.append(future.result())
            else:
                running.append(future)
        self._running = running
        if len(self._unlisted) >= _PACKS_PER_INDEX:
            self._write_index()

    def _write_index(self) -> None:
        if self._unlisted:
            key, data = write_index(self._handle.keys, self._unlisted, self._handle.clock.now_ns())
            self._handle.store.put(key, data)
            self.stored_bytes += len(data)
            self._unlisted = []
