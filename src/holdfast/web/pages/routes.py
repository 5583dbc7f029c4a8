"""The routes of the dashboard. `page_routes`: all of them, for `holdfast.web.app`."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from holdfast.web.pages import entering, gallery, looking, pressing, serving

__all__ = ["page_routes"]

page_routes: list[HTTPRouteHandler] = [
    *looking.ROUTES,
    *pressing.ROUTES,
    *entering.ROUTES,
    *serving.ROUTES,
    *gallery.ROUTES,
]
