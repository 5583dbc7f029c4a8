"""Packs: sealed chunks in one immutable object, named by its stored bytes. `docs/format/vault-1.md`, "Packs"."""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from blake3 import blake3

from holdfast.errors import DamageError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.trust.aead import BlobCipher, PlainCipher
from holdfast.trust.sealing import open_key, seal_key, sealed_size
from holdfast.trust.suites import Suite
from holdfast.vault.format.documents import checked_header
from holdfast.vault.format.header import HEADER_BYTES, Kind
from holdfast.vault.format.keys import VaultKeys, plain_key
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.records import PackTable, decode_record, encode_record
from holdfast.vault.regions.model import Element
from holdfast.vault.regions.model import Kind as ElementKind

__all__ = [
    "ChunkPlace",
    "SealedPack",
    "Slot",
    "PackBuilder",
    "PackOpener",
    "places_of",
    "preamble_bytes",
    "start_of",
    "start_field",
    "TRAILER_BYTES",
    "TAG_BYTES",
]

TAG_BYTES = 16
TRAILER_BYTES = 16
RAW_MAX = 64 << 20
BLOBS_MAX = 1 << 24
_PACK_MAX = 1 << 30
_FOOTER_ROOM = 64 << 10  # of a pack of some hundred chunks; for more the buffer grows
_TRAILER = struct.Struct("<II8s")
_TRAILER_MAGIC = b"TSAFDLOH"
_FOOTER_NONCE = (1 << 96) - 1
_NO_BASE = ChunkId(b"")


class ChunkPlace(NamedTuple):
    """Where a chunk lies in its pack, and how it is coded. `base` is empty unless codec is 3 (delta)."""

    number: int
    offset: int
    stored: int
    raw: int
    codec: int
    element: Element
    base: ChunkId


class SealedPack(NamedTuple):
    """A finished pack. `data` is a view of the builder's buffer: store it before the builder is reused."""

    id: PackId
    key: str
    data: memoryview
    table: PackTable


class Slot(NamedTuple):
    """Where in an unfinished pack a chunk goes: its number is its nonce."""

    number: int
    chunk: ChunkId
    target: memoryview


def preamble_bytes(suite: int) -> int:
    """Bytes before the first blob: header and sealed key. In a vault of that suite, no pack has more."""
    return HEADER_BYTES + sealed_size(Suite(suite))


def start_of(table: PackTable, suite: int) -> int:
    """Where the first blob of a pack lies. Raises DamageError when the table says what cannot be.

    `suite`: that of the vault. Tables say it for the suites that came later; those of 0 and 1 do not.
    """
    if not table.start:
        return preamble_bytes(Suite.PLAIN if suite == Suite.PLAIN else Suite.HYBRID_1)
    if suite == Suite.PLAIN or table.start != preamble_bytes(Suite.HYBRID_2):
        raise DamageError("the table of a pack says that it begins where no pack does")
    return table.start


def start_field(start: int) -> int:
    """What the table of a pack says whose first blob lies at `start`."""
    return start if start == preamble_bytes(Suite.HYBRID_2) else 0


