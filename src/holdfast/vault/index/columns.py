"""A pack's table as fixed-size records, checked column by column: what the index keeps on disk and looks into."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from holdfast.errors import DamageError
from holdfast.ids import ChunkId
from holdfast.vault.format.packs import BLOBS_MAX, RAW_MAX, TAG_BYTES, TRAILER_BYTES, ChunkPlace, start_field, start_of
from holdfast.vault.format.records import PackTable
from holdfast.vault.regions.model import Element
from holdfast.vault.regions.model import Kind as ElementKind

__all__ = ["BLOCK_CHUNKS", "Columns", "check_table", "prefix_of", "read_record", "table_of"]

BLOCK_CHUNKS = 16  # per row on disk: several rows to a page, and one look-up copies about 1 KiB
_PACK_MAX = 1 << 30
_RECORD = struct.Struct("<32sIIIBBBB")  # id, offset, stored, raw, codec, kind, width, base
_CHECKSUM = struct.Struct("<I")
_RECORD_TYPE = np.dtype(
    [("id", "V32"), ("offset", "<u4"), ("stored", "<u4"), ("raw", "<u4")]
    + [(name, "u1") for name in ("codec", "kind", "width", "base")]
)
_NO_BASE = ChunkId(b"")
_KINDS = tuple(ElementKind(number) for number in range(ElementKind.FLOAT + 1))
_WIDTHS = (1, 2, 4, 8)
_ELEMENTS = {(kind, width): Element(kind, width) for kind in _KINDS for width in _WIDTHS}


class Columns:
    """The blobs of one pack, in order. Equal tables have equal `digest`s."""

    def __init__(self, records: NDArray[Any], based: NDArray[Any], bases: bytes, size: int) -> None:
        """`records`: (n,) of `_RECORD_TYPE`, without `base`; `based`: (m,) `<u4`, ascending; `bases`: 32 m bytes."""
        self._records = records
        self._based = based
        self._bases = bases
        self.size = size
        self.digest = blake3(size.to_bytes(8, "little") + records.tobytes() + based.tobytes() + bases).digest(16)

    def __len__(self) -> int:
        return len(self._records)

    def prefixes(self) -> NDArray[np.int64]:
        """`prefix_of` each chunk, in order: (n,)."""
        return _prefixes(self._records)

    def blocks(self) -> Iterator[bytes]:
        """What `read_record` and `table_of` read: `BLOCK_CHUNKS` records each, the bases of those, and a checksum.

        The last byte of a record says which base from the end it has, counted from 1; 0 is none.
        """
        records = self._records.copy()
        for first in range(0, len(records), BLOCK_CHUNKS):
            block = records[first : first + BLOCK_CHUNKS]
            low, high = np.searchsorted(self._based, (first, first + BLOCK_CHUNKS))
            block["base"][self._based[low:high] - first] = np.arange(high - low, 0, -1)
            body = block.tobytes() + self._bases[32 * low : 32 * high]
            yield body + _CHECKSUM.pack(zlib.crc32(body))


def check_table(table: PackTable, suite: int, name: str, pack_size: int) -> Columns:
    """The columns of a table of a pack of `pack_size` bytes. Accepts what `places_of` accepts, and packs of the
    format's greatest size at most.

    Raises DamageError when the columns do not fit together, or cannot be those of such a pack.
    """
    count = len(table.codec)
    if count > BLOBS_MAX:
        raise DamageError(f"the table of {name} names more chunks than a pack holds", object_name=name)
    based, bases = _checked_bases(table, count, name)
    records = np.zeros(count, _RECORD_TYPE)
    stored, raw = np.frombuffer(table.stored, "<u4"), np.frombuffer(table.raw, "<u4")
    try:
        start = start_of(table, suite)
    except DamageError as error:
        raise DamageError(f"the table of {name} names places that are not in it", object_name=name) from error
    ends = np.cumsum(stored, dtype=np.uint64) + start
    if count and int(raw.max()) > RAW_MAX:
        raise DamageError(f"the table of {name} names a chunk of an impossible size", object_name=name)
    beyond = count and int(ends[-1]) > pack_size - TAG_BYTES - TRAILER_BYTES
    if not 0 <= pack_size <= _PACK_MAX or beyond or (count and int(stored.min()) < TAG_BYTES):
        raise DamageError(f"the table of {name} names places that are not in it", object_name=name)
    records["id"] = np.frombuffer(table.ids, "V32")
    records["offset"], records["stored"], records["raw"] = ends - stored, stored, raw
    for column in ("codec", "kind", "width"):
        records[column] = np.frombuffer(getattr(table, column), "u1")
    _check_codings(records, based, bases, name)
    if _repeats(records, table.ids):
        raise DamageError(f"the table of {name} names a chunk twice", object_name=name)
    return Columns(records, based, bases, pack_size)


def _checked_bases(table: PackTable, count: int, name: str) -> tuple[NDArray[Any], bytes]:
    """Numbers of the deltas, ascending, and their bases. Raises DamageError when the columns' lengths do not fit."""
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
    if len(based) < 2 or bool((based[1:] > based[:-1]).all()):
        return based, table.bases
    order = np.argsort(based)
    return based[order], np.frombuffer(table.bases, "V32")[order].tobytes()


