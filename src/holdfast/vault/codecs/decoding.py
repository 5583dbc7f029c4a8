"""From a payload back to the chunk's bytes. The payload, its codec and its length come from outside and may lie."""

from __future__ import annotations

import numpy as np

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs.frames import decompress
from holdfast.vault.codecs.model import ELEMENT_WIDTHS, MAX_RAW_LENGTH, Codec
from holdfast.vault.codecs.payload import read_planes
from holdfast.vault.codecs.planes import Base, merge
from holdfast.vault.codecs.scratch import unsigned_dtype
from holdfast.vault.regions.model import Element, Kind

__all__ = ["decode"]


def decode(
    codec: int, element: Element, payload: Buffer, raw_length: int, base: Buffer | None = None
) -> bytes | bytearray:
    """The `raw_length` bytes that were encoded to `payload`, with `base` the plaintext of the delta's base.

    Allocates the result and, for planes, at most as much again. That the bytes are the right ones is for the chunk's
    id to tell. Raises UnsupportedFormatError for an unknown codec, and DamageError for everything else that the
    encoder would not have written.
    """
    if not 0 <= raw_length <= MAX_RAW_LENGTH:
        raise DamageError(f"a chunk claims to be {raw_length} bytes long; {MAX_RAW_LENGTH} is the most")
    stored = memoryview(payload).cast("B")
    if codec == Codec.RAW:
        _check_raw(stored, raw_length)
        return payload if isinstance(payload, bytes) else bytes(stored)
    if codec == Codec.ZSTD:
        return _decode_zstd(stored, raw_length)
    if codec == Codec.PLANES:
        return _decode_planes(stored, element, raw_length, None)
    if codec == Codec.DELTA:
        return _decode_planes(stored, element, raw_length, _base(base, element, raw_length))
    raise UnsupportedFormatError(f"a chunk of {raw_length} bytes is stored with the unknown codec {codec}")


def _check_raw(stored: memoryview, raw_length: int) -> None:
    if len(stored) != raw_length:
        raise DamageError(f"a raw chunk has {len(stored)} bytes where {raw_length} were expected")


def _decode_zstd(stored: memoryview, raw_length: int) -> bytes:
    if raw_length == 0:
        raise DamageError("an empty chunk is stored as a zstd frame, and empty chunks are raw")
    return decompress(stored, raw_length, f"a chunk of {raw_length} bytes")


def _decode_planes(stored: memoryview, element: Element, raw_length: int, base: Base | None) -> bytearray:
    _check_width(element.width)
    planes, tail = read_planes(stored, element.width, raw_length)
    data = bytearray(raw_length)
    count = raw_length // element.width
    if count:
        merge(planes, base, np.frombuffer(data, unsigned_dtype(element.width), count=count))
    data[raw_length - len(tail) :] = tail
    return data


def _base(base: Buffer | None, element: Element, raw_length: int) -> Base:
    _check_width(element.width)
    if base is None:
        raise DamageError(f"a chunk of {raw_length} bytes is a delta, and no base is known for it")
    size = memoryview(base).nbytes
    if size != raw_length:
        raise DamageError(f"a chunk of {raw_length} bytes is a delta to a base of {size} bytes; they must be equal")
    elements = np.frombuffer(base, unsigned_dtype(element.width), count=size // element.width)
    return Base(np.require(elements, requirements="A"), element.kind is Kind.FLOAT)


def _check_width(width: int) -> None:
    if width not in ELEMENT_WIDTHS:
        raise DamageError(f"a chunk claims elements of {width} bytes; widths are 1, 2, 4 and 8 bytes")
