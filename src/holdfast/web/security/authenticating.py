"""From what a request shows to who asks: a token or API key, a token of a device, a session's cookie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from litestar.connection import ASGIConnection

from holdfast.clock import NANOSECONDS
from holdfast.control.authority.emergency import in_session
from holdfast.control.service.kept import Kept
from holdfast.control.service.people import decode_known, given_to_device, remembered
from holdfast.errors import CredentialError
from holdfast.web.security.callers import NOBODY, Caller
from holdfast.web.settings import ServerSettings

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["DEVICE_TOKEN", "identify", "identify_credential"]

DEVICE_TOKEN: Final = re.compile(r"hft_[A-Za-z0-9_-]{43}")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_BEARER_MAX: Final = 16 << 10
_TOUCH_NS: Final = 30 * NANOSECONDS  # a session that was seen so lately is not written again


def identify(
    connection: ASGIConnection[Any, Any, Any, Any],
    service: Service,
    kept: Kept,
    how: ServerSettings,
    *,
    touch: bool = True,
) -> Caller:
    """Who asks. What follows `Authorization` decides alone: a cookie beside it is not looked at.

    Whoever cannot be identified by what they show is nobody, with `problem`. Asks an identity provider at times.
    `touch`: whether a session counts as used by it.
    """
    given = connection.headers.getall("authorization", [])
    if given:
        return _by_header(given, service, kept)
    secret = connection.cookies.get(how.cookie, "")
    if not secret:
        return NOBODY
    return _by_session(secret, service, kept, how, touch)


def _by_header(given: list[str], service: Service, kept: Kept) -> Caller:
    scheme, _, text = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not text.isascii() or len(text) > _BEARER_MAX:
        return Caller(problem="`Authorization` is to say `Bearer`, and a token or an API key, once")
    try:
        return Caller(principal=identify_credential(text.strip(), service, kept), how="bearer")
    except CredentialError as error:
        return Caller(problem=error.message)


def identify_credential(text: str, service: Service, kept: Kept) -> Any:
    """The principal of a token, an API key, or a token of a device. Raises CredentialError, which is recorded."""
    authority = service.authority()
    if not text.startswith("hft_"):
        return authority.identify_bearer(text.encode())
    row = kept.token(text) if DEVICE_TOKEN.fullmatch(text) else None
    if row is None or row.until <= service.clock.now_ns():
        raise CredentialError("this token is not known here, or has expired", hint="`holdfast login` gets another one")
    person = remembered(decode_known(row.who), authority.home, f"a token that was given to {row.label}")
    scopes = None if row.scopes is None else frozenset(row.scopes.split())
    return in_session(authority.home, given_to_device(person, row.id, row.label, scopes, row.until))


def _by_session(secret: str, service: Service, kept: Kept, how: ServerSettings, touch: bool) -> Caller:
    row = kept.session(secret) if _SECRET.fullmatch(secret) else None
    now = service.clock.now_ns()
    if row is None or row.until <= now or row.seen + int(how.session_idle_s * NANOSECONDS) <= now:
        if row is not None:
            kept.end_session(secret)
        return Caller(problem="the session has ended")
    home = service.authority().home
    try:
        principal = in_session(home, remembered(decode_known(row.who), home, "a session that they began here"))
    except CredentialError as error:
        kept.end_session(secret)
        return Caller(problem=error.message)
    if touch and row.seen + _TOUCH_NS <= now:
        kept.touch_session(secret, now)
    return Caller(principal=principal, how="session", csrf=row.csrf, session=secret)
