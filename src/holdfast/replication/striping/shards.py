"""The bytes and names of shards: `docs/format/stripes.md`."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from blake3 import blake3

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.replication.striping.erasure import ALIGNMENT, PARITY_MAX, SHARDS_MAX, Column, parity_of
from holdfast.stores.buffers import as_views
from holdfast.stores.protocol import Buffer
from holdfast.vault.format.names import PACKS

__all__ = [
    "BLOCK",
    "SHARDS",
    "Cut",
    "Shard",
    "block_is_sound",
    "column_of",
    "framed",
    "is_pack_key",
    "make_shards",
    "one_buffer",
    "parse_shard",
    "parse_shard_key",
    "parse_table",
    "shard_of",
]

SHARDS = "shards/"
BLOCK = 64 << 10  # bytes of payload that one entry of the table answers for
_MAGIC, _VERSION = b"HFSTRIPE", 1
_HEADER = struct.Struct("<8sBBBB4sQ32s8s")  # magic, version, k, n, i, 0, pack's size, pack's id, 0
_ENTRY_BYTES = 16
_HASH_BYTES = 32
_PACK_BYTES_MAX = 1 << 30
_PACK_KEY = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_SHARD_KEY = re.compile(
    r"shards/([0-9a-f]{2})/(\1[0-9a-f]{62})-(0|[1-9][0-9]{0,9})-([1-9][0-9]?)-([1-9][0-9]?)-(0|[1-9][0-9]?)"
)


class Cut(NamedTuple):
    """How a pack of `size` bytes is cut for a k-of-n code: where everything lies follows from these."""

    k: int
    n: int
    size: int

    @property
    def width(self) -> int:
        """Bytes of a column: the same for all shards. Data shards hold what the pack has of theirs, and no padding."""
        return -(-self.size // (self.k * ALIGNMENT)) * ALIGNMENT

    def payload_bytes(self, number: int) -> int:
        """Bytes that shard `number` holds of its column."""
        if number >= self.k:
            return self.width
        return min(max(self.size - number * self.width, 0), self.width)

    def blocks(self, number: int) -> int:
        """Blocks of shard `number`, the last of which may be short."""
        return -(-self.payload_bytes(number) // BLOCK)

    def payload_at(self, number: int) -> int:
        """Where the payload begins in the shard: behind header and table."""
        return _HEADER.size + _ENTRY_BYTES * self.blocks(number)

    def shard_bytes(self, number: int) -> int:
        """Bytes of shard `number` as it is stored."""
        return self.payload_at(number) + self.payload_bytes(number) + _HASH_BYTES

    def column_span(self, block: int) -> tuple[int, int]:
        """Where block `block` begins and ends in a column."""
        return block * BLOCK, min((block + 1) * BLOCK, self.width)


class Shard(NamedTuple):
    """What a shard's key says."""

    pack: str  # id, 64 hex digits
    cut: Cut
    number: int

    @property
    def key(self) -> str:
        cut = self.cut
        return f"{SHARDS}{self.pack[:2]}/{self.pack}-{cut.size}-{cut.k}-{cut.n}-{self.number}"


def is_pack_key(key: str) -> bool:
    """Whether an object of this name may be striped."""
    return _PACK_KEY.fullmatch(key) is not None


def shard_of(key: str, cut: Cut, number: int) -> Shard:
    """The shard `number` of the pack with that key."""
    return Shard(key.removeprefix(PACKS)[3:], cut, number)


def parse_shard_key(key: str) -> Shard | None:
    """What the key says, or None when it is none of a shard."""
    match = _SHARD_KEY.fullmatch(key)
    if match is None:
        return None
    size, k, n, number = (int(match[group]) for group in (3, 4, 5, 6))
    if not (2 <= k < n <= SHARDS_MAX and n - k <= PARITY_MAX and number < n and size <= _PACK_BYTES_MAX):
        return None
    return Shard(match[2], Cut(k, n, size), number)


