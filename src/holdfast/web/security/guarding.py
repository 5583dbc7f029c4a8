"""Before any route is reached: who asks, whether they may, and whether they meant it. Fails closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.middleware import ASGIMiddleware

from holdfast.authority.deciding import Circumstances, decide
from holdfast.control.service.reading.keeping import ACTED_ON, forget
from holdfast.errors import FailedError, HoldfastError
from holdfast.web.problems import TooManyError, UnidentifiedError
from holdfast.web.security.authenticating import identify
from holdfast.web.security.browsers import SAFE, require_own_pages, require_token
from holdfast.web.security.callers import Caller
from holdfast.web.security.policies import KEY, Need, resource_of

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from holdfast.control.service.context import Service
    from holdfast.web.api.shared import Shared

__all__ = ["Guarding", "address_of", "require_policies", "routes_of"]


class Guarding(ASGIMiddleware):
    """Sets `user` of the connection to a `Caller`. Raises UnidentifiedError, PermissionDeniedError, TooManyError."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        need = scope["route_handler"].opt.get(KEY)
        if not isinstance(need, Need):
            raise FailedError(f"the route {scope.get('path_template', '')} says nothing of who may use it")
        caller = await sync_to_thread(_decided, request, need)
        scope["user"], scope["auth"] = caller, caller.how
        if request.method not in SAFE and caller.how == "session":
            require_own_pages(request)
            if not need.open:  # signing in anew is asked for without a session
                await require_token(request, caller)
        if request.method in SAFE or need.open:
            await next_app(scope, receive, _Standing(request, need, send).send if request.method == "GET" else send)
            return
        changing = _Changing(request.app.state.shared, request.app.state.service, send)
        try:
            await next_app(scope, receive, changing.send)
        finally:
            changing.forget()  # also of what failed half-way


class _Changing:
    """Whoever has the answer to what they changed, and looks, gets what was made afterwards."""

    def __init__(self, shared: Shared, service: Service, send: Send) -> None:
        self._shared, self._service, self._send = shared, service, send

    def forget(self) -> None:
        self._shared.forget()
        forget(self._service, *ACTED_ON)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.forget()
        await self._send(message)


class _Standing:
    """What is sent on and on is sent only while whoever asked for it is still who they were, and still may."""

    def __init__(self, request: Request[Any, Any, Any], need: Need, send: Send) -> None:
        self._request, self._need, self._send = request, need, send
        self._monotonic = request.app.state.service.clock.monotonic
        self._looked: float | None = None
        self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            if any(name.lower() == b"content-type" and b"event-stream" in value for name, value in headers):
                self._looked = self._monotonic()
        elif self._ended:
            raise ConnectionAbortedError("a stream ended with the right to watch it")
        elif self._is_due(message):
            if not await sync_to_thread(_still, self._request, self._need):
                self._ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                raise ConnectionAbortedError("a stream ended with the right to watch it")
            self._looked = self._monotonic()
        await self._send(message)

    def _is_due(self, message: Message) -> bool:
        if self._looked is None or not message.get("more_body", False):
            return False
        return bool(self._monotonic() - self._looked >= self._request.app.state.settings.standing_s)


def _still(request: Request[Any, Any, Any], need: Need) -> bool:
    """As when the stream began; a yes is recorded once, then."""
    state = request.app.state
    service: Service = state.service
    try:
        caller = identify(request, service, state.kept, state.settings, touch=False)
        if need.open or not need.action:
            return need.open or caller.is_somebody
        if not caller.is_somebody:
            return False
        resource, context = resource_of(need, request.path_params, service), Circumstances(service.clock.now_ns())
        policies = service.authority().home.in_force.policies
        if decide(policies, caller.principal, need.action, resource, context).allowed:
            return True
        service.authority().authorise(caller.principal, need.action, resource)
    except HoldfastError:
        return False
    return False


def _decided(request: Request[Any, Any, Any], need: Need) -> Caller:
    state = request.app.state
    service: Service = state.service
    address = address_of(request)
    # A session's secret is not for guessing: others at the same address do not keep out who is signed in.
    if "authorization" in request.headers and (wait := state.failures.wait(address)):
        raise TooManyError("this address has shown too many credentials that count for nothing", seconds=wait)
    caller = identify(request, service, state.kept, state.settings)
    if caller.problem and caller.how == "" and "authorization" in request.headers:
        state.failures.take(address)
    if need.open:
        return caller
    if not caller.is_somebody:
        raise UnidentifiedError(caller.problem or "nobody is signed in")
    if need.action:
        _require(service, caller, need, request.path_params)
    return caller


def _require(service: Service, caller: Caller, need: Need, parts: dict[str, Any]) -> None:
    authority, resource = service.authority(), resource_of(need, parts, service)
    if need.is_supposed:  # the verb asks again, by what the journal says: only a no is an answer here
        context = Circumstances(service.clock.now_ns())
        if decide(authority.home.in_force.policies, caller.principal, need.action, resource, context).allowed:
            return
    authority.authorise(caller.principal, need.action, resource)


def address_of(request: Request[Any, Any, Any]) -> str:
    """Where it comes from: the connection's other end, as the server has it (or a proxy that it believes)."""
    client = request.client
    return client.host if client is not None else "unknown"


def require_policies(app: Litestar) -> None:
    """Raises FailedError naming every route that does not say who may use it."""
    silent = sorted(f"{method} {path}" for method, path, need in routes_of(app) if need is None)
    if silent:
        raise FailedError(
            f"these routes say nothing of who may use them: {', '.join(silent)}",
            hint="holdfast.web.security.policies: opt=needs(…), signed_in(…) or open_to_all(…)",
        )


def routes_of(app: Litestar) -> Iterable[tuple[str, str, Need | None]]:
    """All routes: method, path template, what they need."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [getattr(route, "route_handler", None)]:
            methods = getattr(handler, "http_methods", {"ASGI"})
            found = None if handler is None else handler.opt.get(KEY)
            for method in sorted(methods):
                if method == "OPTIONS":  # never reached: `front` answers it before
                    continue
                yield str(method), route.path, found if isinstance(found, Need) else None
