"""From a payload back to the chunk's bytes. The payload, its codec and its length come from outside and may lie."""

from __future__ import annotations

import numpy as np

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs.frames import check_frame, decompress_into
from holdfast.vault.codecs.model import ELEMENT_WIDTHS, MAX_RAW_LENGTH, Codec
from holdfast.vault.codecs.payload import check_planes, read_planes
from holdfast.vault.codecs.planes import Base, merge
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.scratch import unsigned_dtype

__all__ = ["decode", "decode_into"]


def decode(codec: int, element: Element, payload: Buffer, raw_length: int, base: Buffer | None = None) -> bytearray:
    """The `raw_length` bytes that were encoded to `payload`, with `base` the plaintext of the delta's base.

    That the bytes are the right ones is for the chunk's id to tell. Raises UnsupportedFormatError for an unknown codec,
    and DamageError for everything else that the encoder would not have written.
    """
    if not 0 <= raw_length <= MAX_RAW_LENGTH:
        raise DamageError(f"a chunk claims to be {raw_length} bytes long; {MAX_RAW_LENGTH} is the most")
    _check_before_allocating(codec, element, memoryview(payload).cast("B"), raw_length)
    data = bytearray(raw_length)
    decode_into(codec, element, payload, memoryview(data), base)
    return data


def decode_into(codec: int, element: Element, payload: Buffer, out: memoryview, base: Buffer | None = None) -> None:
    """The same, to memory that is there: `out` has the chunk's length, and overlaps neither payload nor base.

    After an error it holds anything.
    """
    if len(out) > MAX_RAW_LENGTH:
        raise DamageError(f"a chunk claims to be {len(out)} bytes long; {MAX_RAW_LENGTH} is the most")
    stored = memoryview(payload).cast("B")
    if codec == Codec.RAW:
        _check_raw(stored, len(out))
        out[:] = stored
    elif codec == Codec.ZSTD:
        _check_zstd(stored, len(out))
        decompress_into(stored, out, f"a chunk of {len(out)} bytes")
    elif codec == Codec.PLANES:
        _decode_planes(stored, element, out, None)
    elif codec == Codec.DELTA:
        _decode_planes(stored, element, out, _base(base, element, len(out)))
    else:
        raise UnsupportedFormatError(f"a chunk of {len(out)} bytes is stored with the unknown codec {codec}")


def _check_before_allocating(codec: int, element: Element, stored: memoryview, raw_length: int) -> None:
    """A length that comes from outside costs memory only if the payload bears it out."""
    if codec == Codec.RAW:
        _check_raw(stored, raw_length)
    elif codec == Codec.ZSTD:
        _check_zstd(stored, raw_length)
    elif codec in (Codec.PLANES, Codec.DELTA):
        _check_width(element.width)
        check_planes(stored, element.width, raw_length)


def _check_zstd(stored: memoryview, raw_length: int) -> None:
    if not raw_length:
        raise DamageError("an empty chunk is stored as a zstd frame, and empty chunks are raw")
    check_frame(stored, raw_length, f"a chunk of {raw_length} bytes")


def _check_raw(stored: memoryview, raw_length: int) -> None:
    if len(stored) != raw_length:
        raise DamageError(f"a raw chunk has {len(stored)} bytes where {raw_length} were expected")


def _decode_planes(stored: memoryview, element: Element, out: memoryview, base: Base | None) -> None:
    _check_width(element.width)
    planes, tail = read_planes(stored, element.width, len(out))
    count = len(out) // element.width
    if count:
        elements = np.frombuffer(out, unsigned_dtype(element.width), count=count)
        if elements.flags.aligned:
            merge(planes, base, elements)
        else:
            aligned = np.empty_like(elements)
            merge(planes, base, aligned)
            elements[:] = aligned
    out[len(out) - len(tail) :] = tail


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
