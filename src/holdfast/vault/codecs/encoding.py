"""From a chunk's bytes to the cheapest codec and its payload."""

from __future__ import annotations

import numpy as np

from holdfast.errors import UsageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs.frames import Effort, compress
from holdfast.vault.codecs.model import ELEMENT_WIDTHS, MAX_RAW_LENGTH, Codec, Encoded
from holdfast.vault.codecs.payload import METHOD_RAW, METHOD_ZSTD, StoredPlane, join_planes
from holdfast.vault.codecs.planes import Base, split
from holdfast.vault.codecs.sampling import WORTH_STORING, Choice, PlanesPlan, choose, is_compressible
from holdfast.vault.codecs.scratch import Planes, Unsigned, planes_scratch, unsigned_dtype
from holdfast.vault.regions.model import Element, Kind

__all__ = ["encode"]


def encode(data: Buffer, element: Element, base: Buffer | None = None) -> Encoded:
    """Make a chunk of at most `MAX_RAW_LENGTH` bytes small.

    `base` is the plaintext of an older chunk that may serve as base of a delta; it is taken if it has the same length,
    the region has elements, and a sample gains at least 3 % over planes. Where nothing gains 1 %, the result is `RAW`
    and its payload `data` itself. The same input gives the same payload. Raises UsageError for what is no chunk.
    """
    raw = _chunk_view(data, element)
    if element.kind in (Kind.INT, Kind.FLOAT) and raw.nbytes >= element.width:
        encoded = _encode_elements(raw, element, base)
    else:
        encoded = _encode_opaque(raw)
    if encoded is None or len(encoded.payload) > WORTH_STORING * raw.nbytes:
        return Encoded(Codec.RAW, data if isinstance(data, bytes) else raw)
    return encoded


def _chunk_view(data: Buffer, element: Element) -> memoryview:
    if element.width not in ELEMENT_WIDTHS:
        raise UsageError(f"elements of {element.width} bytes cannot be encoded", hint="widths are 1, 2, 4 and 8 bytes")
    view = memoryview(data)
    if not view.c_contiguous:
        raise UsageError("a chunk must be contiguous memory")
    if view.nbytes > MAX_RAW_LENGTH:
        raise UsageError(f"a chunk of {view.nbytes} bytes is too long; {MAX_RAW_LENGTH} is the most")
    return view.cast("B")


def _encode_opaque(raw: memoryview) -> Encoded | None:
    """zstd, or None where a sample does not get smaller."""
    if not is_compressible(raw):
        return None
    return Encoded(Codec.ZSTD, compress(raw, Effort.THOROUGH))


def _encode_elements(raw: memoryview, element: Element, base: Buffer | None) -> Encoded | None:
    elements = _elements(raw, element.width)
    against = None
    if base is not None and (view := _chunk_view(base, element)).nbytes == raw.nbytes:
        against = Base(_elements(view, element.width), element.kind is Kind.FLOAT)
    choice = choose(elements, against)
    if choice.planes is None:
        return Encoded(Codec.ZSTD, compress(raw, Effort.THOROUGH))
    if all(effort is None for effort in choice.planes.efforts):
        return None
    return _encode_planes(raw, elements, against, choice, choice.planes)


def _elements(data: memoryview, width: int) -> Unsigned:
    """The whole elements in `data`, aligned: NumPy's loops want that, and a slice of a file need not be."""
    elements = np.frombuffer(data, unsigned_dtype(width), count=len(data) // width)
    return np.require(elements, requirements="A")


def _encode_planes(raw: memoryview, elements: Unsigned, base: Base | None, choice: Choice, plan: PlanesPlan) -> Encoded:
    codec = Codec.DELTA if choice.delta else Codec.PLANES
    planes: Planes
    if elements.itemsize == 1 and not choice.delta:
        planes = elements.view(np.uint8).reshape(1, elements.size)  # single bytes are their own plane
    else:
        planes = planes_scratch(elements.itemsize, elements.size)
        split(elements, base if choice.delta else None, planes)
    stored = [_store_plane(plane.data, effort) for plane, effort in zip(planes, plan.efforts, strict=True)]
    return Encoded(codec, join_planes(stored, raw[elements.nbytes :]))


def _store_plane(plane: memoryview, effort: Effort | None) -> StoredPlane:
    if effort is not None:
        frame = compress(plane, effort)
        if len(frame) <= WORTH_STORING * len(plane):
            return StoredPlane(METHOD_ZSTD, frame)
    return StoredPlane(METHOD_RAW, plane)
