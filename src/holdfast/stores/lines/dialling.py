"""Connecting to an endpoint: which addresses it has, which of its routes is best, and what to do when one fails.

The best route is tried first; when it does not answer soon, the next one is tried beside it, and the first that answers
is taken ("Happy Eyeballs", RFC 8305). A route that fails is left alone, and asked again in the background, until it
answers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random as random_numbers
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from holdfast.clock import Clock
from holdfast.stores.lines.routes import Counts, Place, Route, RouteState, in_order
from holdfast.stores.lines.sockets import upstream_socket
from holdfast.stores.lines.terms import LineTerms

__all__ = ["Dialler"]

_CONNECT_S_MAX = 4.0  # obstore gives up after 5
_NEXT_AFTER_S = 0.3
_ADDRESSES_S = 60.0  # how long the answer of the name service is believed
_PROBE_S_MIN = 0.05
_ROUTES_KEPT = 256  # the names of large services stand for ever new addresses


class Dialler:
    """All routes of one line. `on_failure` is told of each route that failed, with a reason."""

    def __init__(self, terms: LineTerms, clock: Clock, random: random_numbers.Random) -> None:
        self.on_failure: Callable[[RouteState, str], None] | None = None
        self.states: dict[Route, RouteState] = {}
        self.counts: dict[tuple[Place, str], Counts] = {}
        self._terms = terms
        self._clock = clock
        self._random = random
        self._addresses: dict[Place, tuple[float, list[str]]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._probed: set[RouteState] = set()

    async def connect(self, places: Sequence[Place]) -> tuple[socket.socket, RouteState]:
        """A connection to one of `places`. Raises OSError when no route answers."""
        waiting = deque(in_order(await self._routes(places)))
        running: dict[asyncio.Task[socket.socket], RouteState] = {}
        problem: OSError = OSError("the name service knows no address")
        dialled: list[RouteState] = []
        try:
            while waiting or running:
                if waiting:
                    state = waiting.popleft()
                    state.dialled += 1  # at once: who chooses in the same moment sees it
                    dialled.append(state)
                    running[asyncio.ensure_future(self._dial(state))] = state
                patience = max(_NEXT_AFTER_S, 3 * (state.round_trip_s or 0.0)) if waiting else None
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    finished = running.pop(task)
                    try:
                        connected = task.result()
                    except OSError as error:
                        problem = error
                    else:
                        finished.counts.connections += 1
                        return connected, finished
            raise problem
        finally:
            for state in dialled:
                state.dialled -= 1
            for task in running:  # a slow one may prove to be dead, or not: let it find out
                self._keep(_closed_at_the_end(task))

    def lost(self, state: RouteState, reason: str) -> None:
        """A connection broke in the middle of something."""
        self._failed(state, reason)

    async def close(self) -> None:
        """Leave nothing running."""
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _routes(self, places: Sequence[Place]) -> list[RouteState]:
        found = []
        for place in places:
            for address in await self._look_up(place):
                for path in self._terms.paths:
                    if path.source and (":" in path.source) != (":" in address):
                        continue  # no IPv4 from an IPv6 address
                    found.append(self._state(Route(place, address, path.name, path.source)))
        return found

    def _state(self, route: Route) -> RouteState:
        state = self.states.get(route)
        if state is None:
            if len(self.states) >= _ROUTES_KEPT:
                for old in [each for each, known in self.states.items() if not known.active and known.is_up]:
                    del self.states[old]
            counts = self.counts.setdefault((route.place, route.path), Counts())
            state = self.states[route] = RouteState(route, counts, self._random)
        return state

    async def _look_up(self, place: Place) -> list[str]:
        """Its addresses; old ones, when the name service fails."""
        with suppress(ValueError):
            return [str(ipaddress.ip_address(place.host))]
        now = self._clock.monotonic()
        until, known = self._addresses.get(place, (0.0, []))
        if now < until:
            return known
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except OSError:
            if known:
                return known
            raise
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self._addresses[place] = now + _ADDRESSES_S, addresses
        return addresses

    async def _dial(self, state: RouteState) -> socket.socket:
        """A connection over this route; what is known of it follows. Raises OSError."""
        try:
            connected = await self._connected(state.route)
        except OSError as error:
            self._failed(state, f"cannot connect: {error.strerror or 'timed out'}")
            raise
        state.succeeded()
        return connected

    async def _connected(self, route: Route) -> socket.socket:
        made = upstream_socket(route.address, route.source, self._terms)
        try:
            async with asyncio.timeout(_CONNECT_S_MAX):
                await asyncio.get_running_loop().sock_connect(made, (route.address, route.place.port))
        except BaseException:
            made.close()
            raise
        return made

    def _failed(self, state: RouteState, reason: str) -> None:
        was_up = state.is_up
        state.failed(self._clock.monotonic())
        if state not in self._probed:
            self._probed.add(state)
            self._keep(self._probe(state))
        if was_up and self.on_failure is not None:
            self.on_failure(state, reason)

    async def _probe(self, state: RouteState) -> None:
        """Ask now and then until it answers: no transfer has to find out."""
        try:
            while state.retry_at is not None:
                await asyncio.sleep(max(_PROBE_S_MIN, state.retry_at - self._clock.monotonic()))
                if state.retry_at is None or state.retry_at > self._clock.monotonic():
                    continue  # meanwhile a transfer has found out
                with suppress(OSError):
                    (await self._dial(state)).close()
        finally:
            self._probed.discard(state)

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _closed_at_the_end(task: asyncio.Task[socket.socket]) -> None:
    try:
        (await task).close()
    except OSError:
        return
    except asyncio.CancelledError:
        task.cancel()
        raise
