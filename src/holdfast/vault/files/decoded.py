"""Decoded chunks that may be asked for again soon: small tensors share a chunk, and files are read piece by piece."""

from __future__ import annotations

import threading
from collections import OrderedDict

from holdfast.errors import UsageError
from holdfast.ids import ChunkId

__all__ = ["DecodedChunks", "DECODED_BYTES"]

DECODED_BYTES = 64 << 20


class DecodedChunks:
    """The chunks used last, up to `capacity` bytes of plaintext. Safe for several threads."""

    def __init__(self, capacity: int = DECODED_BYTES) -> None:
        """`capacity` 0 keeps nothing. Raises UsageError when it is negative."""
        if capacity < 0:
            raise UsageError(f"a cache of {capacity} bytes cannot be")
        self.capacity = capacity
        self._chunks: OrderedDict[ChunkId, bytes | bytearray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """How much is kept."""
        return self._bytes

    def get(self, chunk: ChunkId) -> bytes | bytearray | None:
        """The chunk's plaintext, or None. It must not be written to."""
        with self._lock:
            data = self._chunks.get(chunk)
            if data is not None:
                self._chunks.move_to_end(chunk)
            return data

    def put(self, chunk: ChunkId, data: bytes | bytearray) -> None:
        """Keep it, in place of those that were not used for the longest time. One that does not fit is not kept."""
        if len(data) > self.capacity:
            return
        with self._lock:
            if chunk in self._chunks:
                return
            self._chunks[chunk] = data
            self._bytes += len(data)
            while self._bytes > self.capacity:
                _, dropped = self._chunks.popitem(last=False)
                self._bytes -= len(dropped)

    def clear(self) -> None:
        with self._lock:
            self._chunks.clear()
            self._bytes = 0
