"""A line to a site: stores that are opened through it keep to its limits, priorities, marks and paths."""

from __future__ import annotations

import random as random_numbers
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.stores.lines.connect_request import parse_place
from holdfast.stores.lines.dialling import Dialler
from holdfast.stores.lines.engine import run_in_engine
from holdfast.stores.lines.forwarder import Forwarder
from holdfast.stores.lines.opening import open_routed
from holdfast.stores.lines.routes import Counts, Place, RouteState
from holdfast.stores.lines.shaper import Shaper
from holdfast.stores.lines.snapshots import EndpointSnapshot, LineSnapshot
from holdfast.stores.lines.sockets import LOOPBACK, listener
from holdfast.stores.lines.terms import PRIORITIES, USUAL_PRIORITY, LineTerms
from holdfast.stores.lines.ways import Way, open_ways
from holdfast.stores.protocol import Store

__all__ = ["Line"]

_PORTS = {"https": 443, "http": 80}


class Line:
    """The line that `terms` describe. Close it, or use it as a context manager; stores opened through it end with it.

    Any thread may call everything. `note` is told of each trouble, one line each, from another thread.
    """

    def __init__(
        self,
        terms: LineTerms,
        clock: Clock = SYSTEM_CLOCK,
        random: random_numbers.Random | None = None,
        *,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.terms = terms.check()
        self.up = Shaper(terms.schedule(terms.up), clock)
        self.down = Shaper(terms.schedule(terms.down), clock)
        self._clock = clock
        self._token = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._forwards: dict[tuple[tuple[Place, ...], int], int] = {}
        self._closed = False
        self._dialler = Dialler(terms, clock, random or random_numbers.SystemRandom())
        proxy = listener()
        self._proxy_port: int = proxy.getsockname()[1]

        async def begin() -> Forwarder:
            forwarder = Forwarder(terms, (self.up, self.down), self._dialler, self._token, clock, note)
            await forwarder.serve_connect(proxy)
            return forwarder

        self._forwarder = run_in_engine(begin)

    def open_store(
        self,
        url: str,
        *,
        options: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        priority: int = USUAL_PRIORITY,
        endpoints: Sequence[str] = (),
        clock: Clock = SYSTEM_CLOCK,
        note: Callable[[str], None] | None = None,
    ) -> Store:
        """As `holdfast.stores.opening.open_store`, over this line; what has a higher `priority` goes first.

        `endpoints`: more places that serve the same store beside the option `endpoint`, as URLs or `host:port`. With
        TLS each must have a certificate for the name in `endpoint`. Raises UsageError.
        """
        way = Way(url, options or {}, credentials or {}, endpoints)
        return open_ways([(self, way)], priority=priority, clock=clock, note=note)

    def open_way(self, way: Way, priority: int, clock: Clock = SYSTEM_CLOCK) -> Store:
        """The same, without a second try after an error."""
        if priority not in PRIORITIES:
            raise UsageError(f"{priority} is no priority: they go from {PRIORITIES[0]} to {PRIORITIES[-1]}")
        return open_routed(self, way.url, way.options, way.credentials, priority, way.endpoints, clock)

    def proxy_url(self, priority: int = USUAL_PRIORITY) -> str:
        """A proxy for HTTPS, with a password in it: for `proxies` of boto3 and others. Not to be logged or shown."""
        return f"http://{priority}:{self._token}@{LOOPBACK}:{self._proxy_port}"

    def spread(self, endpoint: str, alternatives: Sequence[str]) -> None:
        """From now on connections to `endpoint` by the proxy are spread over it and `alternatives`."""
        place = place_of(endpoint)
        places = [place, *(place_of(each) for each in alternatives)]

        async def set_alternatives() -> None:
            self._forwarder.alternatives[place] = places

        run_in_engine(set_alternatives)

    def forward(self, endpoints: Sequence[str], priority: int) -> str:
        """`http://127.0.0.1:PORT`, which stands for `endpoints` of plain HTTP; for programs of this user only."""
        places = tuple(dict.fromkeys(place_of(each) for each in endpoints))
        with self._lock:
            if self._closed:
                raise UsageError(f"the line to {self.terms.name} is closed")
            port = self._forwards.get((places, priority))
            if port is None:
                made = listener()
                port = int(made.getsockname()[1])
                run_in_engine(lambda: self._forwarder.serve_forward(made, places, priority))
                self._forwards[places, priority] = port
        return f"http://{LOOPBACK}:{port}"

    def snapshot(self) -> LineSnapshot:
        """How things are now."""

        async def look() -> tuple[tuple[EndpointSnapshot, ...], tuple[str, ...]]:
            counted = sorted(self._dialler.counts.items(), key=lambda item: item[0])
            endpoints = tuple(self._endpoint(place, path, counts) for (place, path), counts in counted)
            return endpoints, tuple(self._forwarder.troubles)

        endpoints, troubles = run_in_engine(look)
        return LineSnapshot(
            name=self.terms.name,
            at_ns=self._clock.now_ns(),
            up=self.up.snapshot(),
            down=self.down.snapshot(),
            endpoints=endpoints,
            troubles=troubles,
        )

    def close(self) -> None:
        """Break off what is going on. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        run_in_engine(self._forwarder.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _endpoint(self, place: Place, path: str, counts: Counts) -> EndpointSnapshot:
        states = [
            each for each in self._dialler.states.values() if (each.route.place, each.route.path) == (place, path)
        ]
        now = self._clock.monotonic()
        living = sum(tunnel.look() for tunnel in self._forwarder.tunnels if tunnel.state in states)
        return EndpointSnapshot(
            endpoint=str(place),
            path=path,
            addresses=tuple(state.route.address for state in states),
            up=any(state.is_up for state in states),
            connections=counts.connections,
            active=sum(state.active for state in states),
            failures=counts.failures,
            up_bytes=counts.up_bytes,
            down_bytes=counts.down_bytes,
            retransmitted=counts.retransmitted + living,
            speed=_best(states),
            round_trip_s=min((state.round_trip_s for state in states if state.round_trip_s is not None), default=None),
            retry_in_s=_soonest(states, now),
        )


def place_of(endpoint: str) -> Place:
    """Of a URL or `host:port`. Raises UsageError, which does not repeat what might hold a password."""
    if "://" not in endpoint:
        place = parse_place(endpoint)
    else:
        try:
            parts = urlsplit(endpoint)
            port = parts.port or _PORTS[parts.scheme]
            place = None if parts.username or not parts.hostname else Place(parts.hostname, port)
        except (KeyError, ValueError):
            place = None
    if place is None:
        raise UsageError("an endpoint is no URL or host:port", hint="write https://host, http://host:port or host:port")
    return place


def _best(states: Sequence[RouteState]) -> float | None:
    return max((state.speed for state in states if state.speed is not None), default=None)


def _soonest(states: Sequence[RouteState], now: float) -> float | None:
    if any(state.is_up for state in states):
        return None
    return min((max(0.0, state.retry_at - now) for state in states if state.retry_at is not None), default=None)
