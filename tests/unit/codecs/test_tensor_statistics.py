"""Norms and non-finite values, against NumPy's own arithmetic in double precision."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.errors import UsageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.regions.model import DTYPES
from holdfast.vault.tensors.statistics import NO_STATISTICS, Accumulator, TensorStatistics, statistics_of_zeros

FLOATS: dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "f8_e5m2": ml_dtypes.float8_e5m2,
    "f8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
}


def measured(dtype: str, data: Buffer, piece: int = 1 << 22) -> TensorStatistics:
    accumulator = Accumulator()
    view = memoryview(data).cast("B")
    for start in range(0, max(1, len(view)), piece):
        accumulator.add(dtype, view[start : start + piece])
    return accumulator.result()


def norm_of(values: NDArray[Any]) -> float:
    wide = values.astype(np.float64)
    return float(np.linalg.norm(wide[np.isfinite(wide)]))


def gaussian(count: int, scale: float = 1.0) -> NDArray[np.float64]:
    return np.random.default_rng(count).standard_normal(count) * scale


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [1, 17, 4096, 4097, 700_001])
def test_the_norm_is_that_of_the_values(dtype: str, count: int) -> None:
    values = gaussian(count).astype(FLOATS[dtype])
    found = measured(dtype, values.tobytes())
    assert found.norm == pytest.approx(norm_of(values), rel=1e-6, abs=0)
    assert found.nonfinite == 0


@pytest.mark.parametrize(("dtype", "parts"), [("c64", np.float32), ("c128", np.float64)])
def test_complex_numbers_are_pairs(dtype: str, parts: Any) -> None:
    values = gaussian(10_000).astype(parts)
    assert measured(dtype, values.tobytes()).norm == pytest.approx(norm_of(values), rel=1e-6, abs=0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_bit_pattern_is_counted_right(dtype: str) -> None:
    # All values of 8 and 16 bits; of the wider ones a sample, and the first and last of each exponent.
    width = DTYPES[dtype].width
    if width <= 2:
        bits = np.arange(256**width, dtype=f"<u{width}")
    else:
        high = np.arange(1 << 16, dtype=f"<u{width}") << (8 * width - 16)
        bits = np.concatenate([high, high + 1, high - 1])
    values = bits.view(FLOATS[dtype])
    with np.errstate(all="ignore"):
        wide = values.astype(np.float64)
    found = measured(dtype, bits.tobytes())
    assert found.nonfinite == int((~np.isfinite(wide)).sum()) > 0
    assert found.norm is not None
    assert math.isfinite(found.norm)
    if dtype != "f64":
        assert found.norm == pytest.approx(norm_of(wide), rel=1e-6, abs=0)


def test_one_nan_among_many_does_not_spoil_the_norm() -> None:
    values = gaussian(100_000).astype(np.float32)
    values[54_321] = np.nan
    values[7] = -np.inf
    assert measured("f32", values.tobytes()).nonfinite == 2
    assert measured("f32", values.tobytes()).norm == pytest.approx(norm_of(values), rel=1e-6, abs=0)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-20, 1e-13, 1e10, 1e18, 1e30, 5e37])
def test_squares_that_no_float32_holds(scale: float) -> None:
    values = gaussian(50_000, scale).astype(np.float32)
    found = measured("f32", values.tobytes())
    assert found.norm == pytest.approx(norm_of(values), rel=1e-6, abs=0)
    assert found.nonfinite == 0


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-160, 1e-150, 1e150, 1e160, 1e300])
def test_squares_that_no_float64_holds(scale: float) -> None:
    values = np.tile(np.array([3.0, 0.0, -4.0]), 5000) * scale
    expected = 5.0 * scale * math.sqrt(5000) if scale > 1e-320 else 5e-324 * 5 * math.sqrt(5000)
    found = measured("f64", values.tobytes())
    assert found.norm == pytest.approx(expected, rel=1e-6, abs=0)
    assert found.nonfinite == 0


def test_a_norm_beyond_all_numbers_is_the_largest_number() -> None:
    assert measured("f64", np.full(10, 1.7e308).tobytes()).norm == np.finfo(np.float64).max


def test_rows_of_different_sizes_of_values_add_up() -> None:
    values = np.concatenate([np.full(4096, 1e-30), np.full(4096, 2.0), np.zeros(4096), np.full(5, 1e25)])
    values = values.astype(np.float32)
    assert measured("f32", values.tobytes()).norm == pytest.approx(norm_of(values), rel=1e-6, abs=0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("piece", [1, 1000, 16384, 16385, 300_007])
def test_the_cuts_do_not_matter(dtype: str, piece: int) -> None:
    count = 20_000 if piece == 1 else 400_000
    data = gaussian(count).astype(FLOATS[dtype]).tobytes()[: count + 3]
    assert measured(dtype, data, piece) == measured(dtype, data)


@pytest.mark.parametrize("seed", range(5))
def test_the_cuts_do_not_matter_to_the_last_bit(seed: int) -> None:
    # Norms of rows that differ by orders of magnitude round differently in any other order of summation.
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((150, 4096)) * np.exp(4 * rng.standard_normal((150, 1)))
    data = values.tobytes()
    assert len({measured("f64", data, 4096 * 8 * rows).norm for rows in (1, 7, 64, 100, 150)}) == 1


def test_the_result_may_be_asked_for_in_between() -> None:
    data = gaussian(10_000).astype(np.float32).tobytes()
    accumulator = Accumulator()
    accumulator.add("f32", data[:10_001])
    halfway = accumulator.result()
    assert halfway == measured("f32", data[:10_000])
    accumulator.add("f32", data[10_001:])
    assert accumulator.result() == measured("f32", data)
    assert accumulator.result() == accumulator.result()


def test_memory_that_is_not_aligned_gives_the_same() -> None:
    data = gaussian(100_000).astype(np.float32).tobytes()
    assert measured("f32", memoryview(b"?" + data)[1:]) == measured("f32", data)


@pytest.mark.parametrize("dtype", ["i32", "u8", "bool", "f8_e8m0", "f4", "f6_e2m3", "q4_k"])
def test_types_without_a_norm(dtype: str) -> None:
    assert measured(dtype, bytes(range(256))) == TensorStatistics(norm=None, nonfinite=0)


def test_no_bytes_are_no_finding() -> None:
    assert Accumulator().result() == TensorStatistics(norm=None, nonfinite=0)
    assert measured("f32", b"") == TensorStatistics(norm=0.0, nonfinite=0, zeros=0)
    nothing = TensorStatistics(norm=0.0, nonfinite=0, least=0.0, greatest=0.0, zeros=25_000)
    assert measured("f32", bytes(100_000)) == nothing == statistics_of_zeros("f32", 100_000)


@pytest.mark.parametrize("dtype", FLOATS)
def test_range_and_zeros_are_those_of_the_finite_values(dtype: str) -> None:
    values = gaussian(300_000)
    values[::7], values[::11] = 0.0, -0.0
    values[5], values[-1] = 40.0, -50.0
    typed = values.astype(FLOATS[dtype])
    found, wide = measured(dtype, typed.tobytes()), typed.astype(np.float64)
    assert (found.least, found.greatest) == (wide.min(), wide.max())
    assert found.zeros == int((wide == 0).sum()) > 60_000


def test_what_is_not_finite_is_out_of_the_range() -> None:
    values = np.array([np.nan, 3.0, np.inf, -np.inf, 2.0], np.float32)
    assert measured("f32", values.tobytes()).least == 2.0
    assert measured("f32", values.tobytes()).greatest == 3.0
    none = measured("f32", values[[0, 2]].tobytes())
    assert (none.least, none.greatest, none.zeros, none.nonfinite) == (None, None, 0, 2)


def test_a_negative_zero_is_zero_wherever_it_stands() -> None:
    for values in ([-0.0, 0.0], [0.0, -0.0], [-0.0]):
        for dtype in ("f32", "f8_e5m2"):
            found = measured(dtype, np.array(values).astype(FLOATS[dtype]).tobytes())
            assert str(found.least) == str(found.greatest) == "0.0"
            assert found.zeros == len(values)


@pytest.mark.parametrize("dtype", [*FLOATS, "c64", "i32"])
@pytest.mark.parametrize("cut", [0, 16, 32_000, 80_000])
def test_pieces_join_to_the_whole(dtype: str, cut: int) -> None:
    data = gaussian(20_000).astype(FLOATS.get(dtype, np.float32)).tobytes()[:80_000]
    whole, parts = measured(dtype, data), measured(dtype, data[:cut]).joined(measured(dtype, data[cut:]))
    assert parts.norm == pytest.approx(whole.norm, rel=1e-6) if whole.norm is not None else parts.norm is None
    assert (parts.nonfinite, parts.least, parts.greatest, parts.zeros) == (
        whole.nonfinite,
        whole.least,
        whole.greatest,
        whole.zeros,
    )
    assert NO_STATISTICS.joined(whole) == whole.joined(NO_STATISTICS) == whole


@pytest.mark.parametrize("dtype", [*FLOATS, "c64", "c128", "i32", "q4_k"])
def test_a_hole_is_zeros(dtype: str) -> None:
    assert statistics_of_zeros(dtype, 4096) == measured(dtype, bytes(4096))


def test_a_strict_caller_is_not_disturbed() -> None:
    bits = np.array([0x7F800001, 0x7F7FFFFF, 0x00000001], np.uint32)  # a signalling NaN, the largest, the least
    halves = np.array([0x7C01, 0x7BFF, 0x0001], np.uint16)
    with np.errstate(all="raise"):
        assert measured("f32", bits.tobytes()).nonfinite == 1
        assert measured("f16", halves.tobytes()).nonfinite == 1


def test_calls_that_make_no_sense() -> None:
    accumulator = Accumulator()
    accumulator.add("f32", bytes(8))
    with pytest.raises(UsageError, match="f16 after f32"):
        accumulator.add("f16", bytes(8))
    with pytest.raises(UsageError, match="contiguous"):
        accumulator.add("f32", memoryview(bytes(16))[::2])
