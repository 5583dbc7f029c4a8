"""`/api/v1/openapi.json`: what the API is, as OpenAPI 3.1. `docs/openapi.json` is this text."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Tag

from holdfast.version import VERSION
from holdfast.web.security.policies import open_to_all

__all__ = ["describe", "openapi_routes", "openapi_text"]

_TEXT = """\
Each answer is the record that the command of the same verb prints with `--json`, or that a page shows. Errors are
RFC 9457 problems with the codes of docs/errors.md. A POST with the header `Idempotency-Key` happens once: sent again
within a day, it gets the same answer. See docs/api.md."""


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Holdfast",
        version=f"v1 ({VERSION})",
        description=_TEXT,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="A token (OpenID Connect), an API key, or a device's token.",
                ),
            }
        ),
        security=[{"bearer": []}],
        tags=[
            Tag(name="health", description="Whether the server runs, and what it depends on."),
        ],
    )


def describe(app: Litestar) -> None:
    """Have the application describe itself, without the routes that Litestar would add: those load scripts from other
    hosts, and say nothing of who may use them.
    """
    app.plugins.get(OpenAPIPlugin)._openapi_config = openapi_config()


def openapi_text(app: Litestar) -> bytes:
    """Canonical: the same application, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(app.openapi_schema.to_schema(), order="sorted"), indent=1) + b"\n"


@get(
    "/api/v1/openapi.json",
    opt=open_to_all("the description of the API is in the documentation, too"),
    sync_to_thread=True,
    include_in_schema=False,
)
def openapi_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The description of this API: made once, as anybody may ask for it."""
    state = request.app.state
    if "openapi" not in state:
        state["openapi"] = openapi_text(request.app)
    return Response(state["openapi"], media_type="application/json")


openapi_routes = [openapi_page]
