"""What a line tells about itself: figures of one moment."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.stores.lines.shaper import ShaperSnapshot

__all__ = ["EndpointSnapshot", "LineSnapshot"]


class EndpointSnapshot(NamedTuple):
    """One endpoint over one path. Bytes and connections count from the beginning.

    `speed`: bytes per second that one connection moves while it moves any; None: not known yet. `retransmitted`:
    segments that were sent again, from here to there (TCP_INFO). `retry_in_s`: None while it is believed to work.
    """

    endpoint: str
    path: str
    addresses: tuple[str, ...]
    up: bool
    connections: int
    active: int
    failures: int
    up_bytes: int
    down_bytes: int
    retransmitted: int
    speed: float | None
    round_trip_s: float | None
    retry_in_s: float | None


class LineSnapshot(NamedTuple):
    """A line at `at_ns` (ns since the epoch). `troubles`: the latest, oldest first, each with its time."""

    name: str
    at_ns: int
    up: ShaperSnapshot
    down: ShaperSnapshot
    endpoints: tuple[EndpointSnapshot, ...]
    troubles: tuple[str, ...]

    @property
    def retransmitted(self) -> int:
        """Over all endpoints."""
        return sum(endpoint.retransmitted for endpoint in self.endpoints)
