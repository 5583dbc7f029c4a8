"""Arithmetic in GF(2^8), on many bytes at once.

The field is that of RAID-6: polynomials over GF(2) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), generator 2. Formulas:
H. Peter Anvin, "The mathematics of RAID-6" (2004–2011). Arrays hold eight elements in each 64-bit word: doubling is two
shifts, two masks and a product, so that a block which fits into a processor's cache is multiplied at its speed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Words", "add", "double", "inverse", "inverted", "multiply", "multiply_into", "power"]

Words = npt.NDArray[np.uint64]

_POLYNOMIAL = 0x11D
_LOW_BITS = np.uint64(0x0101010101010101)
_HIGH_SEVEN = np.uint64(0xFEFEFEFEFEFEFEFE)
_REDUCTION = np.uint64(_POLYNOMIAL & 0xFF)


def _tables() -> tuple[list[int], list[int]]:
    powers, logarithms = [0] * 255, [0] * 256
    value = 1
    for exponent in range(255):
        powers[exponent] = value
        logarithms[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return powers, logarithms


_POWERS, _LOGARITHMS = _tables()


def power(exponent: int) -> int:
    """2^exponent."""
    return _POWERS[exponent % 255]


def multiply(left: int, right: int) -> int:
    """The product of two elements."""
    return _POWERS[(_LOGARITHMS[left] + _LOGARITHMS[right]) % 255] if left and right else 0


def inverse(value: int) -> int:
    """The element whose product with `value` is 1. Raises ZeroDivisionError for 0."""
    if value == 0:
        raise ZeroDivisionError("0 has no inverse in GF(2^8)")
    return _POWERS[-_LOGARITHMS[value] % 255]


def inverted(matrix: list[list[int]]) -> list[list[int]]:
    """The inverse of a square matrix, by elimination. Raises ZeroDivisionError when there is none."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if rows[row][column]), None)
        if pivot is None:
            raise ZeroDivisionError("the matrix has no inverse")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        factor = inverse(rows[column][column])
        rows[column] = [multiply(factor, value) for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                pairs = zip(rows[row], rows[column], strict=True)
                rows[row] = [value ^ multiply(factor, other) for value, other in pairs]
    return [row[size:] for row in rows]


def add(into: Words, other: Words) -> None:
    """`into` += `other`: the sum is the exclusive or, and so is the difference."""
    np.bitwise_xor(into, other, out=into)


def double(values: Words, scratch: Words) -> None:
    """Every element of `values` times 2, in place; `scratch` is as long, and is overwritten."""
    np.right_shift(values, np.uint64(7), out=scratch)
    np.bitwise_and(scratch, _LOW_BITS, out=scratch)  # 1 in each byte whose highest bit goes over the edge
    np.multiply(scratch, _REDUCTION, out=scratch)
    np.left_shift(values, np.uint64(1), out=values)
    np.bitwise_and(values, _HIGH_SEVEN, out=values)
    np.bitwise_xor(values, scratch, out=values)


def multiply_into(into: Sequence[Words], factors: Sequence[int], values: Words, scratch: Words) -> None:
    """Each of `into` += its factor · `values`, which is overwritten, as is `scratch`; all are of one length.

    The doublings, which cost most, are shared by all factors.
    """
    left = list(factors)
    while any(left):
        for number, factor in enumerate(left):
            if factor & 1:
                add(into[number], values)
            left[number] = factor >> 1
        if any(left):
            double(values, scratch)
