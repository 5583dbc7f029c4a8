"""Signing in and out with a browser: POST /session, /session/end.

A session begins with a new secret, whatever the browser showed before: nobody can make another one's session theirs by
having set a cookie. It ends after a while, when nobody uses it, and with what was shown at its beginning.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from holdfast.authority.principals import Principal
from holdfast.clock import NANOSECONDS
from holdfast.control.service.kept import SessionRow
from holdfast.control.service.people import encode_known, known_of
from holdfast.errors import CredentialError
from holdfast.web.security.authenticating import identify_credential
from holdfast.web.security.browsers import require_own_pages
from holdfast.web.security.guarding import address_of
from holdfast.web.security.policies import open_to_all, signed_in
from holdfast.web.security.redirects import safe_next
from holdfast.web.settings import ServerSettings

__all__ = ["begin_session", "session_routes"]

_CREDENTIAL_MAX = 16 << 10


def begin_session(request: Request[Any, Any, Any], principal: Principal) -> str:
    """The secret of a new session of theirs. Raises CredentialError, FailedError."""
    state = request.app.state
    settings: ServerSettings = state.settings
    now = state.service.clock.now_ns()
    longest = now + int(settings.session_longest_s * NANOSECONDS)
    until = longest if principal.until_ns is None else min(longest, principal.until_ns)
    secret = secrets.token_urlsafe(32)
    known = encode_known(known_of(principal))
    state.kept.add_session(secret, SessionRow(secrets.token_urlsafe(32), known, now, now, until))
    return secret


@post(
    "/session",
    opt=open_to_all("signing in is for those who are not signed in"),
    status_code=303,
    include_in_schema=False,
)
async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """A form with `credential`, a token or an API key, and `next`: where to go on."""
    from litestar.concurrency import sync_to_thread

    require_own_pages(request)
    form = await request.form()
    return await sync_to_thread(_signed_in, request, _text(form.get("credential")), _text(form.get("next")))


def _signed_in(request: Request[Any, Any, Any], credential: str, wanted: str) -> Response[Any]:
    state = request.app.state
    goal = safe_next(wanted)
    if state.failures.wait(address_of(request)):
        return _back("slow", goal)
    try:
        if not credential.strip() or len(credential) > _CREDENTIAL_MAX or not credential.strip().isascii():
            raise CredentialError("this is neither a token nor an API key")
        secret = begin_session(request, identify_credential(credential.strip(), state.service, state.kept))
    except CredentialError:
        state.failures.take(address_of(request))
        state.metrics.refused()
        return _back("refused", goal)
    before = request.cookies.get(state.settings.cookie, "")
    if before:
        state.kept.end_session(before)
    return Redirect(goal, status_code=303, cookies=[_cookie(state.settings, secret)])


@post(
    "/session/end",
    opt=signed_in("whoever is signed in may sign out"),
    sync_to_thread=True,
    status_code=303,
    include_in_schema=False,
)
def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    state = request.app.state
    secret = request.cookies.get(state.settings.cookie, "")
    if secret:
        state.kept.end_session(secret)
    gone = _cookie(state.settings, "")
    gone.max_age = 0
    return Redirect("/login", status_code=303, cookies=[gone], headers={"Clear-Site-Data": '"cache", "storage"'})


def _cookie(settings: ServerSettings, secret: str) -> Cookie:
    return Cookie(
        key=settings.cookie,
        value=secret,
        path="/",
        httponly=True,
        secure=settings.secure,
        samesite="strict",
        max_age=int(settings.session_longest_s),
    )


def _back(why: str, goal: str) -> Response[Any]:
    return Redirect(f"/login?failed={why}&next={quote(goal, safe='/')}", status_code=303)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


session_routes = [sign_in, sign_out]
