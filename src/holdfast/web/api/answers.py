"""Entity tags: answers that a client has already, and decisions by what a client has seen (RFC 9110, 13.1)."""

from __future__ import annotations

import hashlib
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException

__all__ = ["not_modified", "require_match", "tag_of"]


def tag_of(content: bytes | str) -> str:
    """A strong tag of bytes, or of a version."""
    data = content.encode() if isinstance(content, str) else content
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def not_modified(request: Request[Any, Any, Any], tag: str) -> bool:
    """Whether the client has it already (If-None-Match, compared weakly)."""
    listed = request.headers.get("if-none-match", "")
    return listed.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in listed.split(",")]


def require_match(request: Request[Any, Any, Any], tag: str) -> None:
    """Raises HTTPException (412) unless If-Match lists it."""
    listed = [one.strip() for one in request.headers.get("if-match", "").split(",")]
    if tag not in listed and "*" not in listed:
        raise HTTPException(
            status_code=412, detail="it has changed since you looked at it: look again, and decide again"
        )
