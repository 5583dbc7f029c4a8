"""Bars of one line that show parts of a whole."""

from __future__ import annotations

from typing import NamedTuple, TextIO

__all__ = ["Strokes", "BLOCKS", "ASCII", "strokes_for", "bar"]


class Strokes(NamedTuple):
    """What the first part of a bar is drawn with, and the second."""

    first: str
    second: str


BLOCKS = Strokes("█", "░")
ASCII = Strokes("#", "-")


def strokes_for(stream: TextIO) -> Strokes:
    """Blocks where the stream's encoding has them."""
    try:
        "".join(BLOCKS).encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def bar(first: int, second: int, whole: int, width: int, strokes: Strokes = BLOCKS) -> str:
    """Two parts (not negative) of a whole, one after the other; the whole would be `width` characters.

    Where there is anything at all, there is a character at least.
    """
    if not first + second:
        return ""
    length = max(1, round(width * (first + second) / whole))
    drawn = round(length * first / (first + second))
    return strokes.first * drawn + strokes.second * (length - drawn)
