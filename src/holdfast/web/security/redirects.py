"""Where a browser is sent after it signed in: to a place of this server, and nowhere else."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Request

__all__ = ["after_login", "safe_next"]

_LONGEST = 1000


def safe_next(wanted: str) -> str:
    """`wanted` if it is a path of this server; else the first page.

    Browsers read `//host`, `/\\host` and paths with control characters or backslashes as another host's.
    """
    if not wanted.startswith("/") or wanted.startswith("//") or len(wanted) > _LONGEST:
        return "/"
    if "\\" in wanted or any(not one.isprintable() or one.isspace() for one in wanted):
        return "/"
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or parts.path.startswith("//"):
        return "/"
    path = quote(parts.path, safe="/%@:+~.,=-_")
    query = quote(parts.query, safe="=&%+:/@.,~-_")
    return path + (f"?{query}" if query else "")


def after_login(request: Request[Any, Any, Any]) -> str:
    """The page that was asked for, as the value of a query."""
    path = request.scope.get("path", "/")
    query = request.scope.get("query_string", b"").decode("ascii", "replace")
    return quote(safe_next(path + (f"?{query}" if query else "")), safe="/")
