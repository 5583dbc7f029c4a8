"""Around everything: the name that the server is asked by, the id of a request, headers of every answer, the log.

It also answers what no route is reached with: OPTIONS, and requests for another host.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.clock import Clock
from holdfast.errors import HoldfastError, UsageError
from holdfast.web.problems import SlowError, TooManyError, problem_of

if TYPE_CHECKING:
    from litestar.types import HTTPScope, Message, Receive, Send

    from holdfast.web.api.metrics import Metrics
    from holdfast.web.security.limits import Limits
    from holdfast.web.settings import ServerSettings

__all__ = ["Front"]

_LOG: Final = logging.getLogger("holdfast.web.access")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
)
_BODY_S: Final = 30.0
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


class AmbiguousError(UsageError):
    """Nobody knows where the request ends."""


class Front:
    """`app`: what answers."""

    def __init__(
        self,
        app: Callable[[Any, Receive, Send], Awaitable[None]],
        settings: ServerSettings,
        metrics: Metrics,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._app, self._metrics, self._limits, self._clock = app, metrics, limits, clock
        self._hosts = frozenset(host.lower().encode() for host in settings.hosts)
        self._headers = (*_HEADERS, *((_HSTS,) if settings.secure else ()))

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status, streams = self._clock.monotonic(), 0, False

        async def sent(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                streams = any(name.lower() == b"content-type" and b"event-stream" in value for name, value in headers)
                headers += [one for one in self._headers if one[0] not in there]
                headers.append((b"x-request-id", request_id.encode()))
                if b"cache-control" not in there:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        whole, until = False, self._clock.monotonic() + _BODY_S

        async def received() -> Any:
            """The body has to be there within a time, however slowly it trickles."""
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise SlowError(f"the request was not here whole within {_BODY_S:g} s") from None
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _answer(refusal, request_id, sent)
            elif scope["method"] == "OPTIONS":
                await _empty(405, [(b"allow", b"GET, HEAD, POST")], sent)
            else:
                await self._app(scope, received, sent)
        finally:
            seconds = self._clock.monotonic() - begun
            route = str(scope.get("path_template", "")) or "none"
            self._metrics.answered(scope["method"], route, status, None if streams else seconds)
            self._log(scope, request_id, route, status, seconds)

    def _refusal(self, scope: HTTPScope) -> HoldfastError | None:
        names = {name for name, _ in scope["headers"]}
        if b"content-length" in names and b"transfer-encoding" in names:
            return AmbiguousError("the request says twice how long it is: a proxy could cut it elsewhere")
        hosts = [value.lower() for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return UsageError(
                "this server is not asked by that name", hint="`serve: {hosts: …}` in holdfast.yaml lists its names"
            )
        client = scope.get("client")
        wait = self._limits.take(client[0] if client else "unknown")
        return TooManyError("this address asks too often", seconds=wait) if wait else None

    def _log(self, scope: HTTPScope, request_id: str, route: str, status: int, seconds: float) -> None:
        user = scope.get("user")
        client = scope.get("client")
        facts = {
            "request": request_id,
            "method": scope["method"],
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "who": str(user.principal) if user is not None else "",
            "from": client[0] if client else "",
        }
        run = scope.get("path_params", {}).get("run")
        if run:
            facts["run"] = str(run)[:64]
        _LOG.info("answered", extra={"facts": facts})


async def _answer(error: HoldfastError, request_id: str, send: Send) -> None:
    told = problem_of(error, request_id)
    headers = [(b"content-type", b"application/problem+json")]
    if isinstance(error, AmbiguousError):  # what follows it may be no request
        headers.append((b"connection", b"close"))
    if isinstance(error, TooManyError):
        headers.append((b"retry-after", str(max(1, round(error.seconds))).encode()))
    body = msgspec.json.encode(told)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _empty(status: int, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
