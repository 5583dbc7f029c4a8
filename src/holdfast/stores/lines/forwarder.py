"""The forwarder of one line: takes connections on the loopback interface, and carries them over the line's routes.

Everything here runs in the engine's thread.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from holdfast.clock import Clock, to_rfc3339
from holdfast.stores.lines.connect_request import HEAD_BYTES_MAX, ConnectRequest, Refused, parse_connect
from holdfast.stores.lines.dialling import Dialler
from holdfast.stores.lines.pacing import Pacer
from holdfast.stores.lines.routes import Place, RouteState
from holdfast.stores.lines.shaper import Shaper
from holdfast.stores.lines.sockets import abort, is_ours
from holdfast.stores.lines.terms import PRIORITIES, LineTerms
from holdfast.stores.lines.tunnel import CutOff, Tunnel, UpstreamLost

__all__ = ["Forwarder"]

_HEAD_S_MAX = 10.0
_TROUBLES_KEPT = 20
_STALLED_S = 1.0
_WATCH_S = 5.0


class Forwarder:
    """Listens where it is told to. `token`: who knows it may use the line by CONNECT."""

    def __init__(
        self,
        terms: LineTerms,
        shapers: tuple[Shaper, Shaper],
        dialler: Dialler,
        token: str,
        clock: Clock,
        note: Callable[[str], None] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.tunnels: set[Tunnel] = set()
        self.troubles: deque[str] = deque(maxlen=_TROUBLES_KEPT)
        self.alternatives: dict[Place, Sequence[Place]] = {}
        self._terms = terms
        self._pacers = Pacer(shapers[0], loop), Pacer(shapers[1], loop)
        self._dialler = dialler
        self._token = token
        self._clock = clock
        self._note = note
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        dialler.on_failure = self._route_failed
        self._start(self._watch())

    async def serve_connect(self, listener: socket.socket) -> None:
        """From now on, carry out CONNECT for those who know the token; the user's name is the priority."""
        self._listen(listener, self._connect)

    async def serve_forward(self, listener: socket.socket, places: Sequence[Place], priority: int) -> None:
        """From now on, connect everybody of our user to one of `places`."""

        async def forward(client: socket.socket) -> None:
            if not is_ours(client):
                abort(client)
                self._tell("somebody else's program tried to use the line")
                return
            await self._carry(client, places, priority, tls13=False)

        self._listen(listener, forward)

    async def close(self) -> None:
        """End everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await self._dialler.close()
        for pacer in self._pacers:
            pacer.close()

    def _listen(self, listener: socket.socket, serve: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        self._listeners.append(listener)
        self._start(self._accept(listener, serve))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(
        self, listener: socket.socket, serve: Callable[[socket.socket], Coroutine[Any, Any, None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:  # too many open files, say: those that are open will end
                self._tell(f"cannot take a connection: {error.strerror}")
                await asyncio.sleep(0.1)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._served(client, serve))

    async def _served(self, client: socket.socket, serve: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        try:
            await serve(client)
        except (OSError, TimeoutError):
            pass  # the client went away
        finally:
            client.close()

    async def _connect(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(_HEAD_S_MAX):
                request, rest = await _read_request(client)
            priority = self._authorised(request)
        except Refused as refused:
            await _answer(client, refused.status, refused.reason)
            return
        places = self.alternatives.get(request.place, [request.place])
        await self._carry(client, places, priority, tls13=self._terms.tls13, first=rest, answer=True)

    def _authorised(self, request: ConnectRequest) -> int:
        """The priority. Raises Refused."""
        known = hmac.compare_digest(request.password.encode(), self._token.encode())
        if not known or request.user not in map(str, PRIORITIES):
            self._tell("somebody without the password tried to use the line")
            raise Refused(407, "these are not the credentials")
        return int(request.user)

    async def _carry(
        self,
        client: socket.socket,
        places: Sequence[Place],
        priority: int,
        *,
        tls13: bool,
        first: bytes = b"",
        answer: bool = False,
    ) -> None:
        try:
            upstream, state = await self._dialler.connect(places)
        except OSError as error:
            self._tell(f"no way to {' or '.join(map(str, places))}: {error.strerror or error}")
            if answer:
                await _answer(client, 502, "no route answers")
            else:
                abort(client)
            return
        tunnel = Tunnel(client, upstream, state, pacers=self._pacers, priority=priority, tls13=tls13, clock=self._clock)
        self.tunnels.add(tunnel)
        state.active += 1
        try:
            if answer:
                try:
                    await _answer(client, 200, "OK")
                except BaseException:
                    upstream.close()
                    raise
            await tunnel.carry(first)
        except UpstreamLost as lost:
            if lost.in_transfer:
                self._dialler.lost(state, lost.reason)
        except CutOff as cut:
            self._tell(f"cut off: {cut}")
        finally:
            state.active -= 1
            self.tunnels.discard(tunnel)

    async def _watch(self) -> None:
        """Break off what gets no answer: obstore's own limit counts the time of sending, which a slow line needs."""
        while True:
            await asyncio.sleep(min(_WATCH_S, self._terms.answer_s / 4))
            for tunnel in list(self.tunnels):
                if tunnel.silent_s > self._terms.answer_s:
                    tunnel.break_off()
                    self._dialler.lost(tunnel.state, f"no answer for {self._terms.answer_s:.0f} s")

    def _route_failed(self, state: RouteState, reason: str) -> None:
        """Those that wait for an answer on the same route would wait in vain."""
        self._tell(f"{state.route.place} ({state.route.address}, path {state.route.path}): {reason}")
        for tunnel in list(self.tunnels):
            if tunnel.state is state and tunnel.silent_s > _STALLED_S:
                tunnel.break_off()

    def _tell(self, what: str) -> None:
        text = f"line to {self._terms.name}: {what}"
        self.troubles.append(f"{to_rfc3339(self._clock.now_ns())} {what}")
        if self._note is not None:
            self._note(text)


async def _read_request(client: socket.socket) -> tuple[ConnectRequest, bytes]:
    """The request, and what was received behind it."""
    loop = asyncio.get_running_loop()
    received = b""
    while b"\r\n\r\n" not in received:
        if len(received) > HEAD_BYTES_MAX:
            raise Refused(431, "the request is too long")
        more = await loop.sock_recv(client, HEAD_BYTES_MAX)
        if not more:
            raise Refused(400, "the request ends early")
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return parse_connect(head), rest


async def _answer(client: socket.socket, status: int, reason: str) -> None:
    extra = "" if status == 200 else "Content-Length: 0\r\nConnection: close\r\n"
    if status == 407:
        extra += 'Proxy-Authenticate: Basic realm="holdfast"\r\n'
    with suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(client, f"HTTP/1.1 {status} {reason}\r\n{extra}\r\n".encode())
