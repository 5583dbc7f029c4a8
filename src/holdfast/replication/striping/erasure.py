"""Erasure coding: k columns of data, n − k of parity; any k of the n give all of them back.

Parity row r (0, 1, 2) is Σ (2^r)^i · D_i over the data columns i: row 0 is their sum, row 1 the Q of RAID-6, row 2 the
third of RAID-Z3. The data columns are the data themselves (a systematic code). Any rows and as many columns make a
matrix that has an inverse, because 2 and 4 both have order 255: so any n − k of up to 255 columns may be lost (H. P.
Anvin, "The mathematics of RAID-6"; OpenZFS, `vdev_raidz.c`). With Horner's rule, coding only doubles and adds, which
costs less than tables, or than a library in C (docs/dependencies.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.errors import UsageError
from holdfast.replication.striping.galois import Words, add, double, inverted, multiply_into, power

__all__ = ["ALIGNMENT", "PARITY_MAX", "SHARDS_MAX", "Column", "check_code", "parity_of", "reconstruct"]

Column = npt.NDArray[np.uint8]  # one dimension; all columns of a stripe are of one length, a multiple of ALIGNMENT

ALIGNMENT = 64  # bytes
PARITY_MAX = 3
SHARDS_MAX = 32
_BLOCK_WORDS = 16 << 10  # 128 KiB at a time: data, parity and scratch together stay in a core's second-level cache


def check_code(k: int, n: int) -> None:
    """Raise UsageError unless there is a k-of-n code here."""
    if not (2 <= k < n <= SHARDS_MAX and n - k <= PARITY_MAX):
        raise UsageError(
            f"there are no stripes of {k}+{n - k}",
            hint=f"choose 2 to {SHARDS_MAX - 1} sites for data and 1 to {PARITY_MAX} more; for whole copies, replicate",
        )


def parity_of(data: Sequence[Column], rows: Sequence[int]) -> list[Column]:
    """The parity rows with these numbers, from all k data columns."""
    return _syndromes(dict(enumerate(data)), len(data), rows, len(data[0]))


def reconstruct(k: int, n: int, columns: Mapping[int, Column], wanted: Sequence[int]) -> dict[int, Column]:
    """The columns `wanted` (0 … k−1: data, k … n−1: parity), from at least k others. Raises UsageError below that."""
    if len(columns) < k:
        raise UsageError(f"{len(columns)} of {k} columns are too few")
    data = {number: column for number, column in columns.items() if number < k}
    lost = [number for number in range(k) if number not in data]
    if lost:
        data |= _solve(k, columns, data, lost)
    rows = [number - k for number in wanted if number >= k]
    parity = parity_of([data[number] for number in range(k)], rows) if rows else []
    found = dict(zip((number for number in wanted if number >= k), parity, strict=True))
    return {number: data[number] if number < k else found[number] for number in wanted}


def _solve(k: int, columns: Mapping[int, Column], data: Mapping[int, Column], lost: list[int]) -> dict[int, Column]:
    """The lost data columns: parity less what the others contribute, times the inverse of what the lost ones do."""
    rows = sorted(number - k for number in columns if number >= k)[: len(lost)]
    length = len(next(iter(columns.values())))
    syndromes = _syndromes(data, k, rows, length)
    for row, syndrome in zip(rows, syndromes, strict=True):
        np.bitwise_xor(syndrome, columns[k + row], out=syndrome)
    if rows == [0]:
        return {lost[0]: syndromes[0]}  # one column, and the sum of all: nothing to multiply
    matrix = inverted([[power(row * column) for column in lost] for row in rows])
    solved = [np.zeros(length, np.uint8) for _ in lost]
    for start, stop in _blocks(length):
        scratch = np.empty(stop - start, np.uint64)
        into = [_words(column)[start:stop] for column in solved]
        for number, syndrome in enumerate(syndromes):
            multiply_into(into, [factors[number] for factors in matrix], _words(syndrome)[start:stop], scratch)
    return dict(zip(lost, solved, strict=True))


def _syndromes(data: Mapping[int, Column], k: int, rows: Sequence[int], length: int) -> list[Column]:
    """Σ (2^row)^i · D_i for each row, over the data columns that are given."""
    results = [np.zeros(length, np.uint8) for _ in rows]
    words = {number: _words(column) for number, column in data.items()}
    for start, stop in _blocks(length):
        scratch = np.empty(stop - start, np.uint64)
        for row, result in zip(rows, results, strict=True):
            into = _words(result)[start:stop]
            for number in range(k - 1, -1, -1):
                for _ in range(row if number < k - 1 else 0):
                    double(into, scratch)
                if number in words:
                    add(into, words[number][start:stop])
    return results


def _blocks(length: int) -> list[tuple[int, int]]:
    """Words from … to, a cache's worth each."""
    end = length // 8
    return [(start, min(start + _BLOCK_WORDS, end)) for start in range(0, end, _BLOCK_WORDS)]


def _words(column: Column) -> Words:
    return column.view(np.uint64)