class PackBuilder:
    """Seals chunks into one buffer, which is reused from pack to pack. Only `seal` may be called by several threads."""

    def __init__(self, keys: VaultKeys, capacity: int) -> None:
        """`capacity`: bytes of chunks and tags that fit; a pack is full when the next chunk would not."""
        self._keys = keys
        self._capacity = capacity
        self._buffer = _uninitialised(capacity + preamble_bytes(keys.suite) + _FOOTER_ROOM)
        self._begin()

    def _begin(self) -> None:
        self._header = self._keys.header(Kind.PACK).pack()
        if self._keys.suite is Suite.PLAIN:
            key, sealed = plain_key(self._keys.vault), b""
        else:
            key = os.urandom(32)
            sealed = seal_key(self._keys.config.epochs[-1].public, key, _pack_info(self._header))
        self._cipher = self._keys.cipher(key)
        preamble = self._header + sealed
        self._buffer[: len(preamble)] = preamble
        self._start = self._end = len(preamble)
        self._ids: list[ChunkId] = []
        self._columns: list[tuple[int, int, int, int, int]] = []
        self._bases: list[tuple[int, ChunkId]] = []

    def __len__(self) -> int:
        """Number of chunks so far."""
        return len(self._ids)

    def fits(self, payload_bytes: int) -> bool:
        """Whether a chunk of that coded size still fits (the first one always does: the buffer grows for it)."""
        needed = self._end - self._start + payload_bytes + TAG_BYTES
        return not self._ids or (needed <= self._capacity and len(self._ids) < BLOBS_MAX)

    def add(
        self,
        chunk: ChunkId,
        payload: bytes | memoryview,
        *,
        raw: int,
        codec: int,
        element: Element,
        base: ChunkId = _NO_BASE,
    ) -> int:
        """Seal one coded chunk. Returns the bytes it takes, tag included."""
        slot = self.reserve(chunk, len(payload), raw=raw, codec=codec, element=element, base=base)
        self.seal(slot, payload)
        return len(slot.target)

    def reserve(
        self,
        chunk: ChunkId,
        payload_bytes: int,
        *,
        raw: int,
        codec: int,
        element: Element,
        base: ChunkId = _NO_BASE,
    ) -> Slot:
        """A place for the next coded chunk, which `seal` must fill before `finish`. See `fits`."""
        stored = payload_bytes + TAG_BYTES
        if self._end + stored > len(self._buffer):
            self._grow(self._end + stored)  # only for the first chunk: nothing is being sealed yet
        slot = Slot(len(self._ids), chunk, self._buffer[self._end : self._end + stored])
        if base:
            self._bases.append((slot.number, base))
        self._ids.append(chunk)
        self._columns.append((stored, raw, codec, int(element.kind), element.width))
        self._end += stored
        return slot

    def seal(self, slot: Slot, payload: bytes | memoryview) -> None:
        """Seal a chunk in its place. Slots may be sealed by several threads at once, and in any order."""
        self._cipher.seal_into(slot.number, payload, self._header + slot.chunk, slot.target)

    def _grow(self, size: int) -> None:
        grown = _uninitialised(size)
        grown[: self._end] = self._buffer[: self._end]
        self._buffer = grown

    def finish(self) -> SealedPack:
        """Close the pack. The builder may be used again (`reset`) once the data is stored."""
        columns = np.array(self._columns, dtype="<u4").reshape(-1, 5)
        table = PackTable(
            ids=b"".join(self._ids),
            stored=columns[:, 0].tobytes(),
            raw=columns[:, 1].tobytes(),
            codec=columns[:, 2].astype("u1").tobytes(),
            kind=columns[:, 3].astype("u1").tobytes(),
            width=columns[:, 4].astype("u1").tobytes(),
            based=np.array([number for number, _ in self._bases], dtype="<u4").tobytes(),
            bases=b"".join(base for _, base in self._bases),
            start=start_field(self._start),
        )
        footer = encode_record(table)
        trailer = _TRAILER.pack(len(self._ids), len(footer) + TAG_BYTES, _TRAILER_MAGIC)
        tail = self._cipher.seal(_FOOTER_NONCE, footer, self._header + trailer) + trailer
        end = self._end + len(tail)
        if end > len(self._buffer):
            self._grow(end)
        self._buffer[self._end : end] = tail
        data = self._buffer[:end]
        pack = PackId(blake3(data).hexdigest())
        return SealedPack(pack, pack_key(pack), data, table)

    def reset(self) -> None:
        """Begin the next pack, with a new key, in the same buffer."""
        self._begin()


class PackOpener:
    """Opens the blobs of one pack, given its preamble (the first bytes, at least as many as its own suite has)."""

    def __init__(self, keys: VaultKeys, pack: PackId, preamble: bytes) -> None:
        """Raises DamageError, or CredentialError when this credential cannot read."""
        name = pack_key(pack)
        header = checked_header(name, preamble, Kind.PACK)
        if header.vault != keys.vault:
            raise DamageError(f"{name} belongs to another vault ({header.vault.hex()})", object_name=name)
        keys.require_suite(header, name)
        self._name = name
        self._header = header.pack()
        self._cipher: BlobCipher
        if keys.suite is Suite.PLAIN:
            self._cipher = PlainCipher(plain_key(keys.vault))
            return
        keys.require_reader(f"reading {name}")
        private = keys.private.get(header.epoch)
        if private is None:
            raise WrongKeyError(
                f"{name} is sealed to epoch {header.epoch}, which this key does not open",
                hint="use a key that opens that epoch; if there is no such epoch, somebody altered the object",
                object_name=name,
            )
        sealed = preamble[HEADER_BYTES : preamble_bytes(header.suite)]
        try:
            self._cipher = keys.cipher(open_key(private, sealed, _pack_info(self._header)))
        except (WrongKeyError, DamageError) as error:
            raise DamageError(f"{name} is damaged: its key does not open", object_name=name) from error

    def open_blob(self, number: int, chunk: ChunkId, sealed: bytes | memoryview) -> bytes:
        """The coded bytes of a blob. Raises DamageError."""
        try:
            return self._cipher.open(number, sealed, self._header + chunk)
        except DamageError as error:
            raise self._sealed_wrong(number) from error

    def open_blob_into(self, number: int, chunk: ChunkId, sealed: memoryview, out: memoryview) -> memoryview:
        """The same to the start of `out`; returns that part of it. Raises DamageError: then it holds anything."""
        try:
            return out[: self._cipher.open_into(number, sealed, self._header + chunk, out)]
        except DamageError as error:
            raise self._sealed_wrong(number) from error

    def _sealed_wrong(self, number: int) -> DamageError:
        return DamageError(f"{self._name} is damaged: blob {number} does not open", object_name=self._name)

    def open_footer(self, tail: bytes) -> PackTable:
        """The table, from the stored bytes of footer and trailer. Raises DamageError."""
        _, trailer = tail[:-TRAILER_BYTES], tail[-TRAILER_BYTES:]
        try:
            footer = self._cipher.open(_FOOTER_NONCE, tail[:-TRAILER_BYTES], self._header + trailer)
        except DamageError as error:
            raise DamageError(f"{self._name} is damaged: its footer does not open", object_name=self._name) from error
        table = decode_record(footer, PackTable, self._name)
        if len(table.ids) != 32 * _TRAILER.unpack(trailer)[0]:
            raise DamageError(f"{self._name} is damaged: its footer does not fit its trailer", object_name=self._name)
        return table


