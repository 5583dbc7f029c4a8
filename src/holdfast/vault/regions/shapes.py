"""Arithmetic on shapes that outside bytes dictate: every number is checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.vault.regions.model import DTYPES
from holdfast.vault.regions.proposal import Malformed

__all__ = ["DIMENSIONS_MAX", "TENSORS_MAX", "element_count", "bytes_per_element", "is_c_order", "is_fortran_order"]

DIMENSIONS_MAX: Final = 64  # NumPy's limit, and PyTorch's; GGUF has 4
TENSORS_MAX: Final = 500_000  # in one file; the largest published checkpoints hold about 100,000 over all their files


def element_count(shape: Sequence[int], at_most: int) -> int:
    """Product of `shape` (1 for a scalar). Raises Malformed for a negative size, or a product above `at_most`."""
    if len(shape) > DIMENSIONS_MAX:
        raise Malformed(f"a tensor has {len(shape)} dimensions")
    if any(size < 0 for size in shape):
        raise Malformed("a tensor has a negative size")
    if 0 in shape:
        return 0
    count = 1
    for size in shape:
        count *= size
        if count > at_most:
            raise Malformed("a tensor is larger than its file")
    return count


def bytes_per_element(dtype: str) -> int:
    """Bytes that one element of a dtype of `DTYPES` takes; a complex number has two floats."""
    return DTYPES[dtype].width * (2 if dtype in ("c64", "c128") else 1)


def is_c_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements lie densely, the last index fastest. `strides` count elements; those of size 1 do not matter."""
    return _is_dense(reversed(shape), reversed(strides))


def is_fortran_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements lie densely, the first index fastest."""
    return _is_dense(shape, strides)


def _is_dense(shape: Iterable[int], strides: Iterable[int]) -> bool:
    expected = 1
    for size, stride in zip(shape, strides, strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
