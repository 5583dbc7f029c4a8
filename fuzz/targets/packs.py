"""Packs: whole ones as stored, their tables behind the seal, their chunks, and the records of the index's cache."""

from __future__ import annotations

import struct

from blake3 import blake3

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import own_memory
from holdfast.vault.codecs.model import MAX_RAW_LENGTH
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import (
    TRAILER_BYTES,
    PackBuilder,
    PackOpener,
    footer_bytes,
    places_of,
    preamble_bytes,
)
from holdfast.vault.format.records import PackTable, decode_record, encode_record
from holdfast.vault.index.columns import BLOCK_CHUNKS, check_table, read_record, table_of
from holdfast.vault.index.objects import read_pack_table
from holdfast.vault.regions.model import Element
from holdfast.vault.regions.model import Kind as ElementKind

__all__ = ["TARGETS"]

_BLOB = struct.Struct("<BBBBIB")  # codec, kind, width, which blob is its base, length, bytes that follow
_BLOBS_MOST = 8


def _packs(encrypted: bool) -> list[bytes]:
    return [data for key, data in world.objects(encrypted).items() if key.startswith("packs/")]


def _stored(data: bytes) -> None:
    """A whole pack under the name that its bytes give it. First byte: which vault."""
    encrypted, pack = bool(data[:1] == b"\1"), data[1:]
    keys, store = world.keys(encrypted), MemoryStore()
    name = PackId(blake3(pack).hexdigest())
    info = store.put(pack_key(name), pack)
    table = read_pack_table(store, keys, info)
    start = preamble_bytes(keys.suite)
    opener = PackOpener(keys, name, pack[:start])
    for chunk, place in places_of(table, keys.suite, info.key, len(pack)):
        opener.open_blob(place.number, chunk, pack[place.offset : place.offset + place.stored])


def _table(data: bytes) -> None:
    """A table that was signed for. First four bytes: the size of the pack that it is said to be of."""
    size = int.from_bytes(data[:4], "little")
    table = decode_record(data[4:], PackTable, "packs/x")
    answers = []
    for check in (places_of, check_table):
        try:
            answers.append(check(table, 0, "packs/x", size))
        except HoldfastError:
            answers.append(None)
    places, columns = answers
    if (places is None) != (columns is None) and size <= 1 << 30:
        raise Broken("the two readers of a table do not agree whether it is one")
    if places is None or columns is None:
        check_table(table, 0, "packs/x", size)
        return
    blocks = list(columns.blocks())
    for chunk, place in places:
        if read_record(blocks[place.number // BLOCK_CHUNKS], place.number, chunk) != place:
            raise Broken(f"{place} is another one in the cache")
    again = table_of(blocks, len(places))
    if again is None or places_of(again, 0, "packs/x", size) != places:
        raise Broken("a table does not come back from the cache")


def _table_seeds() -> list[bytes]:
    keys, seeds = world.keys(False), []
    for pack in _packs(False):
        opener = PackOpener(keys, PackId("00" * 32), pack[: preamble_bytes(0)])
        length = footer_bytes("packs/x", pack[-TRAILER_BYTES:], len(pack)) + TRAILER_BYTES
        table = opener.open_footer(pack[-length:])
        seeds.append(len(pack).to_bytes(4, "little") + encode_record(table))
    return seeds


def _block(data: bytes) -> None:
    """A block of the index's cache: it has a checksum, and rots like anything else."""
    number, block = data[0] if data else 0, data[1:]
    table_of([block], number % 40)
    place = read_record(block, number, ChunkId(block[:32]))
    if place is not None and place.number != number:
        raise Broken(f"{place} is not number {number}")


def _block_seeds() -> list[bytes]:
    blocks = []
    for seed in _table_seeds():
        table = decode_record(seed[4:], PackTable, "packs/x")
        columns = check_table(table, 0, "packs/x", int.from_bytes(seed[:4], "little"))
        blocks += [bytes([0]) + block for block in columns.blocks()]
    return blocks


def _trailer(data: bytes) -> None:
    size = int.from_bytes(data[:8], "little")
    length = footer_bytes("packs/x", data[8:], size)
    if not 0 < length <= size:
        raise Broken(f"a footer of {length} bytes in a pack of {size}")


def _chunks(data: bytes) -> None:
    """Blobs as a writer could seal them: any codec, any length, deltas to each other, also in a circle."""
    keys, store = world.keys(False), MemoryStore()
    builder = PackBuilder(keys, 1 << 16)
    named: list[ChunkId] = []
    position = 0
    while position + _BLOB.size <= len(data) and len(named) < _BLOBS_MOST:
        codec, kind, width, base, raw, size = _BLOB.unpack_from(data, position)
        position += _BLOB.size
        payload = data[position : position + size]
        position += size
        # Raw blobs bear the name of their bytes, so that deltas to them get as far as the arithmetic.
        chunk = keys.names.chunk_id(payload) if codec == 0 else ChunkId(blake3(bytes([len(named)])).digest())
        based = (
            ChunkId(blake3(bytes([base & 7])).digest()) if base & 8 else (named[base % len(named)] if named else chunk)
        )
        element = Element(ElementKind(kind % 4), width)
        named.append(chunk)
        builder.add(chunk, payload, raw=raw, codec=codec, element=element, base=based if codec == 3 else ChunkId(b""))
    if not named:
        return
    pack = builder.finish()
    store.put(pack.key, bytes(pack.data))
    with own_memory(world.scratch() / "chunks"):
        reader = world.vault(store, False).handle.reader()
        for chunk in dict.fromkeys(named):
            try:
                read = reader.read([chunk])[chunk]
            except HoldfastError:
                continue
            if keys.names.chunk_id(read) != chunk:
                raise Broken("bytes that are not those of their name left the vault")


def _chunks_seeds() -> list[bytes]:
    raw = _BLOB.pack(0, 2, 4, 0, 16, 16) + struct.pack("<4f", 1, 2, 3, 4)
    delta = bytes([0, 4, 0, 0, 0] * 4) + bytes(16)
    return [
        raw,
        raw + _BLOB.pack(3, 2, 4, 0, 16, len(delta)) + delta,
        _BLOB.pack(3, 2, 4, 9, 16, len(delta)) + delta + _BLOB.pack(3, 2, 4, 8, 16, len(delta)) + delta,
    ]


TARGETS = [
    Target(
        "pack-stored",
        "`read_pack_table`, `PackOpener`, `open_footer`, `places_of`, `open_blob`, both suites",
        _stored,
        lambda: [bytes([encrypted]) + data for encrypted in (False, True) for data in _packs(encrypted)],
        (b"TSAFDLOH",),
    ),
    Target(
        "pack-table",
        "`decode_record(PackTable)`, `places_of` beside `check_table`, `Columns.blocks`, `read_record`, `table_of`",
        _table,
        _table_seeds,
        (b"ids", b"stored", b"raw", b"codec", b"kind", b"width", b"based", b"bases", b"\xc4\x00", b"\xc6"),
    ),
    Target("pack-trailer", "`footer_bytes`", _trailer, lambda: [(4096).to_bytes(8, "little") + _packs(False)[0][-16:]]),
    Target("index-block", "`read_record`, `table_of`", _block, _block_seeds),
    Target(
        "chunks",
        "`PackBuilder`, `ChunkIndex.load`, `ChunkReader.read` (chains and circles of deltas), `decode`",
        _chunks,
        _chunks_seeds,
        (),
        4 * MAX_RAW_LENGTH,
        "a chunk may have 64 MiB; its planes, its base and the result are in memory together",
    ),
]
