"""Evenly spaced runs of bytes: what rows, columns and shards of an array are in its file."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Window", "Bytes", "copy_window"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_WIDTHS = (1, 2, 4, 8)


class Window(NamedTuple):
    """`runs` runs of `length` bytes, the first at `start`, each `stride` bytes behind the one before.

    Runs do not overlap (`stride` ≥ `length`), and one that is empty has neither runs nor length.
    """

    start: int
    runs: int
    stride: int
    length: int

    @property
    def size(self) -> int:
        """How many bytes are in it: the size of the buffer that takes them, one run behind the other."""
        return self.runs * self.length

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.start + (self.runs - 1) * self.stride + self.length if self.size else self.start


def copy_window(window: Window, data: Bytes, offset: int, target: Bytes) -> int:
    """Copy what `data`, the bytes of the file from `offset` on, holds of the window to its places in `target`.

    `target` has the size of the window. Returns how many bytes were copied.
    """
    if window.runs == 1:
        return _copy_span(window.start, window.length, data, offset, target)
    end = offset + len(data)
    # Runs `first` to `last` - 1 have a byte here; of those, `whole` to `cut` - 1 lie here whole.
    first = max(0, (offset - window.start - window.length) // window.stride + 1)
    last = min(window.runs, max(0, -((window.start - end) // window.stride)))
    if first >= last:
        return 0
    whole = first if window.start + first * window.stride >= offset else first + 1
    cut = last if window.start + (last - 1) * window.stride + window.length <= end else last - 1
    copied = 0
    for run in {run for run in (first, last - 1) if not whole <= run < cut}:
        place = target[run * window.length : (run + 1) * window.length]
        copied += _copy_span(window.start + run * window.stride, window.length, data, offset, place)
    if whole < cut:
        begin = window.start + whole * window.stride - offset
        _copy_runs(data[begin:], target[whole * window.length : cut * window.length], cut - whole, window)
        copied += (cut - whole) * window.length
    return copied


def _copy_span(start: int, length: int, data: Bytes, offset: int, target: Bytes) -> int:
    low, high = max(start, offset), min(start + length, offset + len(data))
    if low >= high:
        return 0
    target[low - start : high - start] = data[low - offset : high - offset]
    return high - low


def _copy_runs(data: Bytes, target: Bytes, count: int, window: Window) -> None:
    """`count` whole runs, the first at the start of `data`."""
    stride, length = window.stride, window.length
    if length in _WIDTHS:  # an element at a time, not a byte
        unit = np.dtype(f"u{length}")
        picked = np.ndarray((count,), unit, data.data, 0, (stride,))
        np.ndarray((count,), unit, target.data)[...] = picked
        return
    target.reshape(count, length)[...] = np.ndarray((count, length), np.uint8, data.data, 0, (stride, 1))
