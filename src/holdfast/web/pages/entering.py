"""Signing in, and allowing a command line to act for one."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from holdfast.web.pages.rendering import page
from holdfast.web.security.devices import waiting_device
from holdfast.web.security.policies import open_to_all, signed_in

__all__ = ["ROUTES"]

_FAILED = {
    "refused": "This key or token was not accepted. Look whether it has ended, was revoked, or is of another place.",
    "slow": "There were too many tries from your address. Wait a minute.",
    "expired": "Your session has ended. Sign in again.",
}
_DONE = {
    "allow": ("good", "The command line is signed in as you now. You can close this page."),
    "deny": ("risk", "The command line was refused. Nothing was given to it."),
    "slow": ("bad", "There were too many tries from your address. Wait a minute."),
    "unknown": ("bad", "There is no such code, or it has ended: codes live for some minutes. Ask for a new one."),
}


@get(
    "/login",
    opt=open_to_all("whoever is not signed in signs in here"),
    include_in_schema=False,
    sync_to_thread=False,
    name="page:login",
)
def login(request: Request[Any, Any, Any]) -> Response[bytes]:
    """`next`: where to go afterwards; the server takes paths of its own alone."""
    failed = _FAILED.get(str(request.query_params.get("failed", "")), "")
    return page(request, "login.html", None, title="Sign in", failed=failed, after=_word(request, "next"))


@get(
    "/device",
    opt=signed_in("whoever is signed in may let a command line act for them"),
    include_in_schema=False,
    sync_to_thread=True,
    name="page:device",
)
def device(request: Request[Any, Any, Any]) -> Response[bytes]:
    """RFC 8628: the code that `holdfast login` shows is confirmed here."""
    kind, done = _DONE.get(_word(request, "done"), ("", ""))
    code = "" if done else _word(request, "user_code")
    asks = waiting_device(request, code) if code else None
    if code and asks is None:
        kind, done = _DONE["unknown"]
    return page(
        request,
        "device.html",
        None,
        title="A command line asks",
        user_code=code if asks is not None else "",
        label="" if asks is None else asks.label,
        scopes=None if asks is None or asks.scopes is None else asks.scopes.split(),
        done=done,
        kind=kind,
    )


def _word(request: Request[Any, Any, Any], name: str) -> str:
    return str(request.query_params.get(name, ""))[:2000]


ROUTES: list[HTTPRouteHandler] = [login, device]
