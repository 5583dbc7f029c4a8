"""Templates into pages. Everything that is shown is escaped; nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.response import Response

from holdfast.version import VERSION
from holdfast.web.pages import drawing
from holdfast.web.pages.words import FILTERS
from holdfast.web.security.callers import caller_of

if TYPE_CHECKING:
    from litestar import Request

__all__ = ["STATIC", "encoded", "environment", "page", "prepare_pages", "static_bytes", "static_tag"]

STATIC: Final = {
    "holdfast.css": "text/css; charset=utf-8",
    "holdfast.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
_UNSEEN: Final = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # controls, but for tabs and ends of lines
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # directions of writing (Unicode Standard Annex 9)
    "\\u2028\\u2029\\ud800-\\udfff]"  # ends of lines and paragraphs; halves of characters, which no page can hold
)
_NAVIGATION: Final = (
    ("Now", (("/", "Assets"), ("/sites", "Sites"), ("/incidents", "Incidents"))),
    ("Recover", (("/runs", "Recoveries"), ("/drills", "Drills"), ("/catalogue", "Start one"))),
    ("Prove", (("/evidence", "Evidence"), ("/findings", "Findings"), ("/audit", "Audit log"), ("/keys", "Keys"))),
)


@cache
def environment() -> Environment:
    """Jinja2 with autoescape for every template, whatever its name; a name that is not given is a defect. What would
    turn around, hide or break the words beside it is shown as `�`, wherever it comes from.
    """
    made = Environment(
        loader=PackageLoader("holdfast.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    made.globals.update(
        navigation=_NAVIGATION,
        version=VERSION,
        css=f"/static/holdfast.css?v={static_tag('holdfast.css')}",
        js=f"/static/holdfast.js?v={static_tag('holdfast.js')}",
        draw=drawing,
    )
    return made


def _visible(value: Any) -> Any:
    return _UNSEEN.sub("�", value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def prepare_pages() -> None:
    """Compile all templates, which the first page of each kind would wait for."""
    for name in environment().list_templates():
        environment().get_template(name)


@cache
def static_bytes(name: str) -> bytes:
    return files("holdfast.web").joinpath("static", name).read_bytes()


@cache
def static_tag(name: str) -> str:
    """Changes with the content: what a browser keeps is never of another version."""
    return hashlib.sha256(static_bytes(name)).hexdigest()[:12]


def page(
    request: Request[Any, Any, Any],
    template: str,
    record: msgspec.Struct | None,
    *,
    title: str,
    here: str = "",
    status: int = 200,
    **more: Any,
) -> Response[bytes]:
    """`here`: the entry of the navigation that is marked. `more`: words of the page itself, no facts."""
    caller = caller_of(request)
    service = getattr(request.app.state, "service", None)
    text = (
        environment()
        .get_template(template)
        .render(
            page=record,
            title=title,
            here=here,
            viewer=caller,
            who=str(caller.principal) if caller.is_somebody else "",
            organisation="" if service is None else service.organisation,
            query=f"?{request.url.query}" if request.url.query else "",
            **more,
        )
    )
    return Response(text.encode(), media_type="text/html; charset=utf-8", status_code=status, headers=_PRIVATE)


_PRIVATE: Final = {"Cache-Control": "no-store"}


def encoded(record: msgspec.Struct) -> Response[bytes]:
    """The JSON twin."""
    return Response(msgspec.json.encode(record), media_type="application/json", headers=_PRIVATE)
