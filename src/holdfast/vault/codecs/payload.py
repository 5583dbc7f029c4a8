"""The payload of PLANES and DELTA, byte for byte.

::

    per plane, lowest byte first:  method u8 (0 raw, 1 zstd frame, 2 sparse) | stored length u32 LE
    per plane, lowest byte first:  the stored bytes
    tail:                          the last raw_length % width bytes of the chunk, as they are
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import DamageError
from holdfast.vault.codecs.frames import Effort, check_frame, compress_into, decompress_into, frame_bound
from holdfast.vault.codecs.sparse import check_sparse, press_sparse, sparse_bound, spread_sparse
from holdfast.vault.scratch import bytes_scratch

__all__ = ["METHOD_RAW", "METHOD_ZSTD", "METHOD_SPARSE", "PlanesPayload", "check_planes", "read_planes"]

METHOD_RAW = 0
METHOD_ZSTD = 1
METHOD_SPARSE = 2

_ENTRY = struct.Struct("<BI")

Plane = NDArray[np.uint8]


class PlanesPayload:
    """A payload under way in this thread's scratch memory. Planes are added in order, the lowest first."""

    def __init__(self, width: int, elements: int) -> None:
        self._head = width * _ENTRY.size
        self._elements = elements
        room = width * max(frame_bound(elements), sparse_bound(elements)) + width
        self._out = bytes_scratch("payload", self._head + room)
        self._end = self._head
        self._entries: list[tuple[int, int]] = []

    def raw_place(self, number: int) -> Plane:
        """Where plane `number` lies if it and all planes before it are stored raw: it may be made there."""
        start = self._head + number * self._elements
        return self._out[start : start + self._elements]

    def add_raw(self, plane: Plane) -> None:
        """Store the plane as it is."""
        place = self._out[self._end : self._end + self._elements]
        if place.ctypes.data != plane.ctypes.data:
            place[:] = plane
        self._add(METHOD_RAW, self._elements)

    def add_pressed(self, plane: Plane, effort: Effort, most: float) -> None:
        """Store the plane with that effort, or as it is where it would then have more than `most` bytes."""
        out = self._out[self._end :].data
        if effort is Effort.SPARSE:
            length = press_sparse(plane, out)
            if length is not None and length <= most:
                self._add(METHOD_SPARSE, length)
                return
            effort = Effort.SYMBOLS  # the sample had fewer bytes in it than the whole
        length = compress_into(plane.data, effort, out)
        if length <= most:
            self._add(METHOD_ZSTD, length)
        else:
            self.add_raw(plane)

    def _add(self, method: int, length: int) -> None:
        self._entries.append((method, length))
        self._end += length

    def finish(self, tail: memoryview) -> memoryview:
        """The payload, valid until this thread makes another one."""
        for number, entry in enumerate(self._entries):
            _ENTRY.pack_into(self._out.data, number * _ENTRY.size, *entry)
        end = self._end + len(tail)
        self._out[self._end : end] = tail
        return self._out[:end].data


def check_planes(payload: memoryview, width: int, raw_length: int) -> None:
    """Whether lengths and headers fit a chunk of that length: then memory may be taken for it. Raises DamageError."""
    for number, (method, stored) in enumerate(_cut(payload, width, raw_length)):
        if method == METHOD_ZSTD:
            check_frame(stored, raw_length // width, _what(number, raw_length))
        elif method == METHOD_SPARSE:
            check_sparse(stored, raw_length // width, _what(number, raw_length))


def read_planes(payload: memoryview, width: int, raw_length: int) -> tuple[list[Plane], memoryview]:
    """The `width` planes of `raw_length // width` bytes each, and the tail; valid until this thread reads others.

    All lengths are checked before any plane is decompressed. Raises DamageError for everything that is not exactly a
    payload of this shape.
    """
    cut = _cut(payload, width, raw_length)
    elements, tail_length = divmod(raw_length, width)
    planes = [_read_plane(*stored, elements, number, raw_length) for number, stored in enumerate(cut)]
    return planes, payload[len(payload) - tail_length :]


def _cut(payload: memoryview, width: int, raw_length: int) -> list[tuple[int, memoryview]]:
    """Method and stored bytes of each plane."""
    entries = _read_entries(payload, width)
    position = width * _ENTRY.size
    if position + sum(length for _, length in entries) + raw_length % width != len(payload):
        raise DamageError(f"the planes of a chunk of {raw_length} bytes do not add up to its payload")
    cut = []
    for method, length in entries:
        cut.append((method, payload[position : position + length]))
        position += length
    return cut


def _what(number: int, raw_length: int) -> str:
    return f"plane {number} of a chunk of {raw_length} bytes"


def _read_entries(payload: memoryview, width: int) -> list[tuple[int, int]]:
    size = width * _ENTRY.size
    if len(payload) < size:
        raise DamageError(f"a payload of {len(payload)} bytes is too short for the entries of {width} planes")
    return list(_ENTRY.iter_unpack(payload[:size]))


def _read_plane(method: int, stored: memoryview, elements: int, number: int, raw_length: int) -> Plane:
    what = _what(number, raw_length)
    if method == METHOD_RAW:
        if len(stored) != elements:
            raise DamageError(f"{what} has {len(stored)} bytes where {elements} were expected")
        return np.frombuffer(stored, np.uint8)
    if method not in (METHOD_ZSTD, METHOD_SPARSE):
        raise DamageError(f"{what} is stored by the unknown method {method}")
    if elements == 0:
        raise DamageError(f"{what} is a zstd frame, although it has no bytes")
    if method == METHOD_SPARSE:
        check_sparse(stored, elements, what)
        plane = bytes_scratch(f"plane {number}", elements)
        spread_sparse(stored, plane, what)
        return plane
    check_frame(stored, elements, what)
    plane = bytes_scratch(f"plane {number}", elements)
    decompress_into(stored, plane.data, what)
    return plane
