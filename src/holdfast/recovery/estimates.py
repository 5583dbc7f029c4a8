"""How long something takes, where that figure is from, and how wrong it may be. Pure.

Seconds of steps that follow each other add up; their errors, taken as independent, add up in squares (the usual
propagation of uncertainty). A sum with a part that nobody measured is NOT_MEASURED: what is known of it is a lower
bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast.errors import UsageError
from holdfast.units import format_duration

__all__ = ["Source", "Estimate", "Rate", "NOTHING", "UNKNOWN", "in_a_row", "transfer", "unknown"]


class Source(StrEnum):
    """Where a figure is from; of several that were put together, the weakest."""

    MEASURED = "measured"
    DECLARED = "declared"
    ASSUMED = "assumed"
    NOT_MEASURED = "NOT_MEASURED"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` (NOT_MEASURED: at least so many), give or take `error` seconds; `why`: a few words about its origin."""

    seconds: float
    error: float = 0.0
    source: Source
    why: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for figures that cannot be."""
        if not (0 <= self.seconds < math.inf and 0 <= self.error < math.inf):
            raise UsageError(f"an estimate cannot be {self.seconds!r} ± {self.error!r} seconds")

    @property
    def known(self) -> bool:
        """Whether it may be compared with a target."""
        return self.source is not Source.NOT_MEASURED

    @property
    def most(self) -> float:
        """Seconds at the upper end of the error: what is compared with a target."""
        return self.seconds + self.error

    def __str__(self) -> str:
        origin = f" ({self.why})" if self.why else ""
        if not self.known:
            return f"NOT_MEASURED, at least {format_duration(self.seconds)}{origin}"
        error = f" ± {format_duration(self.error)}" if self.error else ""
        return f"{format_duration(self.seconds)}{error}, {self.source}{origin}"


NOTHING = Estimate(seconds=0.0, source=Source.MEASURED)


def unknown(why: str, at_least: float = 0.0) -> Estimate:
    """An estimate that nobody has, and why."""
    return Estimate(seconds=at_least, source=Source.NOT_MEASURED, why=why)


UNKNOWN = unknown("nobody measured it")


def in_a_row(estimates: Iterable[Estimate]) -> Estimate:
    """The sum of steps that follow each other."""
    parts = list(estimates)
    order = list(Source)
    source = max((part.source for part in parts), key=order.index, default=Source.MEASURED)
    seconds = math.fsum(part.seconds for part in parts)
    return Estimate(seconds=seconds, error=math.hypot(*(part.error for part in parts)), source=source)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast bytes move. `error`: of the rate, as a share of it (0.2: a fifth)."""

    bytes_per_second: float
    error: float = 0.0
    source: Source
    why: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for figures that cannot be."""
        if not (0 < self.bytes_per_second < math.inf and 0 <= self.error < math.inf):
            raise UsageError(f"a rate cannot be {self.bytes_per_second!r} bytes a second ± {self.error!r}")


def transfer(size: int, rate: Rate | None, wait: float = 0.0) -> Estimate:
    """Moving `size` bytes, after `wait` seconds. Without a rate: NOT_MEASURED."""
    if rate is None:
        return unknown("the rate was not measured", wait)
    moving = size / rate.bytes_per_second
    return Estimate(seconds=wait + moving, error=moving * rate.error, source=rate.source, why=rate.why)
