"""The 32 bytes that every object begins with."""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

from holdfast.errors import DamageError

__all__ = ["Kind", "Header", "HEADER_BYTES", "FORMAT_VERSION", "MAGIC"]

HEADER_BYTES = 32
FORMAT_VERSION = 1
MAGIC = b"HOLDFAST"
_LAYOUT = struct.Struct("<8s1sBHI16s")


class Kind(Enum):
    """Kinds of objects; the value is the header's letter."""

    CONFIG = b"C"
    PACK = b"P"
    INDEX = b"I"
    PART = b"M"
    ROOT = b"S"
    REF = b"R"
    LEASE = b"L"
    TRASH = b"T"
    THINNED = b"H"
    ANNOUNCEMENT = b"A"
    EVIDENCE = b"E"


class Header(NamedTuple):
    kind: bytes
    version: int
    suite: int
    epoch: int
    vault: bytes

    def pack(self) -> bytes:
        return _LAYOUT.pack(MAGIC, self.kind, self.version, self.suite, self.epoch, self.vault)

    @classmethod
    def parse(cls, data: bytes | memoryview, object_name: str) -> Header:
        """The header of an object's first bytes. Raises DamageError when it is none."""
        if len(data) < HEADER_BYTES or bytes(data[:8]) != MAGIC:
            raise DamageError(f"{object_name} is not an object of a Holdfast vault", object_name=object_name)
        _, kind, version, suite, epoch, vault = _LAYOUT.unpack_from(data)
        return cls(kind, version, suite, epoch, vault)
