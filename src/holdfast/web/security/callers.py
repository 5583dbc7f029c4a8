"""Who asks: on every request, before anything of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from holdfast.authority.principals import ANONYMOUS, Principal

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection

__all__ = ["Caller", "NOBODY", "caller_of"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """`how`: by a session's cookie, by what followed `Authorization: Bearer`, by a client certificate, or not at all.

    `csrf`: what forms of a session carry in `_csrf` (scripts: in the header X-CSRF-Token); empty without a session.
    `problem`: why what was shown counts for nothing, in words.
    """

    principal: Principal = ANONYMOUS
    how: Literal["session", "bearer", "certificate", ""] = ""
    csrf: str = ""
    session: str = ""
    problem: str = ""

    @property
    def is_somebody(self) -> bool:
        return self.principal.kind != "Anonymous"


NOBODY = Caller()


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Whoever the middleware found; NOBODY outside of it."""
    found = connection.scope.get("user")
    return found if isinstance(found, Caller) else NOBODY