def make_shards(pack: str, data: Buffer, k: int, n: int, wanted: Collection[int]) -> dict[int, list[Buffer]]:
    """The shards `wanted` of a pack, each as buffers that follow one another. The pack's bytes are not copied."""
    view = memoryview(data).cast("B")
    cut = Cut(k, n, view.nbytes)
    payloads: dict[int, Buffer] = {
        number: view[number * cut.width : number * cut.width + cut.payload_bytes(number)] for number in range(k)
    }
    rows = [number - k for number in wanted if number >= k]
    if rows:
        columns = [column_of(payloads[number], cut.width) for number in range(k)]
        payloads |= {k + row: column.data for row, column in zip(rows, parity_of(columns, rows), strict=True)}
    return {number: framed(Shard(pack, cut, number), payloads[number]) for number in wanted}


def framed(shard: Shard, payload: Buffer) -> list[Buffer]:
    """A shard's bytes around its payload."""
    view = memoryview(payload).cast("B")
    cut = shard.cut
    fixed = _HEADER.pack(
        _MAGIC, _VERSION, cut.k, cut.n, shard.number, bytes(4), cut.size, bytes.fromhex(shard.pack), bytes(8)
    )
    head = fixed + b"".join(_entry(view[start : start + BLOCK]) for start in range(0, view.nbytes, BLOCK))
    return [head, view, blake3(head).update(view).digest()]


def parse_shard(shard: Shard, data: Buffer) -> memoryview:
    """The payload of a whole shard whose hash is right. Raises DamageError."""
    view = memoryview(data).cast("B")
    at, end = shard.cut.payload_at(shard.number), view.nbytes - _HASH_BYTES
    parse_table(shard, view[:at])
    if view.nbytes != shard.cut.shard_bytes(shard.number):
        raise DamageError(f"{shard.key} is damaged: it has {view.nbytes} bytes", object_name=shard.key)
    if blake3(view[:end]).digest() != view[end:]:
        raise DamageError(f"{shard.key} is damaged: its bytes do not hash to what it says", object_name=shard.key)
    return view[at:end]


def parse_table(shard: Shard, head: Buffer) -> bytes:
    """The table, from the bytes before the payload. Raises DamageError, UnsupportedFormatError."""
    view = memoryview(head).cast("B")
    if view.nbytes < _HEADER.size or bytes(view[:8]) != _MAGIC:
        raise DamageError(f"{shard.key} is no shard", object_name=shard.key)
    _, version, k, n, number, zeros, size, pack, more = _HEADER.unpack_from(view)
    if version != _VERSION:
        raise UnsupportedFormatError(f"{shard.key} is of version {version}", object_name=shard.key)
    if (k, n, size, number, pack.hex()) != (*shard.cut, shard.number, shard.pack) or any(zeros + more):
        raise DamageError(f"{shard.key} is damaged: its header tells of another shard", object_name=shard.key)
    if view.nbytes != shard.cut.payload_at(number):
        raise DamageError(f"{shard.key} is damaged: it ends early", object_name=shard.key)
    return bytes(view[_HEADER.size :])


def block_is_sound(table: bytes, number: int, block: Buffer) -> bool:
    """Whether block `number` hashes to its entry of the table."""
    return _entry(block) == table[number * _ENTRY_BYTES : (number + 1) * _ENTRY_BYTES]


def column_of(payload: Buffer, width: int) -> Column:
    """The payload as a column: without a copy where it fills it and lies where words do, else with zeros behind."""
    given = np.frombuffer(payload, np.uint8)
    if len(given) == width and given.ctypes.data % 8 == 0:
        return given
    column = np.zeros(width, np.uint8)
    column[: len(given)] = given
    return column


def one_buffer(data: Buffer | Sequence[Buffer]) -> Buffer:
    """All bytes in one contiguous buffer, without a copy where they are that."""
    views = as_views(data)
    return views[0] if len(views) == 1 else b"".join(views)


def _entry(block: Buffer) -> bytes:
    return blake3(block).digest(_ENTRY_BYTES)
