"""The work on one chunk: name it, see whether it is stored, find its base, code it, put it in a pack."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError, ObjectNotFoundError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.believing import Believing
from holdfast.vault.codecs import Codec, encode_in_place
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import TAG_BYTES
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located
from holdfast.vault.regions.model import Element
from holdfast.vault.saving.anchors import Anchors
from holdfast.vault.saving.pack_writer import PackWriter
from holdfast.vault.snapshots.labels import BaseCandidate

__all__ = ["Coded", "ChunkCoder", "BaseSource"]

_NO_BASE = ChunkId(b"")
_CHAIN_MAX = 8  # of deltas to deltas; a reader follows no more than this and the new one


class Coded(NamedTuple):
    """A named chunk that the store has, or will have with the packs of this save.

    `stored`: the bytes that it newly takes in a pack, coded so; None when it is there already.
    """

    chunk: ChunkId
    codec: Codec
    stored: int | None


class BaseSource(Protocol):
    """Gives the plaintext of chunks that may serve as delta bases."""

    def base_bytes(self, chunk: ChunkId) -> bytes | bytearray | memoryview | None:
        """The bytes, or None when they are not to be had here."""
        ...


class ChunkCoder:
    """Codes chunks for one save. Safe for several threads."""

    def __init__(
        self,
        handle: Handle,
        bases: BaseSource,
        anchors: Anchors,
        writer: PackWriter,
        avoid: Collection[str] = frozenset(),
    ) -> None:
        """`avoid`: keys of objects that are condemned: their chunks are not shared, and no base of a delta."""
        self._handle = handle
        self._avoid = avoid
        self._bases = bases
        self._anchors = anchors
        self._writer = writer
        self._present: dict[PackId, bool] = {}
        self._believing = Believing(handle.keys)
        self._lock = threading.Lock()

    def code(
        self, data: bytes | memoryview, element: Element, candidate: BaseCandidate | None, stream: str = ""
    ) -> Coded:
        """Name one chunk and, unless it is stored already, code it and put it in a pack of that stream."""
        chunk = self._handle.keys.names.chunk_id(data)
        if self._stored(chunk) or self._writer.holds(chunk):
            return Coded(chunk, Codec.RAW, None)
        base, base_data, most = self._base(candidate, len(data), element)
        codec, payload = encode_in_place(data, element, base_data, delta_most=most)
        if codec is not Codec.DELTA:
            base = _NO_BASE
        stored = self._writer.add(
            chunk, payload, raw=len(data), codec=int(codec), element=element, base=base, stream=stream
        )
        if stored is not None and base:
            self._anchors.took_delta(base, stored)
        elif stored is not None:
            self._anchors.took_full(chunk)
        return Coded(chunk, codec, stored)

    def _stored(self, chunk: ChunkId) -> bool:
        """Whether the chunk, and the bases that it needs, lie in packs that are really there."""
        for _ in range(_CHAIN_MAX):
            located = self._place(chunk)
            if located is None:
                return False
            if not located.place.base:
                return True
            chunk = located.place.base
        return False  # nothing honest is that deep, or a delta to itself

    def _place(self, chunk: ChunkId) -> Located | None:
        index = self._handle.index
        for located in self._believing.places(index, chunk):
            if pack_key(located.pack) in self._avoid:
                continue
            if self._pack_present(located.pack, located.pack_size):
                return located
            index.forget_pack(located.pack)
        return None

    def _base(
        self, candidate: BaseCandidate | None, length: int, element: Element
    ) -> tuple[ChunkId, bytes | bytearray | memoryview | None, float]:
        """The base, its bytes, and how many bytes a delta to it may have to be worth it."""
        none = _NO_BASE, None, 0.0
        if candidate is None or candidate[1] != length or candidate[2] != element:
            return none
        located = self._handle.index.find(candidate[0])
        if located is None:
            return none
        # Anchors: a delta's base is never a delta itself, so that restoring reads two chunks at most.
        anchor = located.place.base or candidate[0]
        if not self._stored(anchor):
            return none
        most = self._anchors.limit(anchor, candidate[0]) - TAG_BYTES
        try:
            data = self._bases.base_bytes(anchor)
        except HoldfastError as error:
            self._handle.progress.note(f"no delta for one chunk, its base cannot be read: {error.message}")
            return none
        return (anchor, data, most) if data is not None and len(data) == length else none

    def _pack_present(self, pack: PackId, size: int) -> bool:
        # An index may outlive its packs. Whether a pack is there is asked once per save, before a chunk relies on it.
        present = self._present.get(pack)
        if present is None:
            try:
                present = self._handle.store.head(pack_key(pack)).size == size
            except ObjectNotFoundError:
                present = False
            if not present:
                self._handle.progress.note(f"{pack_key(pack)} is missing or cut short; its chunks are stored again")
            with self._lock:
                self._present[pack] = present
        return present
