"""When work that comes again is due. Pure: no clock, no database.

Time is cut into periods of `every` seconds, counted from Monday, 1970-01-05, 00:00 UTC: the same on every machine, and
after every restart. Each has one moment: `at` seconds after its beginning, and for a surprise somewhere in the `within`
seconds after that, drawn by a keyed hash of schedule and period (HMAC-SHA256): kept without being written down, and
told to nobody who does not have the seed.

At any time there is one candidate: the newest period whose moment has passed. It is due unless it was done, or passed
before the schedule was known. So what was missed is made up for once, however much it was, and no clock that jumps
starts a period twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container
from typing import Final, NamedTuple

from holdfast.errors import UsageError

__all__ = ["EVERY_MIN_S", "Rhythm", "due", "moment", "next_window"]

_NS: Final = 1_000_000_000
_MONDAY_NS: Final = 4 * 86_400 * _NS
EVERY_MIN_S: Final = 10.0


class Rhythm(NamedTuple):
    """Seconds. `within` 0: no surprise. `seed` is a secret."""

    name: str
    every: float
    at: float
    within: float
    seed: bytes

    def require(self) -> None:
        """Raises UsageError for one that would have moments outside their periods."""
        if not EVERY_MIN_S <= self.every <= 3660 * 86_400 or self.at < 0 or self.within < 0:
            raise UsageError(f"{self.name}: its periods are to be of {EVERY_MIN_S:.0f} s to ten years")
        if self.at + self.within > self.every:
            raise UsageError(f"{self.name}: its moment is to lie within its period of {self.every:.0f} s")


def moment(rhythm: Rhythm, period: int) -> int:
    """Of that period, in nanoseconds since the epoch."""
    return _begin(rhythm, period) + round(rhythm.at * _NS) + _drawn(rhythm, period)


def due(rhythm: Rhythm, now_ns: int, since_ns: int, done: Container[int]) -> int | None:
    """The period that is to be begun now; None: none is. `since_ns`: since when the schedule is known."""
    period = _candidate(rhythm, now_ns)
    if moment(rhythm, period) < since_ns or period in done:
        return None
    return period


def next_window(rhythm: Rhythm, now_ns: int, since_ns: int, done: Container[int]) -> tuple[int, int]:
    """Between which times the next moment lies: all that may be said of a surprise. Both the same without one.

    `since_ns` is not after `now_ns`.
    """
    period = _candidate(rhythm, now_ns)
    while period in done or moment(rhythm, period) < since_ns:
        period += 1
    begin = _begin(rhythm, period) + round(rhythm.at * _NS)
    return begin, begin + round(rhythm.within * _NS)


def _candidate(rhythm: Rhythm, now_ns: int) -> int:
    """The newest period whose moment has passed."""
    period = (now_ns - _MONDAY_NS) // round(rhythm.every * _NS)
    return period if moment(rhythm, period) <= now_ns else period - 1


def _begin(rhythm: Rhythm, period: int) -> int:
    return _MONDAY_NS + period * round(rhythm.every * _NS)


def _drawn(rhythm: Rhythm, period: int) -> int:
    span = round(rhythm.within * _NS)
    if span <= 0:
        return 0
    digest = hmac.new(rhythm.seed, f"{rhythm.name}\0{period}".encode(), hashlib.sha256).hexdigest()
    return int(digest[:32], 16) * span >> 128
