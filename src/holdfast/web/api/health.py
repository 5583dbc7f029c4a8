"""`/health/live` and `/health/ready`: whether it runs, and which of what it depends on is ill."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get

from holdfast.control.service.health import Dependency
from holdfast.web.security.policies import open_to_all

__all__ = ["health_routes"]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """That the process answers."""

    live: bool = True


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """`ready`: whether it can do what it is there for. `degraded`: something is ill that it can do without."""

    ready: bool
    degraded: bool
    dependencies: list[Dependency]


@get(
    "/health/live", opt=open_to_all("a supervisor asks it, and it tells nothing"), sync_to_thread=False, tags=["health"]
)
def live() -> Live:
    """Whether the process answers."""
    return Live()


@get(
    "/health/ready",
    opt=open_to_all("a balancer asks it; names of stores and words of errors are for operators"),
    sync_to_thread=True,
    tags=["health"],
)
def ready(request: Request[Any, Any, Any]) -> Response[Ready]:
    """Whether it can do its work: 503 if not. Whoever is not signed in sees no names and no words."""
    from holdfast.web.security.callers import caller_of

    state = request.app.state
    found = state.health.look()
    named = caller_of(request).is_somebody
    shown = found if named else [msgspec.structs.replace(one, name=one.kind, problem="") for one in found]
    fit = all(one.well for one in found if one.needed) and not state.leaving.is_set()
    record = Ready(ready=fit, degraded=not all(one.well for one in found), dependencies=shown)
    return Response(record, status_code=200 if fit else 503)


health_routes = [live, ready]
