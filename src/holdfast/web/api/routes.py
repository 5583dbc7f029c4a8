"""All routes of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from holdfast.web.api.alerts import alert_routes
from holdfast.web.api.events import event_routes
from holdfast.web.api.verbs import verb_routes

if TYPE_CHECKING:
    from holdfast.control.service.operations import Operation

__all__ = ["api_routes"]


def api_routes(operations: Sequence[Operation]) -> list[ControllerRouterHandler]:
    """Those of the verbs, and those that only a server has."""
    return [*verb_routes(operations), *event_routes, *alert_routes]
