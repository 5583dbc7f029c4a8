"""Lists in pages: `limit` and `cursor`, and the next page's address in the header Link (RFC 8288)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request

from holdfast.errors import UsageError

__all__ = ["cut", "next_page"]


class _Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After which element: its digest, and its place, should it not be there any more."""

    after: str
    place: int


def cut(record: Any, name: str, limit: int | None, cursor: str | None) -> tuple[Any, str]:
    """The record with a part of its list, and the cursor of what follows; empty at the end. Raises UsageError.

    What is added or goes between two pages moves nothing: the next page begins after the last element that was seen.
    """
    listed = list(getattr(record, name))
    begin = 0 if cursor is None else _begin(listed, _decoded(cursor))
    end = len(listed) if limit is None else begin + limit
    part = listed[begin:end]
    going_on = ""
    if end < len(listed) and part:
        data = msgspec.json.encode(_Cursor(_digest(part[-1]), end - 1))
        going_on = base64.urlsafe_b64encode(data).decode().rstrip("=")
    if begin == 0 and end >= len(listed):
        return record, ""
    return msgspec.structs.replace(record, **{name: part}), going_on


def next_page(request: Request[Any, Any, Any], cursor: str) -> str:
    """The value of Link; empty at the end."""
    if not cursor:
        return ""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = quote(request.scope.get("path", ""))  # it was decoded, and may hold what ends an address, or a header
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def _begin(listed: list[Any], cursor: _Cursor) -> int:
    near = listed[cursor.place] if cursor.place < len(listed) else None
    if near is not None and _digest(near) == cursor.after:
        return cursor.place + 1
    for place, one in enumerate(listed):
        if _digest(one) == cursor.after:
            return place + 1
    return min(cursor.place + 1, len(listed))


def _digest(one: Any) -> str:
    """Of what names an element, where it has a name: the rest of it may change between two pages."""
    for field in ("id", "incident", "run", "key", "name", "asset"):
        value = getattr(one, field, None)
        if isinstance(value, str) and value:
            return hashlib.sha256(f"{field}={value}".encode()).hexdigest()[:16]
    return hashlib.sha256(msgspec.json.encode(one)).hexdigest()[:16]


def _decoded(text: str) -> _Cursor:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        found = msgspec.json.decode(data, type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError("this is no cursor: take it from `next` in the header Link") from error
    if found.place < 0:
        raise UsageError("this is no cursor: take it from `next` in the header Link")
    return found
