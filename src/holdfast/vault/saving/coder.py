"""The work on one chunk: name it, see whether it is stored, find its base, code it, measure its tensors."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError, ObjectNotFoundError
from holdfast.ids import ChunkId, PackId
from holdfast.trust.signing import fingerprint
from holdfast.vault.codecs import Codec, Encoded, encode_in_place
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import pack_key
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located
from holdfast.vault.regions.model import Element
from holdfast.vault.snapshots.labels import BaseCandidate

__all__ = ["Coded", "ChunkCoder", "BaseSource"]

_NO_BASE = ChunkId(b"")
_OF_THIS_PROCESS = ""  # in the index of one who cannot read footers
_CHAIN_MAX = 8  # of deltas to deltas; a reader follows no more than this and the new one


class Coded(NamedTuple):
    """A named chunk; `encoded` is None when the store has it already, else valid until the thread codes another."""

    chunk: ChunkId
    raw: int
    element: Element
    encoded: Encoded | None
    base: ChunkId


class BaseSource(Protocol):
    """Gives the plaintext of chunks that may serve as delta bases."""

    def base_bytes(self, chunk: ChunkId) -> bytes | bytearray | memoryview | None:
        """The bytes, or None when they are not to be had here."""
        ...


class ChunkCoder:
    """Codes chunks for one save. Safe for several threads."""

    def __init__(self, handle: Handle, bases: BaseSource) -> None:
        self._handle = handle
        self._bases = bases
        self._present: dict[PackId, bool] = {}
        self._believed = None if handle.keys.can_read else _believed_by_writer(handle.keys)
        self._lock = threading.Lock()

    def code(self, data: bytes | memoryview, element: Element, candidate: BaseCandidate | None) -> Coded:
        """Name and, unless it is stored already, code one chunk."""
        chunk = self._handle.keys.names.chunk_id(data)
        if self._stored(chunk):
            return Coded(chunk, len(data), element, None, _NO_BASE)
        base, base_data = self._base(candidate, len(data), element)
        encoded = encode_in_place(data, element, base_data)
        return Coded(chunk, len(data), element, encoded, base if encoded.codec is Codec.DELTA else _NO_BASE)

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
        for located in index.places(chunk):
            if self._believed is not None and index.signer_of(located.pack) not in self._believed:
                continue
            if self._pack_present(located.pack, located.pack_size):
                return located
            index.forget_pack(located.pack)
        return None

    def _base(
        self, candidate: BaseCandidate | None, length: int, element: Element
    ) -> tuple[ChunkId, bytes | bytearray | memoryview | None]:
        if candidate is None or candidate[1] != length or candidate[2] != element:
            return _NO_BASE, None
        located = self._handle.index.find(candidate[0])
        if located is None:
            return _NO_BASE, None
        # Anchors: a delta's base is never a delta itself, so that restoring reads two chunks at most.
        anchor = located.place.base or candidate[0]
        if not self._stored(anchor):
            return _NO_BASE, None
        try:
            data = self._bases.base_bytes(anchor)
        except HoldfastError as error:
            self._handle.progress.note(f"no delta for one chunk, its base cannot be read: {error.message}")
            return _NO_BASE, None
        return (anchor, data) if data is not None and len(data) == length else (_NO_BASE, None)

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


def _believed_by_writer(keys: VaultKeys) -> set[str]:
    """Whose word on what a pack holds a writer takes, as fingerprints: its own and the keepers'.

    It cannot open packs. On the word of another writer it would leave out chunks that are not there.
    """
    keepers = {fingerprint(one.public) for one in keys.config.signers if one.role == "keeper" and one.revoked is None}
    own = {fingerprint(keys.signer.public)} if keys.signer is not None else set()
    return keepers | own | {_OF_THIS_PROCESS}
