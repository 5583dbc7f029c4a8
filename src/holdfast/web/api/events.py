"""Streams of events (server-sent events, as the HTML standard has them): `/api/v1/events`, and one for each run.

Sent by hand, and not as an iterator that is written whenever the other end likes: whoever does not take what is sent
within some seconds is let go, and comes back with `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, get
from litestar.concurrency import sync_to_thread
from litestar.params import FromPath
from litestar.types import ASGIApp

from holdfast.control.recovering.plan_files import is_run_id
from holdfast.control.service.events import EventLine
from holdfast.errors import ConflictError, NotFoundError
from holdfast.web.security.policies import needs
from holdfast.web.settings import ServerSettings

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send

__all__ = ["event_routes"]

_LOG: Final = logging.getLogger("holdfast.web.events")
_SLOW_S: Final = 10.0
_PIECE: Final = 64 << 10  # bytes that are handed over before it is looked whether the last ones were taken
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_RETRY: Final = b"retry: 2000\n\n"


@get("/api/v1/events", opt=needs("recover.list"), include_in_schema=False)
async def all_events() -> ASGIApp:
    """All that happens, from now on or after `Last-Event-ID`."""
    return _send_all


async def _send_all(scope: Scope, receive: Receive, send: Send) -> None:
    line: EventLine = scope["litestar_app"].state.events
    given = _last_id(scope)
    place = line.newest() if not given else line.place_after(given)
    async with _Viewer(scope, receive, send) as viewer:
        if not given:  # whoever is cut off before anything happened comes back to here, too
            assert place is not None
            await viewer.put(f"id: {line.id_before(place)}\n\n".encode())
        if place is None:
            place = line.newest()
            await viewer.put(_event("reset", b"{}", line.id_before(place)))
        while await viewer.is_there():
            found = line.since(place)
            if found is None:  # it was away for longer than the ring lasts
                place = line.newest()
                await viewer.put(_event("reset", b"{}", line.id_before(place)))
                continue
            events, place = found
            for piece in _pieces(_event(one.kind, one.data, one.id) for one in events):
                await viewer.put(piece)
            if not events:
                await viewer.wait()


@get("/api/v1/runs/{run:str}/events", opt=needs("recover.review", on="plan"), include_in_schema=False)
async def run_events(request: Request[Any, Any, Any], run: FromPath[str]) -> ASGIApp:
    """The entries of a run's journal: the newest and what follows, or all after `Last-Event-ID`."""
    if not is_run_id(run):
        raise NotFoundError(f"{run[:40]!r} is no id of a run")
    there = await sync_to_thread(request.app.state.events.read_run, run)
    return partial(_send_run, run, there)


async def _send_run(run: str, there: int, scope: Scope, receive: Receive, send: Send) -> None:
    line: EventLine = scope["litestar_app"].state.events
    given = _last_id(scope)
    number = int(given) + 1 if given.isdecimal() and len(given) < 10 else max(0, there - 1)
    async with _Viewer(scope, receive, send, run) as viewer:
        while await viewer.is_there():
            events = line.of_run(run, number)
            for piece in _pieces(_event("run", one, str(number + at)) for at, one in enumerate(events)):
                await viewer.put(piece)
            number += len(events)
            if not events:
                await viewer.wait()


class _Viewer:
    """One open stream."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, run: str = "") -> None:
        state = scope["litestar_app"].state
        self._line: EventLine = state.events
        self._settings: ServerSettings = state.settings
        self._state, self._run = state, run
        self._receive, self._send = receive, send
        self._request = str(scope.get("state", {}).get("request_id", ""))
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._left = False
        self._leaving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Viewer:
        if self._state.viewers >= self._settings.viewers_max:
            raise ConflictError("as many watch already as this server can serve", hint="try again in a minute")
        self._count(1)
        self._line.watch(self._told, self._run)
        self._leaving = asyncio.create_task(self._hear())
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self.put(_RETRY)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, _trace: Any) -> bool:
        self._line.leave(self._told, self._run)
        if self._leaving is not None:
            self._leaving.cancel()
        self._count(-1)
        if isinstance(error, TimeoutError):
            self._state.metrics.dropped()
            why = f"it took nothing for {_SLOW_S:g} s: it comes back by the last event that it has"
            _LOG.warning(
                "a viewer was let go", extra={"facts": {"why": why, "run": self._run, "request": self._request}}
            )
            raise ConnectionAbortedError("a viewer was too slow, and was let go") from error
        if error is None and not self._left:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return False

    def _count(self, more: int) -> None:
        self._state.viewers += more
        self._state.metrics.viewers(self._state.viewers)

    def _told(self) -> None:
        """From the thread that looks."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def _hear(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left = True
                self._news.set()
                return

    async def put(self, data: bytes) -> None:
        """Raises TimeoutError where the other end does not take it."""
        async with asyncio.timeout(_SLOW_S):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def is_there(self) -> bool:
        return not self._left and not self._line.is_closed and not self._state.leaving.is_set()

    async def wait(self) -> None:
        """Until there may be something new; a heartbeat goes out where nothing is for a while."""
        try:
            async with asyncio.timeout(self._settings.heartbeat_s):
                await self._news.wait()
        except TimeoutError:
            await self.put(b": heartbeat\n\n")
            return
        self._news.clear()


def _last_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return str(value.decode("ascii", "replace"))[:64]
    query = scope.get("query_string", b"").decode("ascii", "replace")
    return next((part.partition("=")[2][:64] for part in query.split("&") if part.startswith("last_event_id=")), "")


def _pieces(events: Iterable[bytes]) -> Iterator[bytes]:
    """Put together, so that each is little more than `_PIECE` bytes: a slow viewer holds one of them in memory."""
    held: list[bytes] = []
    size = 0
    for one in events:
        held.append(one)
        size += len(one)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _event(kind: str, data: bytes, event_id: str) -> bytes:
    """`data` is JSON, and so one line."""
    head = f"id: {event_id}\n" if event_id else ""
    return head.encode() + b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


event_routes = [all_events, run_events]
