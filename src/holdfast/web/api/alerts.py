"""What other systems tell: alerts of Prometheus, by Alertmanager's webhook (version 4)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.concurrency import sync_to_thread

from holdfast.control.authority.acting import acting_as
from holdfast.web.security.callers import caller_of
from holdfast.web.security.policies import needs

__all__ = ["alert_routes"]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of the incidents that the alerts opened, or were about."""

    incidents: list[str]


@post("/api/v1/alerts/alertmanager", opt=needs("incident.change"), status_code=200, include_in_schema=False)
async def take_alerts(request: Request[Any, Any, Any]) -> Response[Taken]:
    """Take a notification of Alertmanager: each alert opens an incident, or resolves it. Durable when answered."""
    body = await request.body()
    return Response(await sync_to_thread(_taken, request, body))


def _taken(request: Request[Any, Any, Any], body: bytes) -> Taken:
    from holdfast.control.incidents.receiving import receive_alerts

    with acting_as(caller_of(request).principal):
        return Taken(incidents=[one.id for one in receive_alerts(request.app.state.service.sites(), body)])


alert_routes = [take_alerts]
