"""What is declared about a line: rates, limits by the time of day, marks, paths. Pure.

Rates are bytes per second of what the connections carry: TLS counts, the headers of TCP and IP do not (they add 3 to
5 % on an Ethernet).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.errors import UsageError

__all__ = ["DAYS", "PRIORITIES", "USUAL_PRIORITY", "Limit", "LineTerms", "Path", "Schedule"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PRIORITIES = range(10)  # a higher one goes first
USUAL_PRIORITY = 5
_MINUTES = 24 * 60


class Limit(NamedTuple):
    """At most `rate` from `begin` to `end`, in minutes since midnight, on `days` (none: every day).

    `end` up to `begin` is on the following day, and the days are those on which it begins. A rate of 0 lets nothing
    through.
    """

    begin: int
    end: int
    rate: float
    days: tuple[str, ...] = ()

    def holds(self, weekday: int, minute: int) -> bool:
        """At this minute of this day; Monday is 0."""
        if self.begin < self.end:
            return self._on(weekday) and self.begin <= minute < self.end
        return (self._on(weekday) and minute >= self.begin) or (self._on(weekday - 1) and minute < self.end)

    def _on(self, weekday: int) -> bool:
        return not self.days or DAYS[weekday % 7] in self.days


class Schedule(NamedTuple):
    """The rate of one direction over time. `rate`: of the line itself, None: not known, not limited."""

    rate: float | None = None
    reserve: float = 0.0  # of the line's own rate, left to others
    limits: tuple[Limit, ...] = ()
    timezone: str = "UTC"

    def rate_at(self, now_ns: int) -> float | None:
        """Bytes per second at that time (ns since the epoch); None: as much as there is."""
        usable = [] if self.rate is None else [self.rate - self.reserve]
        if self.limits:
            moment = (_EPOCH + timedelta(seconds=now_ns // NANOSECONDS)).astimezone(_zone(self.timezone))
            minute = moment.hour * 60 + moment.minute
            usable += [limit.rate for limit in self.limits if limit.holds(moment.weekday(), minute)]
        return min(usable, default=None)


class Path(NamedTuple):
    """One way out of this machine: connections leave from the address `source` ("": as the system chooses)."""

    name: str
    source: str = ""


class LineTerms(NamedTuple):
    """All that is declared about the line to one site. `up` is away from this machine.

    `reserve` is left to others in each direction whose rate is known; `limits` hold for both. `dscp` marks every
    packet that is sent (RFC 2474), None leaves them as they are. `tls13`: connections on which the far end chooses an
    older TLS are cut off. `patience_s`: for how long the far end may owe a sign of life (of its kernel, not of its
    program) before a connection counts as dead; `answer_s`: the same for its program, from the last byte that we sent.
    `congestion`: the algorithm for what is sent ("": the system's), where
    the kernel has it; `bbr` keeps up with losses that are no sign of congestion.
    """

    name: str
    up: float | None = None
    down: float | None = None
    reserve: float = 0.0
    limits: tuple[Limit, ...] = ()
    timezone: str = "UTC"
    dscp: int | None = None
    paths: tuple[Path, ...] = (Path("usual"),)
    tls13: bool = True
    patience_s: float = 10.0
    answer_s: float = 60.0
    congestion: str = ""

    def schedule(self, rate: float | None) -> Schedule:
        """Of the direction that has this rate."""
        return Schedule(rate, self.reserve, self.limits, self.timezone)

    def check(self) -> LineTerms:
        """These terms; UsageError if they make no sense."""
        for word, rate in (("up", self.up), ("down", self.down)):
            if rate is not None and not rate > self.reserve:
                raise UsageError(
                    f"the line to {self.name} has {word} no more than its reserve, so nothing could be sent"
                )
        if not (self.patience_s >= 1 and self.answer_s >= 1):
            raise UsageError(f"the line to {self.name} needs a patience of a second or more")
        if not self.reserve >= 0:
            raise UsageError(f"the reserve of the line to {self.name} is negative")
        for limit in self.limits:
            self._check_limit(limit)
        _zone(self.timezone)
        if self.dscp is not None and not 0 <= self.dscp < 64:
            raise UsageError(f"{self.dscp} is no DSCP: they go from 0 to 63")
        if not self.paths or len({path.name for path in self.paths}) < len(self.paths):
            raise UsageError(f"the line to {self.name} needs paths with different names")
        for path in self.paths:
            _check_source(path)
        return self

    def _check_limit(self, limit: Limit) -> None:
        if not (0 <= limit.begin < _MINUTES and 0 <= limit.end <= _MINUTES) or limit.begin == limit.end:
            raise UsageError(f"a limit of the line to {self.name} has no sensible begin and end")
        if not limit.rate >= 0 or not set(limit.days) <= set(DAYS):
            raise UsageError(f"a limit of the line to {self.name} has a rate below 0, or a day that is none")


_EPOCH = datetime.fromtimestamp(0, UTC)


@cache
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"there is no time zone {name!r}", hint="write for example Europe/Berlin") from error


def _check_source(path: Path) -> None:
    import ipaddress

    try:
        if path.source:
            ipaddress.ip_address(path.source)
    except ValueError as error:
        raise UsageError(
            f"the path {path.name} leaves from {path.source!r}, which is no IP address",
            hint="name an address of this machine",
        ) from error
