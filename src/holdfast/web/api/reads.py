"""How a GET of a verb is answered: the record, or a page of its list; its tag; how old it is.

`Age` says how old (RFC 9111, seconds), `Cache-Status` whether it was made for this request, and for how long it is
still good (RFC 9211): below zero it should be newer, and `detail` names what is in the way.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.concurrency import sync_to_thread

from holdfast.authority.principals import Principal
from holdfast.control.authority.acting import Noted
from holdfast.control.service.context import Service
from holdfast.control.service.operations import Asking, Operation
from holdfast.web.api.answers import not_modified, tag_of
from holdfast.web.api.pages import cut, next_page
from holdfast.web.api.shared import Asked, Given, Shared

__all__ = ["read"]

_PAGES: Final = 32  # of one answer, that are kept


class _Page(NamedTuple):
    """`going_on`: the cursor of what follows; empty at the end."""

    content: bytes
    tag: str
    going_on: str


async def read(
    request: Request[Any, Any, Any],
    operation: Operation,
    asking: Asking,
    arguments: Any,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    fresh: bool = False,
) -> Response[Any]:
    """Raises what the verb raises, UsageError for a cursor that is none."""
    if not operation.keeps:
        record = await sync_to_thread(operation.does, asking, arguments)
        return _answer(request, await sync_to_thread(_encoded, operation, record, limit, cursor), {})
    shared: Shared = request.app.state.shared
    asked = Asked(
        (operation.name, msgspec.json.encode(arguments)),
        asking.principal,
        operation.keeps,
        partial(operation.does, asking, arguments),
        partial(_may, asking.service),
    )
    given = await shared.get(asked, fresh=fresh)
    page: _Page | None = given.answer.pages.get((limit, cursor))
    if page is None:
        page = await sync_to_thread(_encoded, operation, given.answer.record, limit, cursor)
        if len(given.answer.pages) < _PAGES:
            given.answer.pages[limit, cursor] = page
    return _answer(request, page, {"Age": str(int(given.age)), "Cache-Status": _status(given)})


def _may(service: Service, principal: Principal, noted: list[Noted]) -> None:
    authority = service.authority()
    for one in noted:
        authority.authorise(principal, one.action, one.resource, to=one.to)


def _encoded(operation: Operation, record: Any, limit: int | None, cursor: str | None) -> _Page:
    going_on = ""
    if operation.pages:
        record, going_on = cut(record, operation.pages, limit, cursor)
    content = msgspec.json.encode(record)
    return _Page(content, tag_of(operation.version(record) if operation.version is not None else content), going_on)


def _answer(request: Request[Any, Any, Any], page: _Page, more: dict[str, str]) -> Response[Any]:
    headers = {"ETag": page.tag, "Cache-Control": "private, no-cache"} | more
    link = next_page(request, page.going_on)
    if link:
        headers["Link"] = link
    if not_modified(request, page.tag):
        return Response(None, status_code=304, headers=headers)
    return Response(page.content, media_type="application/json", headers=headers)


def _status(given: Given) -> str:
    if given.how != "hit":
        return f"holdfast; fwd={given.how}"
    detail = "" if given.problem is None else f"; detail={given.problem.code}"
    return f"holdfast; hit; ttl={int(given.left // 1)}{detail}"
