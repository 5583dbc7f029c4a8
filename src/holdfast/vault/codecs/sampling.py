"""Judging a chunk by a sample: which codec is worth it, and how hard to press each plane.

Samples are coded, not guessed at: zstd turns 32 KiB of noise down in 10 µs, a quarter of what counting its bytes takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from holdfast.vault.codecs.frames import Effort, compress
from holdfast.vault.codecs.planes import Base, split
from holdfast.vault.codecs.sparse import Plane, press_sparse, sparse_bound
from holdfast.vault.scratch import Unsigned, bytes_scratch

__all__ = ["WORTH_STORING", "PlanesPlan", "Choice", "choose", "is_compressible"]

WORTH_STORING = 0.99  # a coded form larger than this share of the original is not worth decoding

_DELTA_WORTH = 0.97  # a delta makes every restore read its base too, so it must earn that
_EFFORT_WORTH = 0.97  # zstd with matches codes exponents at a third of the speed
_INTERLEAVED_WORTH = 0.95  # only a parser's wrong hint makes elements smaller in their own order than as planes

_SLICES = 16  # spread evenly, as the tensors in one chunk may differ
_SLICE_ELEMENTS = 1024
_SLICE_BYTES = 4096  # of opaque data
_INTERLEAVED_BYTES = 32 << 10  # coding elements in their own order is slow, and rarely wins


class PlanesPlan(NamedTuple):
    """How to store each plane (None: raw), and the share of the original that the sample took that way."""

    efforts: tuple[Effort | None, ...]
    ratio: float


class Choice(NamedTuple):
    """What to do with a chunk of elements. `planes` is None where plain zstd does better."""

    planes: PlanesPlan | None
    delta: bool
    ratio: float


def choose(elements: Unsigned, base: Base | None, delta_most: float) -> Choice:
    """The cheapest way to store the elements (one at least), by coding a sample of them in each way.

    `delta_most`: the share of the original above which a delta is not wanted although it is smaller.
    """
    slices = _spread(elements.size, _SLICE_ELEMENTS)
    sample = np.concatenate([elements[piece] for piece in slices])
    planes = _plan(sample, None)
    choice = Choice(planes, delta=False, ratio=planes.ratio)
    if base is not None:
        base_sample = np.concatenate([base.elements[piece] for piece in slices])
        planes = _plan(sample, Base(base_sample, base.floats))
        if planes.ratio < _DELTA_WORTH * choice.ratio and planes.ratio <= delta_most:
            choice = Choice(planes, delta=True, ratio=planes.ratio)
    interleaved = _interleaved_ratio(elements)
    if interleaved < _INTERLEAVED_WORTH * choice.ratio:
        return Choice(None, delta=False, ratio=interleaved)
    return choice


def is_compressible(data: memoryview) -> bool:
    """Whether a sample of opaque bytes gets smaller. Repetitions at more than 4 KiB's distance go unseen."""
    sample = b"".join([data[piece] for piece in _spread(len(data), _SLICE_BYTES)])
    return len(compress(sample, Effort.FAST)) <= WORTH_STORING * len(sample)


def _spread(size: int, slice_size: int) -> Sequence[slice]:
    """Slices from the first to the last of `size` things; all of them, if they are not more than a sample has."""
    if size <= _SLICES * slice_size:
        return [slice(0, size)]
    last = size - slice_size
    starts = [last * number // (_SLICES - 1) for number in range(_SLICES)]
    return [slice(start, start + slice_size) for start in starts]


def _plan(sample: Unsigned, base: Base | None) -> PlanesPlan:
    planes = list(np.empty((sample.itemsize, sample.size), np.uint8))
    split(sample, base, planes)
    judged = [_judge(plane) for plane in planes]
    return PlanesPlan(tuple(effort for effort, _ in judged), sum(size for _, size in judged) / sample.nbytes)


def _judge(sample: Plane) -> tuple[Effort | None, int]:
    """The cheapest effort that comes near the smallest size, and that size in bytes."""
    sparse = press_sparse(sample, bytes_scratch("sample", sparse_bound(sample.size)).data)
    effort, size = Effort.SYMBOLS, len(compress(sample.data, Effort.SYMBOLS))
    if sparse is not None and sparse <= size:
        return Effort.SPARSE, sparse
    for harder in (Effort.FAST, Effort.THOROUGH):
        pressed = len(compress(sample.data, harder))
        if pressed >= _EFFORT_WORTH * size:
            break
        effort, size = harder, pressed
    return (effort, size) if size <= WORTH_STORING * sample.size else (None, sample.size)


def _interleaved_ratio(elements: Unsigned) -> float:
    """What zstd makes of the elements in their own order; 1.0 for single bytes, which have no other order."""
    if elements.itemsize == 1:
        return 1.0
    slice_size = _INTERLEAVED_BYTES // _SLICES // elements.itemsize
    sample = np.concatenate([elements[piece] for piece in _spread(elements.size, slice_size)])
    return len(compress(sample.data.cast("B"), Effort.FAST)) / sample.nbytes
