"""The code behind stripes: any k of n columns give all of them, and the field is the one that the page names."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from holdfast.errors import UsageError
from holdfast.replication.striping import galois
from holdfast.replication.striping.erasure import check_code, parity_of, reconstruct


def slow_product(left: int, right: int) -> int:
    """Carry-less multiplication modulo 0x11d, bit by bit."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << (bit - 8)
    return product


def columns(k: int, length: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, length, dtype=np.uint8) for _ in range(k)]


def test_products_are_those_of_the_field() -> None:
    for left in range(256):
        for right in (0, 1, 2, 3, 0x1D, 0x80, 0x8E, 0xFF, left):
            assert galois.multiply(left, right) == slow_product(left, right)


def test_inverses() -> None:
    assert all(slow_product(value, galois.inverse(value)) == 1 for value in range(1, 256))
    with pytest.raises(ZeroDivisionError):
        galois.inverse(0)
    with pytest.raises(ZeroDivisionError):
        galois.inverted([[1, 2], [1, 2]])


def test_many_bytes_at_once_are_multiplied_as_one_is() -> None:
    values = np.tile(np.arange(256, dtype=np.uint8), 3)
    for factor in range(256):
        into = np.zeros_like(values)
        words = into.view(np.uint64)
        other = np.zeros_like(words)
        galois.multiply_into([words, other], [factor, 3], values.copy().view(np.uint64), np.empty_like(words))
        assert other.view(np.uint8)[:256].tolist() == [slow_product(3, value) for value in range(256)]
        assert into[:256].tolist() == [slow_product(factor, value) for value in range(256)]


def test_parity_is_the_sum_that_the_page_gives() -> None:
    data = columns(5, 64)
    parity = parity_of(data, range(3))
    for row, column in enumerate(parity):
        for at in range(64):
            expected = 0
            for number in range(5):
                factor = 1
                for _ in range(row * number):
                    factor = slow_product(factor, 2)
                expected ^= slow_product(factor, int(data[number][at]))
            assert column[at] == expected, (row, at)


@pytest.mark.parametrize(("k", "n"), [(2, 3), (2, 4), (2, 5), (3, 4), (4, 6), (3, 6), (8, 11)])
def test_every_loss_that_a_code_promises_to_survive(k: int, n: int) -> None:
    every = dict(enumerate([*(data := columns(k, 128)), *parity_of(data, range(n - k))]))
    for lost in combinations(range(n), n - k):
        left = {number: column for number, column in every.items() if number not in lost}
        found = reconstruct(k, n, left, lost)
        assert list(found) == list(lost)
        assert all((found[number] == every[number]).all() for number in lost), lost


def test_the_widest_code_survives_the_loss_of_any_three_neighbours_and_ends() -> None:
    k, n = 29, 32
    every = dict(enumerate([*(data := columns(k, 64)), *parity_of(data, range(3))]))
    for first in range(n):
        lost = sorted({first, (first + 1) % n, (first + 13) % n})
        left = {number: column for number, column in every.items() if number not in lost}
        assert all((column == every[number]).all() for number, column in reconstruct(k, n, left, lost).items()), lost


def test_columns_longer_than_a_cache_are_coded_alike() -> None:
    data = columns(3, (300 << 10) + 64)
    parity = parity_of(data, range(2))
    at = slice(260 << 10, (260 << 10) + 64)
    assert [p[at].tolist() for p in parity] == [p.tolist() for p in parity_of([d[at].copy() for d in data], range(2))]
    left = {1: data[1], 3: parity[0], 4: parity[1]}
    found = reconstruct(3, 5, left, [0, 2])
    assert (found[0] == data[0]).all() and (found[2] == data[2]).all()


def test_too_few_columns_and_codes_that_there_are_not() -> None:
    with pytest.raises(UsageError):
        reconstruct(3, 4, {0: np.zeros(64, np.uint8)}, [1])
    for k, n in ((1, 2), (2, 2), (2, 6), (30, 33), (0, 1), (3, 2)):
        with pytest.raises(UsageError):
            check_code(k, n)
