"""The payload of PLANES and DELTA, byte for byte.

::

    per plane, lowest byte first:  method u8 (0 raw, 1 zstd frame) | stored length u32 LE
    per plane, lowest byte first:  the stored bytes
    tail:                          the last raw_length % width bytes of the chunk, as they are
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import DamageError
from holdfast.vault.codecs.frames import decompress

__all__ = ["METHOD_RAW", "METHOD_ZSTD", "StoredPlane", "join_planes", "read_planes"]

METHOD_RAW = 0
METHOD_ZSTD = 1

_ENTRY = struct.Struct("<BI")


class StoredPlane(NamedTuple):
    """One plane as it goes into a payload."""

    method: int
    data: bytes | memoryview


def join_planes(planes: Sequence[StoredPlane], tail: memoryview) -> bytes:
    """The payload."""
    entries = [_ENTRY.pack(plane.method, len(plane.data)) for plane in planes]
    return b"".join([*entries, *(plane.data for plane in planes), tail])


def read_planes(payload: memoryview, width: int, raw_length: int) -> tuple[list[NDArray[np.uint8]], memoryview]:
    """The `width` planes of `raw_length // width` bytes each, and the tail.

    All lengths are checked before any plane is decompressed. Raises DamageError for everything that is not exactly a
    payload of this shape.
    """
    elements, tail_length = divmod(raw_length, width)
    entries = _read_entries(payload, width)
    position = width * _ENTRY.size
    if position + sum(length for _, length in entries) + tail_length != len(payload):
        raise DamageError(f"the planes of a chunk of {raw_length} bytes do not add up to its payload")
    planes = []
    for number, (method, length) in enumerate(entries):
        stored = payload[position : position + length]
        planes.append(_read_plane(method, stored, elements, f"plane {number} of a chunk of {raw_length} bytes"))
        position += length
    return planes, payload[position:]


def _read_entries(payload: memoryview, width: int) -> list[tuple[int, int]]:
    size = width * _ENTRY.size
    if len(payload) < size:
        raise DamageError(f"a payload of {len(payload)} bytes is too short for the entries of {width} planes")
    return list(_ENTRY.iter_unpack(payload[:size]))


def _read_plane(method: int, stored: memoryview, elements: int, what: str) -> NDArray[np.uint8]:
    if method == METHOD_RAW:
        if len(stored) != elements:
            raise DamageError(f"{what} has {len(stored)} bytes where {elements} were expected")
        return np.frombuffer(stored, np.uint8)
    if method != METHOD_ZSTD:
        raise DamageError(f"{what} is stored by the unknown method {method}")
    if elements == 0:
        raise DamageError(f"{what} is a zstd frame, although it has no bytes")
    return np.frombuffer(decompress(stored, elements, what), np.uint8)
