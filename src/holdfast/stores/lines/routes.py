"""Which way the next connection takes: endpoints × paths, by health and measured speed. Pure: times are handed in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

__all__ = ["Counts", "Place", "Route", "RouteState", "delay_after", "in_order"]

_FIRST_DELAY_S, _DELAY_S_MAX = 0.5, 60.0
_REMEMBERED_S = 10.0  # of time spent in transfers
_KNOWN_AFTER_S = 0.05  # a shorter time says nothing about a speed


class Place(NamedTuple):
    """An endpoint: a name or an IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Route(NamedTuple):
    """From here to there: the endpoint, the IP address that stands for it, and the path's name and own address."""

    place: Place
    address: str
    path: str
    source: str


class Counts:
    """What went over one path to one endpoint since the beginning, whatever addresses the endpoint had."""

    def __init__(self) -> None:
        self.connections = 0
        self.failures = 0  # to connect, or in the middle of something
        self.up_bytes = 0
        self.down_bytes = 0
        self.retransmitted = 0  # segments, of connections that have ended


class RouteState:
    """What is known about one route. Up until it fails; then left alone, for longer each time, at random lengths."""

    def __init__(self, route: Route, counts: Counts, random: Random) -> None:
        self.route = route
        self.counts = counts
        self.active = 0  # connections now
        self.dialled = 0  # connections that are being made: many begin at the same moment
        self.failures = 0  # in a row
        self.retry_at: float | None = None  # None: up
        self.round_trip_s: float | None = None
        self._random = random
        self._moved = 0.0
        self._took = 0.0

    @property
    def is_up(self) -> bool:
        """Whether it is believed to work."""
        return self.retry_at is None

    @property
    def speed(self) -> float | None:
        """Bytes per second that one connection moves while it moves any."""
        return self._moved / self._took if self._took > _KNOWN_AFTER_S else None

    def moved(self, size: int, seconds: float) -> None:
        """A connection moved `size` bytes, and waited for the far end for that long."""
        keep = math.exp(-seconds / _REMEMBERED_S)
        self._moved = self._moved * keep + size
        self._took = self._took * keep + seconds

    def succeeded(self) -> None:
        """It works."""
        self.failures = 0
        self.retry_at = None

    def failed(self, now: float) -> None:
        """It does not: leave it alone, between half and all of a delay that doubles each time."""
        self.failures += 1
        self.counts.failures += 1
        self.retry_at = now + delay_after(self.failures, self._random)


def delay_after(failures: int, random: Random) -> float:
    """Seconds to leave something alone that failed so often in a row: half to all of a delay that doubles each time,
    at random, so that many who saw it fail do not come back all at once."""
    longest = min(_DELAY_S_MAX, _FIRST_DELAY_S * 2 ** min(failures - 1, 20))
    return random.uniform(longest / 2, longest)


def in_order(states: Iterable[RouteState]) -> list[RouteState]:
    """The best first: those that are up, by how many connections share how much speed; then the others, by when they
    are due. One whose speed is not known yet counts as fast as the fastest, so that it is tried.
    """
    known = list(states)
    fastest = max((state.speed for state in known if state.speed is not None), default=1.0)

    def load(state: RouteState) -> float:
        return (state.active + state.dialled + 1) / max(state.speed or fastest, 1.0)

    up = sorted((state for state in known if state.is_up), key=load)
    down = sorted((state for state in known if not state.is_up), key=lambda state: state.retry_at or 0.0)
    return up + down
