"""What a tensor's values say about its health, gathered while its bytes pass by anyway: the norm, NaN or Inf, the range
and the zeros.

A norm that jumps between two snapshots, or one value that is not finite, tells a person which snapshot is the last
good one. Gathering costs little beside reading: rows of 4096 values go through a single-precision dot product, and
only those whose product may be wrong are looked at again in double precision.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.errors import UsageError
from holdfast.stores.protocol import Buffer

__all__ = ["TensorStatistics", "NO_STATISTICS", "Accumulator", "statistics_of_zeros"]

Floats: TypeAlias = NDArray[np.floating[Any]]

# Rows begin at fixed elements of the tensor, however its bytes were cut, and are summed one after the other: the norm
# depends on the bytes alone. A row is too short for the linear algebra below NumPy to start threads of its own.
_ROW = 4096
_BATCH_ROWS = 64  # 1 MiB of float32: what narrower floats are widened to stays in the cache

# Squares below the least normal float32 (1.2e-38) may vanish. In a row whose product is larger than this, all that
# could vanish together changes less than the ninth digit.
_TRUSTED_DOT = 1e-25
_TRUSTED_DOT_FLOAT64 = 1e-270  # the same for float64


class TensorStatistics(msgspec.Struct, frozen=True):
    """`norm` is the L2 norm over the finite values, None for a dtype without one (integers, packed and block formats).

    `nonfinite` counts NaN and ±Inf, `zeros` 0.0 and -0.0; `least` and `greatest` bound the finite values (None where
    there are none). All three are None for a dtype without a norm. The two parts of a complex number count separately.
    """

    norm: float | None
    nonfinite: int
    least: float | None = None
    greatest: float | None = None
    zeros: int | None = None

    def joined(self, other: TensorStatistics) -> TensorStatistics:
        """Those of two pieces of one tensor together."""
        if self.norm is None or other.norm is None:
            return other if self.norm is None else self
        norm = min(math.hypot(self.norm, other.norm), sys.float_info.max)  # the square of a large norm overflows
        return TensorStatistics(
            norm,
            self.nonfinite + other.nonfinite,
            min((one for one in (self.least, other.least) if one is not None), default=None),
            max((one for one in (self.greatest, other.greatest) if one is not None), default=None),
            (self.zeros or 0) + (other.zeros or 0),
        )


NO_STATISTICS = TensorStatistics(norm=None, nonfinite=0)


def statistics_of_zeros(dtype: str, size: int) -> TensorStatistics:
    """Of `size` zero bytes: what a hole holds, which nobody reads."""
    width = _PART_BYTES.get(dtype)
    if width is None or size < width:
        return NO_STATISTICS
    return TensorStatistics(norm=0.0, nonfinite=0, least=0.0, greatest=0.0, zeros=size // width)


class Accumulator:
    """Gathers the statistics of one tensor whose bytes come in order, in pieces of any length.

    Not to be shared between threads. Equal bytes give equal results on one machine, in whatever pieces they come.
    """

    def __init__(self) -> None:
        self._dtype: str | None = None
        self._gatherer: _Gatherer | None = None

    def add(self, dtype: str, data: Buffer) -> None:
        """Add the next bytes. `dtype` is a name of `DTYPES` or a format's own; those without a norm are passed over.

        Raises UsageError when `dtype` is another than before, and for memory that is not contiguous.
        """
        view = memoryview(data)
        if not view.c_contiguous:
            raise UsageError("statistics are taken of contiguous memory only")
        if self._dtype is None:
            self._dtype, self._gatherer = dtype, _new_gatherer(dtype)
        elif dtype != self._dtype:
            raise UsageError(f"one accumulator takes one tensor, and got {dtype} after {self._dtype}")
        if self._gatherer is not None:
            self._gatherer.add(view.cast("B"))

    def result(self) -> TensorStatistics:
        """The statistics of all bytes so far, without a last incomplete element; more may be added."""
        return NO_STATISTICS if self._gatherer is None else self._gatherer.totals()


class _Gatherer(Protocol):
    def add(self, data: memoryview) -> None: ...

    def totals(self) -> TensorStatistics: ...


class _Rows:
    """Floats of two bytes and more. `widen` makes float32 or float64 of their little-endian words."""

    def __init__(self, word: str, widen: Callable[[NDArray[Any]], Floats]) -> None:
        self._word = np.dtype(word)
        self._widen = widen
        self._carry = b""  # less than a row
        self._squares = 0.0
        self._extreme = 0.0  # norm of the values whose squares no float64 holds
        self._nonfinite = 0
        self._least = math.inf
        self._greatest = -math.inf
        self._zeros = 0

    def add(self, data: memoryview) -> None:
        row_bytes = _ROW * self._word.itemsize
        if self._carry:
            missing = row_bytes - len(self._carry)
            self._carry += data[:missing]
            data = data[missing:]
            if len(self._carry) < row_bytes:
                return
            self._add_whole(memoryview(self._carry))
        whole = len(data) - len(data) % row_bytes
        self._add_whole(data[:whole])
        self._carry = bytes(data[whole:])

    def totals(self) -> TensorStatistics:
        last = _Rows(self._word.str, self._widen)
        last.__dict__.update(self.__dict__)
        last._add_whole(memoryview(self._carry)[: len(self._carry) // self._word.itemsize * self._word.itemsize])
        norm = math.hypot(math.sqrt(last._squares), last._extreme)
        bounded = last._least <= last._greatest
        return TensorStatistics(
            norm=min(norm, sys.float_info.max),
            nonfinite=last._nonfinite,
            least=last._least if bounded else None,
            greatest=last._greatest if bounded else None,
            zeros=last._zeros,
        )

    def _add_whole(self, data: memoryview) -> None:
        """Whole rows, or one short row."""
        words = np.frombuffer(data, self._word)
        # Overflow is looked for below, and a signalling NaN is a value like others here.
        with np.errstate(all="ignore"):
            for start in range(0, words.size, _ROW * _BATCH_ROWS):
                values = self._widen(words[start : start + _ROW * _BATCH_ROWS])
                self._add_range(values)
                self._add_rows(values.reshape(-1, min(_ROW, values.size)))

    def _add_range(self, values: Floats) -> None:
        """The values are in the cache, so that two more passes over them cost little beside the first."""
        least, greatest = float(values.min()), float(values.max())
        if not math.isfinite(least) or not math.isfinite(greatest):
            finite = values[np.isfinite(values)]
            if not finite.size:
                return
            least, greatest = float(finite.min()), float(finite.max())
        # Adding 0.0 makes 0.0 of -0.0: which of them comes first must not show.
        self._least, self._greatest = min(self._least, least) + 0.0, max(self._greatest, greatest) + 0.0
        if least <= 0.0 <= greatest:
            self._zeros += int(np.count_nonzero(values == 0))

    def _add_rows(self, rows: Floats) -> None:
        dots = np.vecdot(rows, rows).astype(np.float64)
        doubtful = np.flatnonzero(~((dots >= _TRUSTED_DOT) & (dots < np.inf)))
        if doubtful.size:
            dots[doubtful] = self._exact_dots(rows[doubtful])
        # A running sum: np.sum would pair the rows, and so depend on how many come at once.
        self._squares = float(np.cumsum(np.concatenate(([self._squares], dots)))[-1])

    def _exact_dots(self, rows: Floats) -> NDArray[np.float64]:
        """Sums of the finite values' squares in double precision; 0.0 for a row that went to `_extreme`."""
        values = rows.astype(np.float64)
        finite = np.isfinite(values)
        self._nonfinite += values.size - int(np.count_nonzero(finite))
        values[~finite] = 0.0
        dots: NDArray[np.float64] = np.vecdot(values, values)
        trusted = (dots >= _TRUSTED_DOT_FLOAT64) & (dots < np.inf)
        for index in np.flatnonzero(~trusted & values.any(axis=1)):
            self._extreme = math.hypot(self._extreme, _scaled_norm(values[index]))
            dots[index] = 0.0
        return dots


