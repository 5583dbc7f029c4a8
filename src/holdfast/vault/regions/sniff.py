"""What an unknown file is made of, told from the entropy of its byte planes.

Numbers of one width repeat a pattern: the byte that holds sign and exponent (or the high byte of an integer) varies
little, the lowest ones are almost random. Split into planes of the right width, such data have a lower mean entropy
than at any other width. Text, machine code and compressed data look alike at every width, and stay opaque.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from holdfast.vault.regions.model import Element, Kind, Region, Source

__all__ = ["SNIFF_BYTES_MIN", "sniff_span"]

SNIFF_BYTES_MIN: Final = 1 << 20  # below, the loss of guessing wrong outweighs what planes could save
WINDOWS: Final = 16
WINDOW_BYTES: Final = 64 << 10
AGREEMENT: Final = 0.75  # of the windows that are not all zeros must show the same numbers

WIDTHS: Final = (2, 4, 8)
# Bits. 64 KiB in 8 planes underestimate an entropy by 0.02 (Miller–Madow: (256 − 1) / (2 · 8192 · ln 2)).
GAIN_MIN: Final = 0.1  # a wider width must lower the mean entropy of the planes by this much
CONTRAST_MIN: Final = 1.5  # between the high plane and the almost random one beside it
HIGH_PLANE_MAX: Final = 5.5
LOW_PLANE_MIN: Final = 7.0
HIGH_BYTES_SHARE: Final = 0.9  # of the high bytes must be ones that such numbers have

_Counts = npt.NDArray[np.int64]


class _Guess(NamedTuple):
    element: Element
    phase: int  # where elements begin, counted from the start of the file, modulo the width


def sniff_span(source: Source, offset: int, length: int) -> list[Region]:
    """One region of whole elements inside [offset, offset + length), or none: then the span is opaque.

    Reads `WINDOWS` windows, at places that depend on `offset` and `length` only.
    """
    if length < SNIFF_BYTES_MIN:
        return []
    guesses: list[_Guess | None] = []
    for index in range(WINDOWS):
        begin = offset + (length - WINDOW_BYTES) * index // (WINDOWS - 1)
        begin -= begin % 8  # so that all windows tell the phase alike
        window = np.frombuffer(source.read_at(begin, WINDOW_BYTES), dtype=np.uint8)
        if len(window) == WINDOW_BYTES and window.any():
            guesses.append(_guess(window))
    found = _agreed(guesses)
    if found is None:
        return []
    width = found.element.width
    start = offset + (found.phase - offset) % width
    return [Region(start, (offset + length - start) // width * width, found.element)]


def _agreed(guesses: list[_Guess | None]) -> _Guess | None:
    if not guesses:
        return None
    best = max(set(guesses), key=guesses.count)
    return best if guesses.count(best) >= AGREEMENT * len(guesses) else None


def _guess(window: npt.NDArray[np.uint8]) -> _Guess | None:
    octets = window.reshape(-1, 8)
    counts = np.stack([np.bincount(octets[:, plane], minlength=256) for plane in range(8)])
    cost = _entropies(counts.sum(axis=0, keepdims=True)).item()
    chosen: tuple[_Counts, npt.NDArray[np.float64]] | None = None
    for width in WIDTHS:
        planes = counts.reshape(8 // width, width, 256).sum(axis=0)
        entropies = _entropies(planes)
        if entropies.mean() < cost - GAIN_MIN:
            cost = entropies.mean().item()
            chosen = planes, entropies
    return None if chosen is None else _judge(*chosen)


def _entropies(planes: _Counts) -> npt.NDArray[np.float64]:
    """Order-0 entropy of each row of byte counts, in bits a byte."""
    total = planes.sum(axis=1, keepdims=True)
    share = planes / total
    logarithms = np.log2(share, where=share > 0, out=np.zeros_like(share))
    entropies: npt.NDArray[np.float64] = -(share * logarithms).sum(axis=1)
    return entropies


def _judge(planes: _Counts, entropies: npt.NDArray[np.float64]) -> _Guess | None:
    """Floats or integers, where some plane is as their high bytes are; else None.

    Elements are little endian: the plane below the high one holds a float's best mantissa bits (in float64 the next
    one, as its exponent has 11 bits), and the plane behind it, the next element's first, an integer's lowest bits.
    Both are close to random.
    """
    width = len(planes)
    mantissa = -2 if width == 8 else -1
    for kind, neighbour, fits in ((Kind.FLOAT, mantissa, _has_exponents), (Kind.INT, 1, _is_small)):
        for high in map(int, entropies.argsort()):
            beside = entropies[(high + neighbour) % width]
            plain = entropies[high] <= HIGH_PLANE_MAX and beside - entropies[high] >= CONTRAST_MIN
            if plain and beside >= LOW_PLANE_MIN and fits(planes[high], width):
                return _Guess(Element(kind, width), (high + 1) % width)
    return None


def _has_exponents(high_bytes: _Counts, width: int) -> bool:
    """Whether these are sign and exponent of floats of usual size, among them at most half of zeros."""
    magnitudes = high_bytes[:128] + high_bytes[128:]
    lowest, highest = _exponents(width)
    others = magnitudes.sum() - magnitudes[0]
    return bool(magnitudes[lowest:highest].sum() >= HIGH_BYTES_SHARE * others and others > magnitudes[0])


def _is_small(high_bytes: _Counts, width: int) -> bool:
    """Whether integers with these high bytes are small for their width, of either sign."""
    return bool(high_bytes[:8].sum() + high_bytes[248:].sum() >= HIGH_BYTES_SHARE * high_bytes.sum())


def _exponents(width: int) -> tuple[int, int]:
    """The high bytes (sign cleared) of floats of usual size: range, end excluded.

    Width 2: bfloat16 and float32 agree (2⁻⁶³ to 2³²), and float16 (2⁻¹¹ to 2⁵) lies inside from 0x10 on. Width 8:
    float64 from 2⁻¹¹² to 2³².
    """
    return {2: (0x10, 0x50), 4: (0x20, 0x50), 8: (0x39, 0x42)}[width]
