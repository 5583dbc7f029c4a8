"""Coded chunks in, stored packs out: sealed by the threads that coded them, stored behind them."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from holdfast.errors import CredentialError, FailedError, HoldfastError, StorageFullError, StoreUnreachableError
from holdfast.ids import ChunkId, PackId
from holdfast.trust.suites import Suite
from holdfast.vault.format.packs import PackBuilder, Slot
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.regions.model import BYTES, Element

__all__ = ["PackWriter"]

# Then writing an index would only keep the error from its reader.
_STORE_TROUBLE = (StoreUnreachableError, StorageFullError, CredentialError)
# Packs on their way at once. Over a network it is answers that are waited for; a local disk is busy with one, and each
# further buffer costs fresh pages.
_IN_FLIGHT, _IN_FLIGHT_LOCAL = 3, 1
_IDLE_MAX = 2  # streams that keep a buffer while another one is written to
_SALT_BYTES = 16
_PACKS_PER_INDEX = 32  # an interrupted save of 1 GiB or more leaves packs that the next one finds


class _Pack:
    """A builder that is being filled, and how many of its chunks are not sealed yet."""

    def __init__(self, builder: PackBuilder, stream: str) -> None:
        self.builder = builder
        self.stream = stream
        self.sealing = 0
        self.full = False


class PackWriter:
    """Collects coded chunks in packs and stores them, with few packs on their way.

    Chunks of different streams share no pack. A pack that is being filled is closed early when another stream needs its
    buffer: files come one after the other, and so, mostly, do streams. A full pack waits for a free buffer: a slow
    store slows the callers down instead of filling the memory. `add` may be called by several threads.
    """

    def __init__(self, handle: Handle, *, salted: bool = False) -> None:
        """`salted`: no pack has a name that follows from what is saved, for an object of that name may be condemned."""
        self._handle = handle
        self._salted = salted and handle.keys.suite is Suite.PLAIN  # elsewhere keys are random, and so are names
        self._in_flight = _IN_FLIGHT if handle.store.capabilities.remote else _IN_FLIGHT_LOCAL
        self._pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="holdfast-store")
        self._changed = threading.Condition()  # guards all that follows
        self._free: list[PackBuilder] = []
        self._made = 0
        self._current: dict[str, _Pack] = {}  # by stream, the one that was used last at the end
        self._running: list[Future[IndexedPack]] = []
        self._unlisted: list[IndexedPack] = []
        self._pending: set[ChunkId] = set()
        self._broken: BaseException | None = None
        self.packs = 0
        self.stored_bytes = 0
        self.names: list[PackId] = []  # of the packs that are stored

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if error is not None and not isinstance(error, _STORE_TROUBLE):
            self._rescue_index()

    def holds(self, chunk: ChunkId) -> bool:
        """Whether a pack of this save has that chunk already. (`add` asks again: this spares coding it.)"""
        return chunk in self._pending

    def add(
        self,
        chunk: ChunkId,
        payload: bytes | memoryview,
        *,
        raw: int,
        codec: int,
        element: Element,
        base: ChunkId,
        stream: str = "",
    ) -> int | None:
        """Take one coded chunk. Returns the bytes it takes in its pack, or None: it is in one already.

        `payload` is not needed any more when this returns. Raises what storing an earlier pack raised.
        """
        with self._changed:
            pack = self._room_for(chunk, len(payload), stream)
            if pack is None:
                return None
            slot = pack.builder.reserve(chunk, len(payload), raw=raw, codec=codec, element=element, base=base)
            self._pending.add(chunk)
            pack.sealing += 1
        self._seal(pack, slot, payload)
        return len(slot.target)

    def finish(self) -> None:
        """Store what is left, and the index. When this returns, everything that was added is durable.

        No `add` may be under way.
        """
        with self._changed:
            for pack in list(self._current.values()):
                self._close(pack)
            running = list(self._running)
        for future in running:
            future.result()
        with self._changed:
            self._collect()
            self._write_index()

    def _seal(self, pack: _Pack, slot: Slot, payload: bytes | memoryview) -> None:
        try:
            pack.builder.seal(slot, payload)
        except BaseException as error:
            with self._changed:
                self._broken = self._broken or error  # a pack with a gap is never stored
                self._changed.notify_all()
            raise
        with self._changed:
            pack.sealing -= 1
            self._store_if_whole(pack)

    def _room_for(self, chunk: ChunkId, payload_bytes: int, stream: str) -> _Pack | None:
        """The pack that takes the chunk, or None when one has it. Waits for a free buffer."""
        while True:
            self._collect()
            if chunk in self._pending:
                return None
            if self._broken is not None:
                raise FailedError(f"not saved: a chunk could not be sealed ({self._broken})") from self._broken
            pack = self._current.pop(stream, None)
            if pack is not None and not pack.builder.fits(payload_bytes):
                self._close(pack)
                pack = None
            if pack is None:
                builder = self._free_builder()
                if builder is None:
                    if len(self._current) == self._made:  # no buffer is on its way: none would ever become free
                        self._close(next(iter(self._current.values())))
                    self._changed.wait()
                    continue
                pack = _Pack(builder, stream)
                if self._salted:
                    self._add_salt(pack)
            self._current[stream] = pack
            return pack

    def _add_salt(self, pack: _Pack) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        chunk = self._handle.keys.names.chunk_id(salt)
        slot = pack.builder.reserve(chunk, _SALT_BYTES, raw=_SALT_BYTES, codec=0, element=BYTES, base=ChunkId(b""))
        pack.builder.seal(slot, salt)

    def _free_builder(self) -> PackBuilder | None:
        if self._free:
            builder = self._free.pop()
            builder.reset()
            return builder
        idle = min(len(self._current), _IDLE_MAX)  # their buffers are not to be had: the others need as many as ever
        if self._made > self._in_flight + idle:
            return None
        self._made += 1
        return PackBuilder(self._handle.keys, self._handle.pack_bytes)

    def _close(self, pack: _Pack) -> None:
        pack.full = True
        if self._current.get(pack.stream) is pack:
            del self._current[pack.stream]
        self._store_if_whole(pack)

    def _store_if_whole(self, pack: _Pack) -> None:
        if pack.full and not pack.sealing and len(pack.builder):
            self._running.append(self._pool.submit(self._store, pack.builder))

    def _store(self, builder: PackBuilder) -> IndexedPack:
        try:
            pack = builder.finish()
            size = len(pack.data)
            self._handle.store.put(pack.key, pack.data)
            self._handle.index.add(PackId(pack.id), size, pack.table)
            return IndexedPack(bytes.fromhex(pack.id), size, pack.table)
        finally:
            with self._changed:
                self._free.append(builder)
                self._changed.notify_all()

    def _collect(self) -> None:
        """Take up what was stored meanwhile. Raises what storing raised."""
        done = [future for future in self._running if future.done()]
        self._running = [future for future in self._running if not future.done()]
        for number, future in enumerate(done):
            try:
                self._take(future.result())
            except BaseException:
                self._running += done[number:]  # for `_rescue_index`, and for the other threads to hear of it
                raise
        if len(self._unlisted) >= _PACKS_PER_INDEX:
            self._write_index()

    def _take(self, pack: IndexedPack) -> None:
        self._unlisted.append(pack)
        self.names.append(PackId(pack.id.hex()))
        self.packs += 1
        self.stored_bytes += pack.size

    def _rescue_index(self) -> None:
        """List the packs that are stored, so that the next save finds them; what went wrong before matters more."""
        for future in self._running:
            if not future.cancelled() and not future.exception():
                self._take(future.result())
        self._running = []
        try:
            self._write_index()
        except HoldfastError as error:
            self._handle.progress.note(f"packs of the interrupted save are in no index: {error.message}")

    def _write_index(self) -> None:
        if self._unlisted:
            key, data = write_index(self._handle.keys, self._unlisted, self._handle.clock.now_ns())
            self._handle.store.put(key, data)
            self.stored_bytes += len(data)
            self._unlisted = []
