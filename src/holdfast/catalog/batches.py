"""Cutting sequences into pieces of a size (`itertools.batched` of Python 3.12, for 3.11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["batched"]

T = TypeVar("T")


def batched(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Pieces of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
