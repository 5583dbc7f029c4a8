"""Axes of time and of durations, and many points brought to few columns: for charts of any medium."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from holdfast.cli.schemas.exposures import AssetExposure
from holdfast.clock import NANOSECONDS, from_rfc3339

__all__ = ["Bin", "Span", "bins_of", "ceiling_of", "duration_ticks", "span_of", "tick_duration", "time_ticks"]

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_DAYS = (2, 7, 14, 30, 90, 180, 365)


class Span(NamedTuple):
    """From `begin` to `end`: ns since the epoch, `begin` < `end`."""

    begin: int
    end: int

    def share(self, at: int) -> float:
        """Where that lies between them: 0 to 1."""
        return min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin)))


class Bin(NamedTuple):
    """All points that fall into one column. `high`, `low`: seconds; `first`, `last`: of them in time; `lost`: at some
    time all would have been lost; `missed`: at some time more than is owed; `measured`: all were.
    """

    high: float
    low: float
    first: float
    last: float
    lost: bool
    missed: bool
    measured: bool


def span_of(assets: Sequence[AssetExposure], since: str | None, until: str) -> Span:
    """From `since`, or the first point, to the last one or now, whichever is nearer to the points."""
    times = [from_rfc3339(point.at) for one in assets for point in (one.points[:1] + one.points[-1:])]
    end = max(times, default=from_rfc3339(until))
    begin = from_rfc3339(since) if since is not None else min(times, default=end)
    return Span(begin, end) if begin < end else Span(end - 30 * NANOSECONDS, end + 30 * NANOSECONDS)


def bins_of(one: AssetExposure, span: Span, count: int) -> list[Bin | None]:
    """Each column's points together; None where there are none. No peak is lost."""
    found: list[Bin | None] = [None] * count
    for point in one.points:
        at = min(count - 1, int(span.share(from_rfc3339(point.at)) * count))
        lost, value = point.seconds is None, point.seconds or 0.0
        before = found[at]
        missed = point.met is False
        if before is None:
            found[at] = Bin(value, value, value, value, lost, missed, point.measured)
        else:
            found[at] = Bin(
                max(before.high, value),
                min(before.low, value),
                before.first,
                value,
                before.lost or lost,
                before.missed or missed,
                before.measured and point.measured,
            )
    return found


def ceiling_of(one: AssetExposure) -> float:
    """The top of the axis: a little above everything, and above what is owed. Seconds, never 0."""
    return 1.08 * max([1.0, one.rpo or 0.0, *(point.seconds for point in one.points if point.seconds is not None)])


def duration_ticks(ceiling: float, most: int) -> list[float]:
    """0 and the multiples of a round duration below the ceiling, `most` at most besides 0."""
    steps = [*map(float, _STEPS), *(86_400.0 * days for days in _DAYS)]
    step = next((one for one in steps if ceiling / one <= most), None)
    if step is None:
        step = 86_400.0 * 365 * math.ceil(ceiling / (86_400.0 * 365 * most))
    return [number * step for number in range(int(ceiling / step) + 1)]


def tick_duration(seconds: float) -> str:
    """`90 min`, `2 h`, `3 d`: without what is 0."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def time_ticks(span: Span, most: int) -> list[tuple[int, str]]:
    """Round times (UTC) within the span, `most` at most, and how they are written."""
    seconds = (span.end - span.begin) / NANOSECONDS
    steps = [*_STEPS, *(86_400 * days for days in _DAYS)]
    step = next((one for one in steps if seconds / one <= most), None)
    if step is None:
        step = 86_400 * 365 * math.ceil(seconds / (86_400 * 365 * most))
    first = -(-span.begin // (step * NANOSECONDS)) * step * NANOSECONDS
    ticks = range(first, span.end + 1, step * NANOSECONDS)
    written = "%Y-%m-%d" if step >= 86_400 else "%H:%M" if step >= 60 else "%H:%M:%S"
    if step < 86_400 and seconds > 86_400:
        written = "%d %b %H:%M"
    return [(at, datetime.fromtimestamp(at // NANOSECONDS, UTC).strftime(written)) for at in ticks]
