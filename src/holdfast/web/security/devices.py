"""Letting a device in, as RFC 8628 has it: it shows a code, a person who is signed in confirms it, it gets a token.

What the device then is: that person, for a few hours, within the scopes that it asked for. `client_id` says what the
person reads: it proves nothing.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect

from holdfast.authority.actions import ACTIONS, GROUPS
from holdfast.clock import NANOSECONDS
from holdfast.control.service.kept import DeviceCode, TokenRow
from holdfast.control.service.people import encode_known, known_of
from holdfast.errors import HoldfastError
from holdfast.web.security.callers import caller_of
from holdfast.web.security.guarding import address_of
from holdfast.web.security.policies import open_to_all, signed_in

__all__ = ["device_routes", "waiting_device"]

_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, 6.1: no vowels, so that no words come out
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ @-]{0,63}")
_WAITING_MAX: Final = 1000
_INTERVAL_S: Final = 5
_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


class DeviceWaits(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of RFC 8628, 3.2."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class DeviceToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of RFC 6749, 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class DeviceRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of RFC 6749, 5.2 and RFC 8628, 3.5."""

    error: str
    error_description: str


@post(
    "/api/v1/device/code",
    opt=open_to_all("a device that is to be let in has nothing to show yet"),
    sync_to_thread=True,
    status_code=200,
    include_in_schema=False,
)
def ask_for_code(request: Request[Any, Any, Any], data: Form) -> Response[Any]:
    """Begin: `client_id` says who asks, `scope` limits what the token may do (actions and groups of policies)."""
    state = request.app.state
    label, scope = data.get("client_id", ""), data.get("scope")
    if not _LABEL.fullmatch(label):
        return _refused("invalid_request", "`client_id` says who asks: up to 64 letters, digits, spaces, . _ @ -")
    if scope is not None and not set(scope.split()) <= set(ACTIONS) | set(GROUPS):
        return _refused("invalid_scope", "`scope` lists actions and groups of policies")
    if state.codes.take(address_of(request)):
        return _refused("slow_down", "this address asks for too many codes")
    now = state.service.clock.now_ns()
    lasts = int(state.settings.device_s)
    code = "".join(secrets.choice(_LETTERS) for _ in range(8))
    secret = secrets.token_urlsafe(32)
    row = DeviceCode(code, label, scope, now, now + lasts * NANOSECONDS, 0, "", None)
    if not state.kept.add_device(secret, row, most=_WAITING_MAX):
        return _refused("slow_down", "too many devices wait already")
    scheme = "https" if state.settings.secure else "http"
    here = f"{scheme}://{request.headers.get('host', '')}/device"
    shown = f"{code[:4]}-{code[4:]}"
    answer = DeviceWaits(
        device_code=secret,
        user_code=shown,
        verification_uri=here,
        verification_uri_complete=f"{here}?user_code={shown}",
        expires_in=lasts,
        interval=_INTERVAL_S,
    )
    return Response(answer, headers={"Cache-Control": "no-store"})


@post(
    "/api/v1/device/token",
    opt=open_to_all("the code of the device is what it shows"),
    sync_to_thread=True,
    status_code=200,
    include_in_schema=False,
)
def ask_for_token(request: Request[Any, Any, Any], data: Form) -> Response[Any]:
    """Whether the person has answered: `grant_type`, `device_code`."""
    state = request.app.state
    if data.get("grant_type") != _GRANT:
        return _refused("unsupported_grant_type", f"`grant_type` is {_GRANT}")
    secret = data.get("device_code", "")[:200]
    now = state.service.clock.now_ns()
    row = state.kept.device(secret)
    if row is None or row.answer == "taken":
        return _refused("invalid_grant", "this code is not known here")
    if row.until <= now:
        return _refused("expired_token", "nobody confirmed the code in time")
    early = now - row.polled < (_INTERVAL_S - 1) * NANOSECONDS
    state.kept.poll_device(secret, now)
    if row.answer == "deny":
        return _refused("access_denied", "the person said no")
    if row.answer != "allow" or row.who is None:
        if early:
            return _refused("slow_down", f"ask every {_INTERVAL_S} s")
        return _refused("authorization_pending", "nobody has confirmed the code yet")
    lasts = int(state.settings.device_token_s)
    token = f"hft_{secrets.token_urlsafe(32)}"
    made = TokenRow(secrets.token_hex(8), row.label, row.who, row.scopes, now, now + lasts * NANOSECONDS)
    if not state.kept.take_device(secret, token, made):
        return _refused("invalid_grant", "this code is not known here")
    answer = DeviceToken(access_token=token, token_type="Bearer", expires_in=lasts, scope=row.scopes or "")  # noqa: S106
    return Response(answer, headers={"Cache-Control": "no-store"})


@post(
    "/session/device",
    opt=signed_in("each person lets devices in in their own name"),
    status_code=303,
    include_in_schema=False,
)
async def confirm_device(request: Request[Any, Any, Any]) -> Response[Any]:
    """A form with `user_code` and `answer` (`allow`, `deny`), of a session."""
    from litestar.concurrency import sync_to_thread

    form = await request.form()
    code, answer = str(form.get("user_code", "")), str(form.get("answer", ""))
    done = await sync_to_thread(_confirmed, request, code, answer)
    return Redirect(f"/device?done={done}", status_code=303)


def waiting_device(request: Request[Any, Any, Any], shown: str) -> DeviceCode | None:
    """What asks under this code, to be shown before anybody answers; None where nothing does, or after many tries."""
    state = request.app.state
    if state.failures.wait(address_of(request)):
        return None
    found: DeviceCode | None = state.kept.device_of_code(_letters(shown))
    if found is None or found.answer or found.until <= state.service.clock.now_ns():
        state.failures.take(address_of(request))
        return None
    return found


def _letters(shown: str) -> str:
    return re.sub(r"[^A-Z]", "", shown.upper())[:8]


def _confirmed(request: Request[Any, Any, Any], shown: str, answer: str) -> str:
    state = request.app.state
    caller = caller_of(request)
    code = _letters(shown)
    if caller.how != "session" or answer not in ("allow", "deny"):
        return "unknown"
    try:
        who = encode_known(known_of(caller.principal))
        if state.failures.wait(address_of(request)):
            return "slow"
        if state.kept.answer_device(code, answer, who, state.service.clock.now_ns()):
            return answer
    except HoldfastError:
        return "unknown"
    state.failures.take(address_of(request))  # nobody finds a code by trying
    return "unknown"


@post(
    "/api/v1/device/end",
    opt=signed_in("whoever has a token may end it"),
    sync_to_thread=True,
    status_code=204,
    include_in_schema=False,
)
def end_token(request: Request[Any, Any, Any]) -> None:
    """The token that this request shows counts for nothing from now on."""
    _, _, token = request.headers.get("authorization", "").partition(" ")
    if token.startswith("hft_"):
        request.app.state.kept.end_token(token.strip())


def _refused(error: str, why: str) -> Response[Any]:
    refused = DeviceRefused(error=error, error_description=why)
    return Response(refused, status_code=400, headers={"Cache-Control": "no-store"})


device_routes = [ask_for_code, ask_for_token, confirm_device, end_token]
