"""Pages of errors, for browsers: what was tried, and what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.web.pages.rendering import page

if TYPE_CHECKING:
    from litestar import Request
    from litestar.response import Response

__all__ = ["error_page"]

_NAMES = {
    400: "This cannot be asked",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Not done this way",
    409: "This was refused",
    413: "Too much at once",
    422: "This cannot be done",
    429: "Too often",
    500: "Something went wrong here",
    503: "Not possible now",
}


def error_page(request: Request[Any, Any, Any], status: int, code: str, message: str, hint: str) -> Response[bytes]:
    """`code`: of `holdfast.errors`, or of HTTP; `hint` may be empty."""
    name = _NAMES.get(status) or ("Something went wrong here" if status >= 500 else "This could not be done")
    return page(
        request, "error.html", None, title=name, status=status, code=code, message=message, hint=hint, number=status
    )