def _scaled_norm(values: NDArray[np.float64]) -> float:
    """The norm by way of the largest value, so that no square overflows or vanishes."""
    largest = float(np.max(np.abs(values)))
    scaled = values / largest
    return largest * math.sqrt(float(np.vecdot(scaled, scaled)))


def _as_they_are(words: NDArray[Any]) -> Floats:
    return words


def _widen_half(words: NDArray[Any]) -> Floats:
    return words.astype(np.float32)


def _widen_bfloat16(words: NDArray[Any]) -> Floats:
    bits = words.astype("<u4")
    np.left_shift(bits, 16, out=bits)
    return bits.view("<f4")


class _Counts:
    """One-byte floats: how often each of the 256 values occurs; a table knows their squares."""

    def __init__(self, name: str) -> None:
        import ml_dtypes  # not needed before such a tensor comes

        self._values = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float64)
        self._counts = np.zeros(256, np.int64)

    def add(self, data: memoryview) -> None:
        # Counting pairs of bytes is 2.5 times as fast, once there are enough to pay for 65536 counters.
        paired = len(data) // 2 * 2 if len(data) >= 1 << 18 else 0
        if paired:
            pairs = np.bincount(np.frombuffer(data[:paired], np.uint16), minlength=1 << 16).reshape(256, 256)
            self._counts += pairs.sum(axis=0) + pairs.sum(axis=1)
        self._counts += np.bincount(np.frombuffer(data[paired:], np.uint8), minlength=256)

    def totals(self) -> TensorStatistics:
        finite = np.isfinite(self._values)
        squares = float(np.vecdot(self._counts[finite].astype(np.float64), self._values[finite] ** 2))
        found = self._values[finite & (self._counts > 0)]
        return TensorStatistics(
            norm=math.sqrt(squares),
            nonfinite=int(self._counts[~finite].sum()),
            least=float(found.min()) + 0.0 if found.size else None,
            greatest=float(found.max()) + 0.0 if found.size else None,
            zeros=int(self._counts[self._values == 0].sum()),
        )


_GATHERERS: dict[str, Callable[[], _Gatherer]] = {
    "f16": lambda: _Rows("<f2", _widen_half),
    "bf16": lambda: _Rows("<u2", _widen_bfloat16),
    "f32": lambda: _Rows("<f4", _as_they_are),
    "f64": lambda: _Rows("<f8", _as_they_are),
    "c64": lambda: _Rows("<f4", _as_they_are),
    "c128": lambda: _Rows("<f8", _as_they_are),
    "f8_e4m3": lambda: _Counts("float8_e4m3fn"),
    "f8_e4m3fnuz": lambda: _Counts("float8_e4m3fnuz"),
    "f8_e5m2": lambda: _Counts("float8_e5m2"),
    "f8_e5m2fnuz": lambda: _Counts("float8_e5m2fnuz"),
}

_PART_BYTES = {"f16": 2, "bf16": 2, "f32": 4, "f64": 8, "c64": 4, "c128": 8}
_PART_BYTES |= {name: 1 for name in _GATHERERS if name.startswith("f8")}


def _new_gatherer(dtype: str) -> _Gatherer | None:
    make = _GATHERERS.get(dtype)
    return None if make is None else make()
