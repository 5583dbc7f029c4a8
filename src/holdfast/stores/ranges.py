"""Ranges (start, length) of an object: what may be asked, what requests fetch it, what is said if it ends early."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import DamageError, UsageError

__all__ = ["check_ranges", "cut", "ended_early", "merged"]


def check_ranges(key: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Raise UsageError if a start or a length is negative."""
    for start, length in ranges:
        if start < 0 or length < 0:
            raise UsageError(f"({start}, {length}) is not a range of {key}", object_name=key)


def ended_early(key: str, size: int | None, start: int, length: int) -> DamageError:
    """The error for an object that ends before a range does; `size` in bytes, when known."""
    found = "ends earlier" if size is None else f"has {size} bytes"
    return DamageError(f"{key} was to be read up to byte {start + length} and {found}", object_name=key)


def cut(key: str, content: bytes, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The ranges out of the whole object's bytes. Raises UsageError, DamageError."""
    check_ranges(key, ranges)
    pieces = []
    for start, length in ranges:
        if start + length > len(content):
            raise ended_early(key, len(content), start, length)
        pieces.append(content[start : start + length])
    return pieces


def merged(ranges: Sequence[tuple[int, int]], gap_max: int) -> list[tuple[int, int]]:
    """The fewest (start, length), ascending, that cover `ranges` when gaps up to `gap_max` bytes are read along."""
    spans: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        first, so_far = spans[-1] if spans else (0, -1)
        if so_far >= 0 and start <= first + so_far + gap_max:
            spans[-1] = first, max(so_far, start + length - first)
        else:
            spans.append((start, length))
    return spans
