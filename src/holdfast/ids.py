"""Identifier types. A `SnapshotId` is never a bare `str` inside the package."""

from __future__ import annotations

import os
import re
from typing import NewType

__all__ = [
    "SnapshotId",
    "ChunkId",
    "PackId",
    "PartId",
    "VaultId",
    "new_snapshot_id",
    "snapshot_id_of",
    "snapshot_time_ms",
    "is_snapshot_id",
]

SnapshotId = NewType("SnapshotId", str)  # 26 characters of Crockford base 32: 48 bits of milliseconds, 80 random bits
ChunkId = NewType("ChunkId", bytes)  # 32 bytes: keyed BLAKE3 of the chunk's plaintext
PackId = NewType("PackId", str)  # 64 hex digits: BLAKE3 of the stored bytes
PartId = NewType("PartId", str)  # 64 hex digits: keyed BLAKE3 of the manifest
VaultId = NewType("VaultId", str)  # 32 hex digits, random

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, lower case
_SNAPSHOT = re.compile(f"[0-7][{_ALPHABET}]{{25}}")


def new_snapshot_id(time_ns: int) -> SnapshotId:
    """A fresh id (the layout of a ULID) that sorts by time, to the millisecond."""
    return snapshot_id_of(time_ns, os.urandom(10))


def snapshot_id_of(time_ns: int, rest: bytes) -> SnapshotId:
    """The id of that time (48 bits of milliseconds) whose other 80 bits are these 10 bytes."""
    value = (time_ns // 1_000_000) % (1 << 48) << 80 | int.from_bytes(rest[:10], "big")
    return SnapshotId("".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5)))


def is_snapshot_id(text: str) -> bool:
    """Whether `text` has the form of a whole snapshot id."""
    return _SNAPSHOT.fullmatch(text) is not None


def snapshot_time_ms(snapshot: SnapshotId) -> int:
    """Milliseconds since the epoch that the id carries."""
    value = 0
    for character in snapshot:
        value = value << 5 | _ALPHABET.index(character)
    return value >> 80
