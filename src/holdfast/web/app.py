"""The server as one application: security around everything, the API, and the pages.

`create_app` refuses to make one with a route that does not say who may use it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ControllerRouterHandler

from holdfast.control.service.events import EventLine
from holdfast.control.service.health import Health
from holdfast.control.service.kept import Kept, kept_place
from holdfast.control.service.measuring import Measuring
from holdfast.control.service.warming import warm_types
from holdfast.errors import HoldfastError
from holdfast.web.api.health import health_routes
from holdfast.web.api.metrics import Metrics, metrics_page
from holdfast.web.api.openapi import describe, openapi_routes
from holdfast.web.api.shared import Shared
from holdfast.web.front import Front
from holdfast.web.problems import answer_error
from holdfast.web.security.devices import device_routes
from holdfast.web.security.guarding import Guarding, require_policies
from holdfast.web.security.limits import Limits
from holdfast.web.security.sessions import session_routes
from holdfast.web.settings import ServerSettings

if TYPE_CHECKING:
    from litestar.types import LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

    from holdfast.control.service.context import Service
    from holdfast.control.service.operations import Operation

__all__ = ["Server", "create_app"]

_THREADS: Final = 48
_TOLD_OF: Final = {
    "run": ("recover.", "evidence."),
    "incident": ("incident.",),
    "work": ("worker.", "drill.", "evidence."),
}


class Server(Litestar):
    """Litestar with `Front` around it: also what reaches no route goes through there."""

    __slots__ = ("front",)
    front: Front

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP:
            await self.front(scope, receive, send)  # type: ignore[arg-type]
        # Anything else (a websocket) is nothing that is served here: the connection ends.

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def create_app(
    service: Service,
    settings: ServerSettings | None = None,
    operations: Sequence[Operation] = (),
    *,
    routes: Sequence[ControllerRouterHandler] | None = None,
) -> Server:
    """`operations`: what verbs of commands do on a server (`control.service.operations`). `routes`: besides the API;
    by default the pages. Raises FailedError (a route without a policy; no place for sessions), MissingExtraError.
    """
    from holdfast.web.api.routes import api_routes

    warm_types()  # before any other thread decodes; once more below, with the bodies of routes
    how = settings or ServerSettings()
    kept = Kept(kept_place(service.organisation, service.environment), service.clock)
    health, metrics = Health(service, kept), Metrics()
    monotonic = service.clock.monotonic
    state: dict[str, Any] = {
        "service": service,
        "settings": how,
        "kept": kept,
        "health": health,
        "metrics": metrics,
        "measuring": Measuring(service, health),
        "failures": Limits(how.tries, how.tries / 60, monotonic),
        "codes": Limits(10, 1 / 6, monotonic),
        "events": EventLine(service, how.poll_s),
        "shared": Shared(service.clock),
        "viewers": 0,
        "leaving": threading.Event(),
    }
    state["events"].before = partial(_outdated, state["shared"])
    shown: list[ControllerRouterHandler] = [metrics_page, *health_routes, *session_routes, *device_routes]
    shown += [*openapi_routes, *api_routes(operations), *(_pages() if routes is None else routes)]
    app = Server(
        route_handlers=shown,
        middleware=[Guarding()],
        exception_handlers={Exception: answer_error, HoldfastError: answer_error},
        state=State(state),
        openapi_config=None,
        request_max_body_size=how.body_max,
        logging_config=None,
        lifespan=[_living],
        debug=False,
    )
    describe(app)
    warm_types()
    app.front = Front(app.inside, how, metrics, Limits(how.requests * 10, how.requests, monotonic), service.clock)
    require_policies(app)
    return app


def _pages() -> Sequence[ControllerRouterHandler]:
    try:
        from holdfast.web.pages.routes import page_routes
    except ModuleNotFoundError as error:
        if error.name not in ("holdfast.web.pages", "holdfast.web.pages.routes"):
            raise
        return []
    return page_routes


def _outdated(shared: Shared, kind: str) -> None:
    """Who is told of an event, and looks, does not get what was made before it."""
    if kind in _TOLD_OF:
        shared.forget(*_TOLD_OF[kind])


@asynccontextmanager
async def _living(app: Litestar) -> AsyncIterator[None]:
    # As many as the stores may keep waiting, and some that are free to say who asks.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="holdfast-web"))
    try:
        yield
    finally:
        app.state.leaving.set()
        app.state.events.close()
        app.state.shared.close()
        app.state.health.close()
        app.state.kept.close()
