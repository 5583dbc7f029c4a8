"""Verbs that a server does for others: what each takes and gives, which action of the policies it is, where it lies.

A verb gives the record that the command of the same name prints with `--json`. The records are the command line's, so
whoever puts a server together hands the table in (`holdfast.cli.serving`); the API is made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from holdfast.authority.principals import Principal
from holdfast.control.service.context import Service

__all__ = ["Asking", "Memo", "Nothing", "Operation"]


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb without arguments."""


class Memo:
    """What a verb notes before it acts, to come to the same when the request comes again after a crash."""

    def __init__(self, kept: bytes | None = None, keep: Callable[[bytes], None] = lambda data: None) -> None:
        self.kept = kept
        self._keep = keep

    def note(self, data: bytes) -> None:
        """Durable when it returns."""
        self.kept = data
        self._keep(data)


class Asking(NamedTuple):
    """Who asks, of which server. `key`: of the request that happens once: the same text when it comes again; empty
    where the client gave none.
    """

    service: Service
    principal: Principal
    memo: Memo
    key: str = ""


class Operation(NamedTuple):
    """`name`: of the command, `recover.plan`. `path`: below `/api/v1`, with parts like `{run:str}`, which are fields of
    `takes`; the other fields of `takes` are the query of a GET, the body of a POST.

    `on`, `part`: what the action is done to, and which part of the path names it. `pages`: the list in the answer that
    is cut into pages. `version`: what the ETag says of an answer, by default the bytes of it; `guards`: the name of the
    GET whose version a request may ask for with If-Match. `keeps`: of a GET, so many seconds its answer may be given
    to whoever may have it, before it is made anew; 0: it is made for each request.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    action: str
    takes: type[msgspec.Struct]
    gives: Any
    does: Callable[[Asking, Any], Any]
    text: str
    on: Literal["plane", "vault", "asset", "plan", "site"] = "plane"
    part: str = ""
    tag: str = ""
    status: int = 200
    pages: str = ""
    version: Callable[[Any], str] | None = None
    guards: str = ""
    example: Any = None
    keeps: float = 0.0
