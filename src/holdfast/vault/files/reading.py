"""Parts of files into buffers: every chunk is fetched and decoded once, however many parts need it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from holdfast.errors import DamageError, UsageError
from holdfast.ids import ChunkId
from holdfast.stores.protocol import Buffer
from holdfast.vault.files.chunk_map import ChunkMap
from holdfast.vault.files.decoded import DECODED_BYTES, DecodedChunks
from holdfast.vault.files.windows import Bytes, Window, copy_window
from holdfast.vault.format.records import Entry
from holdfast.vault.handle import Handle
from holdfast.vault.index import ChunkIndex
from holdfast.vault.restoring.reading import BATCH_BYTES, ChunkReader, Wanted

__all__ = ["Demand", "PartReader", "PartialFile"]

_AT_ONCE_BYTES = 8 << 20  # less than this is read by the calling thread: a pool of threads costs more
_REMOTE_BATCH_BYTES_MIN = 1 << 20


class PartialFile:
    """A file of a snapshot, ready to be read in parts."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.size = entry.size
        self._chunks: ChunkMap | None = None

    @property
    def path(self) -> str:
        return os.fsdecode(self.entry.path)

    @property
    def chunks(self) -> ChunkMap:
        """Made when it is first needed."""
        if self._chunks is None:
            self._chunks = ChunkMap(self.entry)
        return self._chunks


class Demand(NamedTuple):
    """A window of a file, and where its bytes go: an array of the window's size, in C order.

    `zeroed`: it holds zeros, and what is a hole is left alone.
    """

    file: PartialFile
    window: Window
    target: Bytes
    zeroed: bool = False


class _Use(NamedTuple):
    """A chunk, its length, and the demands that it serves, each with the chunk's place in the file."""

    chunk: ChunkId
    length: int
    served: list[tuple[Demand, int]]


class PartReader:
    """Reads parts of the files of one vault. Safe for several threads."""

    def __init__(self, handle: Handle, *, cache_bytes: int = DECODED_BYTES) -> None:
        """`cache_bytes`: of decoded chunks of which only a part was asked for. Raises CredentialError, UsageError."""
        handle.keys.require_reader("reading")
        self._handle = handle
        self._opened: tuple[ChunkIndex, ChunkReader] | None = None
        self.decoded = DecodedChunks(cache_bytes)

    @property
    def _reader(self) -> ChunkReader:
        """Made when something is read: who only looks at names and shapes needs no index. Anew after a `refresh`."""
        index, opened = self._handle.index, self._opened
        if opened is None or opened[0] is not index:
            # Two threads at once may both make one. Either will do, also one with a newer index than it is kept with.
            opened = self._opened = index, self._handle.reader()
        return opened[1]

    def fill(self, demands: Iterable[Demand], *, workers: int | None = None) -> None:
        """Read all of them. In memory are, beside the targets, the cache and a few chunks for each worker.

        Raises DamageError, UsageError (no workers), and what the store raises; the targets then hold anything.
        """
        workers = self._handle.workers if workers is None else workers
        if workers < 1:
            raise UsageError(f"{workers} threads read nothing")
        missing = []
        for use in _uses(demands):
            kept = self.decoded.get(use.chunk)
            if kept is None:
                missing.append(use)
            else:
                _serve(use, kept)
        total = sum(use.length for use in missing)
        remote = self._handle.store.capabilities.remote
        if len(missing) > 1 and (remote or total > _AT_ONCE_BYTES):
            # Of a store that is far away, packs are asked for at the same time, also where little is wanted of each.
            batch = min(BATCH_BYTES, max(_REMOTE_BATCH_BYTES_MIN, total // workers)) if remote else None
            self._stream(missing, workers, batch)
        elif missing:
            plain = self._reader.read(use.chunk for use in missing)
            for use in missing:
                data = plain[use.chunk]
                if _serve(use, data) < use.length:
                    self.decoded.put(use.chunk, data)

    def span(self, file: PartialFile, start: int, length: int) -> bytes:
        """`length` bytes of a file from `start` on, which lie in it. Raises as `fill`."""
        window = Window(start, 1, length, length)
        covering = file.chunks.covering(window)
        if len(covering) == 1 and not file.chunks.has_holes:
            [(offset, size, chunk)] = covering
            data = self.decoded.get(chunk)
            if data is not None and len(data) == size:
                return bytes(memoryview(data)[start - offset : start - offset + length])
        target = np.empty(length, np.uint8)
        self.fill([Demand(file, window, target)])
        return target.tobytes()

    def _stream(self, missing: Sequence[_Use], workers: int, batch_bytes: int | None) -> None:
        def take(wanted: Wanted[_Use], data: Buffer) -> None:
            use = wanted.purpose
            if _serve(use, data) < use.length and use.length <= self.decoded.capacity:
                self.decoded.put(use.chunk, bytes(data))  # a copy: the next chunk comes in the same memory

        wanted = (Wanted(use.chunk, use.length, use) for use in self._by_pack(missing))
        self._reader.stream(wanted, take, workers=workers, batch_bytes=batch_bytes)

    def _by_pack(self, uses: Sequence[_Use]) -> list[_Use]:
        """In the order in which they are stored, so that neighbours come with one request."""

        index = self._handle.index

        def place(use: _Use) -> tuple[str, int]:
            located = index.find(use.chunk)
            return ("", 0) if located is None else (located.pack, located.place.offset)

        return sorted(uses, key=place)


def _uses(demands: Iterable[Demand]) -> Iterable[_Use]:
    """Each chunk that is needed once. Fills with zeros what is in no chunk."""
    uses: dict[ChunkId, _Use] = {}
    for demand in demands:
        chunks = demand.file.chunks
        if demand.window.start < 0 or demand.window.end > chunks.size:
            raise DamageError(f"a part of {demand.file.path!r} was to be read that lies outside the file")
        if chunks.has_holes and not demand.zeroed:
            demand.target[...] = 0
        for offset, length, chunk in chunks.covering(demand.window):
            use = uses.get(chunk)
            if use is None:
                use = uses[chunk] = _Use(chunk, length, [])
            elif use.length != length:
                raise DamageError(f"chunk {chunk.hex()[:16]}… is named with {use.length} bytes, and with {length}")
            use.served.append((demand, offset))
    return uses.values()


def _serve(use: _Use, data: Buffer) -> int:
    """Copy what is wanted of a chunk; returns how many bytes. Raises DamageError when it has another length."""
    if len(data) != use.length:
        raise DamageError(f"chunk {use.chunk.hex()[:16]}… has {len(data)} bytes, not {use.length}")
    view = np.frombuffer(data, np.uint8)
    return sum(copy_window(demand.window, view, offset, demand.target) for demand, offset in use.served)
