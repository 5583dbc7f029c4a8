"""What an index picks of an array, as windows of its bytes: rows, columns, steps, without what lies between."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from holdfast.vault.files.windows import Bytes, Window

__all__ = ["Selection", "select"]

Array = np.ndarray[Any, np.dtype[Any]]
_WINDOWS_MAX = 1024  # more of them cost more to plan than what lies between costs to read


class _Axis(NamedTuple):
    """`places` places of an axis from `first` on, `step` ≥ 1 apart; `pick` is what the index does to those."""

    first: int
    places: int
    step: int
    pick: int | slice


class Selection(NamedTuple):
    """`windows` of an array's bytes, one behind the other, are a block of `block` in C order (of the axes in reverse if
    `fortran`). What the index picks is `pick` of that block.

    `shape` is that of the picked array, None where only NumPy can tell. `direct`: the picked array is the block itself.
    """

    windows: list[Window]
    block: tuple[int, ...]
    fortran: bool
    pick: Any
    shape: tuple[int, ...] | None
    direct: bool

    @property
    def size(self) -> int:
        """Bytes of the block."""
        return sum(window.size for window in self.windows)

    def of(self, data: Bytes, dtype: np.dtype[Any]) -> Any:
        """What is picked, given the bytes of the block: a view of them where NumPy gives a view."""
        block: Array = data.view(dtype).reshape(self.block)
        return (block.T if self.fortran else block)[self.pick]


def select(shape: tuple[int, ...], itemsize: int, fortran: bool, key: Any) -> Selection:
    """Raises IndexError and TypeError as NumPy does.

    Integers, slices and `...` become windows. All else (arrays, lists, booleans, new axes) shapes the result by rules
    that NumPy alone shall apply: then everything is read.
    """
    picks = key if isinstance(key, tuple) else (key,)
    if not all(_is_plain(pick) for pick in picks):
        whole = [_axis(slice(None), size) for size in shape]
        windows = _windows(shape, whole, itemsize) or []
        return Selection(windows, _block(whole, fortran), fortran, key, None, direct=False)
    axes = [_axis(pick, size) for pick, size in zip(_spread(picks, len(shape)), shape, strict=True)]
    selected = tuple(len(range(axis.places)[axis.pick]) for axis in axes if isinstance(axis.pick, slice))
    direct = all(axis.pick in (0, slice(None)) for axis in axes) and not (fortran and len(selected) > 1)
    chosen = _windows(*_stored_order(shape, axes, fortran=fortran), itemsize)
    if chosen is None:
        axes, direct = _wider(axes, shape, keep=len(shape) - 1 if fortran else 0), False
        chosen = _windows(*_stored_order(shape, axes, fortran=fortran), itemsize) or []
    pick: tuple[Any, ...] = tuple(axis.pick for axis in axes)
    if any(one is Ellipsis for one in picks):
        pick = (*pick, ...)  # as with NumPy, an array that loses all dimensions to this does not become a scalar
    return Selection(chosen, _block(axes, fortran), fortran, pick, selected, direct)


def _is_plain(pick: Any) -> bool:
    return pick is Ellipsis or (isinstance(pick, (slice, int, np.integer)) and not isinstance(pick, (bool, np.bool_)))


def _spread(picks: Sequence[Any], dimensions: int) -> list[Any]:
    """One pick for each axis."""
    dots = [number for number, pick in enumerate(picks) if pick is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    missing = dimensions - len(picks) + len(dots)
    if missing < 0:
        raise IndexError(
            f"too many indices: the tensor has {dimensions} dimensions, {len(picks) - len(dots)} are indexed"
        )
    at = dots[0] if dots else len(picks)
    return [*picks[:at], *[slice(None)] * missing, *picks[at + 1 :]]


def _axis(pick: Any, size: int) -> _Axis:
    if not isinstance(pick, slice):
        index = operator.index(pick)
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of bounds for an axis of size {size}")
        return _Axis(index % size, 1, 1, 0)
    places = range(size)[pick]
    if places.step < 0:
        return _Axis(places[-1] if places else 0, len(places), -places.step, slice(None, None, -1))
    return _Axis(places.start if places else 0, len(places), places.step, slice(None))


def _wider(axes: Sequence[_Axis], shape: tuple[int, ...], keep: int) -> list[_Axis]:
    """The same picks, but all axes except one are read whole."""
    wide = []
    for number, (axis, size) in enumerate(zip(axes, shape, strict=True)):
        if number == keep:
            wide.append(axis)
            continue
        last = axis.first + (axis.places - 1) * axis.step
        pick: int | slice = axis.first
        if isinstance(axis.pick, slice):
            pick = slice(axis.first, last + 1, axis.step)
            if axis.pick.step == -1:
                pick = slice(last, axis.first - 1 if axis.first else None, -axis.step)
        wide.append(_Axis(0, size, 1, pick))
    return wide


def _stored_order(shape: tuple[int, ...], axes: list[_Axis], *, fortran: bool) -> tuple[tuple[int, ...], list[_Axis]]:
    """Outermost first: an array in Fortran order lies there as that of its axes in reverse, in C order."""
    return (shape[::-1], axes[::-1]) if fortran else (shape, axes)


def _block(axes: Sequence[_Axis], fortran: bool) -> tuple[int, ...]:
    block = tuple(axis.places for axis in axes)
    return block[::-1] if fortran else block


def _windows(shape: tuple[int, ...], axes: Sequence[_Axis], itemsize: int) -> list[Window] | None:
    """What the axes choose, in C order; None where that would be too many windows."""
    if not all(axis.places for axis in axes):
        return []
    start, unit = 0, itemsize
    runs = [(itemsize, 1)]  # (number, stride) of nested runs, innermost first; those that continue each other are one
    for size, axis in zip(reversed(shape), reversed(axes), strict=True):
        start += axis.first * unit
        if axis.places > 1:
            number, stride = runs[-1]
            if axis.step * unit == number * stride:
                runs[-1] = (number * axis.places, stride)
            else:
                runs.append((axis.places, axis.step * unit))
        unit *= size
    length = runs[0][0]
    number, stride = runs[1] if len(runs) > 1 else (1, length)
    if math.prod(places for places, _ in runs[2:]) > _WINDOWS_MAX:
        return None
    outer = (range(0, places * apart, apart) for places, apart in reversed(runs[2:]))
    return [Window(start + sum(places), number, stride, length) for places in product(*outer)]
