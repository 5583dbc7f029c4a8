"""From a chunk's bytes to the cheapest codec and its payload."""

from __future__ import annotations

import math

import numpy as np

from holdfast.errors import UsageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.codecs.frames import Effort, compress_into, frame_bound
from holdfast.vault.codecs.model import ELEMENT_WIDTHS, MAX_RAW_LENGTH, Codec, Encoded
from holdfast.vault.codecs.payload import PlanesPayload
from holdfast.vault.codecs.planes import Base, split
from holdfast.vault.codecs.sampling import WORTH_STORING, Choice, PlanesPlan, choose, is_compressible
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.scratch import Unsigned, bytes_scratch, unsigned_dtype

__all__ = ["encode", "encode_in_place"]


def encode(data: Buffer, element: Element, base: Buffer | None = None, *, delta_most: float = math.inf) -> Encoded:
    """Make a chunk of at most `MAX_RAW_LENGTH` bytes small.

    `base` is the plaintext of an older chunk that may serve as base of a delta; it is taken if it has the same length,
    the region has elements, and a sample gains at least 3 % over planes and promises at most `delta_most` bytes. Where
    nothing gains 1 %, the result is `RAW` and its payload `data` itself. The same input gives the same payload. Raises
    UsageError for what is no chunk.
    """
    codec, payload = encode_in_place(data, element, base, delta_most=delta_most)
    return Encoded(codec, payload if codec is Codec.RAW else bytes(payload))


def encode_in_place(
    data: Buffer, element: Element, base: Buffer | None = None, *, delta_most: float = math.inf
) -> Encoded:
    """The same without a fresh byte of memory: the payload is a view that the thread's next call overwrites."""
    raw = _chunk_view(data, element)
    if element.kind in (Kind.INT, Kind.FLOAT) and raw.nbytes >= element.width:
        encoded = _encode_elements(raw, element, base, delta_most)
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
    return _encode_zstd(raw) if is_compressible(raw) else None


def _encode_zstd(raw: memoryview) -> Encoded:
    out = bytes_scratch("payload", frame_bound(len(raw))).data
    return Encoded(Codec.ZSTD, out[: compress_into(raw, Effort.THOROUGH, out)])


def _encode_elements(raw: memoryview, element: Element, base: Buffer | None, delta_most: float) -> Encoded | None:
    elements = _elements(raw, element.width)
    against = None
    if base is not None and (view := _chunk_view(base, element)).nbytes == raw.nbytes:
        against = Base(_elements(view, element.width), element.kind is Kind.FLOAT)
    choice = choose(elements, against, delta_most / raw.nbytes)
    if choice.planes is None:
        return _encode_zstd(raw)
    if all(effort is None for effort in choice.planes.efforts):
        return None
    return _encode_planes(raw, elements, against, choice, choice.planes)


def _elements(data: memoryview, width: int) -> Unsigned:
    """The whole elements in `data`, aligned: NumPy's loops want that, and a slice of a file need not be."""
    elements = np.frombuffer(data, unsigned_dtype(width), count=len(data) // width)
    return np.require(elements, requirements="A")


def _encode_planes(raw: memoryview, elements: Unsigned, base: Base | None, choice: Choice, plan: PlanesPlan) -> Encoded:
    count, width = elements.size, elements.itemsize
    payload = PlanesPayload(width, count)
    # Planes that stay raw before the first pressed one are made where the payload has them; the others beside it.
    leading = next(number for number, effort in enumerate(plan.efforts) if effort is not None)
    planes = [
        payload.raw_place(number) if number < leading else bytes_scratch(f"plane {number}", count)
        for number in range(width)
    ]
    if width == 1 and not choice.delta:
        planes = [elements.view(np.uint8)]  # single bytes are their own plane
    else:
        split(elements, base if choice.delta else None, planes)
    for plane, effort in zip(planes, plan.efforts, strict=True):
        if effort is None:
            payload.add_raw(plane)
        else:
            payload.add_pressed(plane, effort, most=WORTH_STORING * count)
    return Encoded(Codec.DELTA if choice.delta else Codec.PLANES, payload.finish(raw[elements.nbytes :]))
