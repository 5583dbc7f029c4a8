"""What a direction really carried: an average in which what was long ago counts less. Pure.

Only time in which bytes moved counts, so an idle line does not look slow. The mean of the busy time, weighted with
exp(−t/τ): "exponentially weighted moving average" in continuous time. A limit that held meanwhile is measured too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Estimator", "Measured"]

_IDLE_S = 0.5  # a longer pause was no part of a transfer
_WINDOW_S = 0.25  # of busy time; shorter ones say more about the process than about the line
_REMEMBERED_S = 20.0  # τ, in seconds of busy time
_BUSY_S_MIN = 1.0  # nothing is said before
_BEST_FADES_S = 600.0  # the best second's worth halves in about seven minutes of busy time


class Measured(NamedTuple):
    """`bytes_per_s`: the average; `best_bytes_per_s`: the best quarter of a second, fading; both over busy time only.

    `busy_s`: how much busy time it rests on; `age_s`: how long ago the last byte moved.
    """

    bytes_per_s: float
    best_bytes_per_s: float
    busy_s: float
    age_s: float


class Estimator:
    """Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._window_s = 0.0
        self._window_bytes = 0
        self._mean = 0.0
        self._weight = 0.0  # 1 − exp(−busy/τ): how much of the average is known
        self._best = 0.0
        self._busy_s = 0.0

    def add(self, size: int, now: float) -> None:
        """`size` bytes have moved by `now`."""
        last, self._last = self._last, now
        if last is None or now - last > _IDLE_S:
            return  # how long these took is not known
        self._window_s += now - last
        self._window_bytes += size
        if self._window_s >= _WINDOW_S:
            self._close_window()

    def measured(self, now: float) -> Measured | None:
        """None until there was a second of busy time."""
        if self._busy_s < _BUSY_S_MIN or self._last is None:
            return None
        return Measured(self._mean / self._weight, self._best, self._busy_s, now - self._last)

    def _close_window(self) -> None:
        seconds, count = self._window_s, self._window_bytes
        self._window_s, self._window_bytes = 0.0, 0
        keep = math.exp(-seconds / _REMEMBERED_S)
        self._mean = self._mean * keep + count / seconds * (1 - keep)
        self._weight = self._weight * keep + (1 - keep)
        self._best = max(self._best * math.exp(-seconds / _BEST_FADES_S), count / seconds)
        self._busy_s += seconds