def _check_codings(records: NDArray[Any], based: NDArray[Any], bases: bytes, name: str) -> None:
    delta = np.zeros(len(records), np.bool_)
    delta[based] = True
    known = (records["kind"] <= ElementKind.FLOAT) & np.isin(records["width"], _WIDTHS) & (records["codec"] <= 3)
    if not bool((known & ((records["codec"] == 3) == delta)).all()):
        raise DamageError(f"the table of {name} names an unknown coding", object_name=name)
    own = np.ascontiguousarray(records["id"][based]).view("u1").reshape(-1, 32)
    if bool((own == np.frombuffer(bases, "u1").reshape(-1, 32)).all(axis=1).any()):
        raise DamageError(f"the table of {name} names a chunk that is a delta to itself", object_name=name)


def _repeats(records: NDArray[Any], ids: bytes) -> bool:
    if len(np.unique(_prefixes(records))) == len(records):
        return False
    return len({ids[start : start + 32] for start in range(0, len(ids), 32)}) != len(records)


def _prefixes(records: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(records["id"]).view("<i8").reshape(-1, 4)[:, 0]


def prefix_of(chunk: bytes) -> int:
    """The first 8 bytes of a chunk id as a signed number: what SQLite keeps as an integer."""
    return int.from_bytes(chunk[:8], "little", signed=True)


def read_record(block: bytes, number: int, chunk: ChunkId) -> ChunkPlace | None:
    """The place of blob `number`, out of its block; None when that is another chunk, or the block is not as written."""
    start = _RECORD.size * (number % BLOCK_CHUNKS)
    if not block.startswith(chunk, start) or not _is_sound(block, start + _RECORD.size):
        return None
    _, offset, stored, raw, codec, kind, width, slot = _RECORD.unpack_from(block, start)
    end = len(block) - _CHECKSUM.size - 32 * (slot - 1)
    element = _ELEMENTS.get((kind, width))
    if element is None or (slot and end - 32 < start + _RECORD.size):
        return None
    base = ChunkId(block[end - 32 : end]) if slot else _NO_BASE
    return ChunkPlace(number, offset, stored, raw, codec, element, base)


def table_of(blocks: Sequence[bytes], count: int) -> PackTable | None:
    """The table of `count` chunks that these are all blocks of; None when they are not, or not as written."""
    if len(blocks) != -(-count // BLOCK_CHUNKS):
        return None
    records, based, bases = [np.zeros(0, _RECORD_TYPE)], [np.zeros(0, "<u4")], []
    for number, block in enumerate(blocks):
        first = number * BLOCK_CHUNKS
        length = _RECORD.size * min(BLOCK_CHUNKS, count - first)
        if not _is_sound(block, length):
            return None
        part = np.frombuffer(block[:length], _RECORD_TYPE)
        records.append(part)
        based.append((np.flatnonzero(part["base"]) + first).astype("<u4"))
        bases.append(block[length : -_CHECKSUM.size])
    whole, deltas = np.concatenate(records), np.concatenate(based)
    if sum(map(len, bases)) != 32 * len(deltas):
        return None
    columns = {
        name: np.ascontiguousarray(whole[name]).tobytes() for name in ("stored", "raw", "codec", "kind", "width")
    }
    ids = np.ascontiguousarray(whole["id"]).tobytes()
    start = start_field(int(whole["offset"][0])) if count else 0
    return PackTable(ids=ids, **columns, based=deltas.tobytes(), bases=b"".join(bases), start=start)


def _is_sound(block: bytes, at_least: int) -> bool:
    """Whether the checksum fits, and that many bytes stand before it."""
    # A cache may rot like anything else, and nothing else would tell a wrong offset from a damaged pack.
    end = len(block) - _CHECKSUM.size
    return end >= at_least and _CHECKSUM.unpack_from(block, end)[0] == zlib.crc32(memoryview(block)[:end])