def footer_bytes(name: str, trailer: bytes, pack_size: int) -> int:
    """Length of the sealed footer that the trailer states. Raises DamageError when it cannot be."""
    if len(trailer) != TRAILER_BYTES:
        raise DamageError(f"{name} is cut short", object_name=name)
    _, length, magic = _TRAILER.unpack(trailer)
    if magic != _TRAILER_MAGIC or length < TAG_BYTES or length > pack_size - HEADER_BYTES - TRAILER_BYTES:
        raise DamageError(f"{name} is damaged: its trailer is not one", object_name=name)
    return int(length)


def places_of(
    table: PackTable, suite: int, name: str, pack_size: int | None = None
) -> list[tuple[ChunkId, ChunkPlace]]:
    """The chunks of a table with their places.

    Raises DamageError when the columns do not fit together, or cannot be those of a pack of `pack_size` bytes.
    """
    count = len(table.codec)
    if count > BLOBS_MAX:
        raise DamageError(f"the table of {name} names more chunks than a pack holds", object_name=name)
    based = np.frombuffer(table.based, "<u4") if len(table.based) % 4 == 0 else None
    if (
        len(table.ids) != 32 * count
        or len(table.stored) != 4 * count
        or len(table.raw) != 4 * count
        or len(table.kind) != count
        or len(table.width) != count
        or based is None
        or len(table.bases) != 32 * len(based)
        or (len(based) and (int(based.max()) >= count or len(np.unique(based)) != len(based)))
    ):
        raise DamageError(f"the table of {name} does not fit together", object_name=name)
    stored, raw = np.frombuffer(table.stored, "<u4"), np.frombuffer(table.raw, "<u4")
    ends = np.cumsum(stored, dtype=np.uint64) + _start(table, suite, name)
    if count and int(raw.max()) > RAW_MAX:
        raise DamageError(f"the table of {name} names a chunk of an impossible size", object_name=name)
    room = _PACK_MAX if pack_size is None else pack_size
    if count and (int(stored.min()) < TAG_BYTES or int(ends[-1]) > room - TAG_BYTES - TRAILER_BYTES):
        raise DamageError(f"the table of {name} names places that are not in it", object_name=name)
    bases = {int(number): ChunkId(table.bases[32 * i : 32 * i + 32]) for i, number in enumerate(based)}
    places = []
    for number in range(count):
        kind, width, codec = table.kind[number], table.width[number], table.codec[number]
        if kind > ElementKind.FLOAT or width not in (1, 2, 4, 8) or codec > 3 or (codec == 3) != (number in bases):
            raise DamageError(f"the table of {name} names an unknown coding", object_name=name)
        place = ChunkPlace(
            number,
            int(ends[number]) - int(stored[number]),
            int(stored[number]),
            int(raw[number]),
            codec,
            Element(ElementKind(kind), width),
            bases.get(number, _NO_BASE),
        )
        chunk = ChunkId(table.ids[32 * number : 32 * number + 32])
        if place.base == chunk:
            raise DamageError(f"the table of {name} names a chunk that is a delta to itself", object_name=name)
        places.append((chunk, place))
    if len({chunk for chunk, _ in places}) != count:
        raise DamageError(f"the table of {name} names a chunk twice", object_name=name)
    return places


def _start(table: PackTable, suite: int, name: str) -> int:
    try:
        return start_of(table, suite)
    except DamageError as error:
        raise DamageError(f"the table of {name} names places that are not in it", object_name=name) from error


def _uninitialised(size: int) -> memoryview:
    # Not bytearray: that writes zeros, and touching fresh pages costs more than sealing into them later. Whole pages,
    # so that a store can write from here to its disk directly.
    buffer = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(buffer)


def _pack_info(header: bytes) -> bytes:
    return b"holdfast 1 pack\0" + header
