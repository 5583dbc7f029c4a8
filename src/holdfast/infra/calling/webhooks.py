"""Webhooks out: one signed POST, over https (plainly only to this machine), no redirects followed."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import FailedError, RefusedError
from holdfast.infra.calling.commands import AgainError, scrubbed
from holdfast.infra.calling.signing import HEADER, KEY_HEADER, signature_of
from holdfast.outgoing import NoRedirects

__all__ = ["post_signed", "reach_problem", "url_problem"]

_AGAIN: Final = (408, 409, 421, 425, 429)  # and all of 500 to 599
_REACH_SECONDS: Final = 5.0
_ANSWER_MAX: Final = 4096


def url_problem(url: str) -> str | None:
    """Why nothing is sent there; None: it may be."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https") or not host:
        return "a webhook is a URL of the kind https"
    if parts.username is not None or parts.password is not None:
        return "a URL holds no password: messages are signed"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"{host} is not this machine, and what goes there goes over https"
    return None


def reach_problem(url: str) -> str | None:
    """Whether somebody listens there; nothing is sent."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), _REACH_SECONDS):
            return None
    except OSError as error:
        return f"{parts.hostname}:{port} does not answer ({error.strerror or error})"


def post_signed(
    url: str,
    body: bytes | Mapping[str, object],
    secret: bytes,
    key: str,
    seconds: float,
    *,
    expect: int = 0,
    clock: Clock = SYSTEM_CLOCK,
) -> int:
    """POST it, signed now, with `key` as its idempotency key. Returns the status: 2xx, or `expect` where that is given.

    Raises RefusedError (the URL), FailedError; its `retry` says whether another attempt may help.
    """
    problem = url_problem(url)
    if problem is not None:
        raise RefusedError(f"nothing is sent to {_named(url)}: {problem}", object_name=_named(url))
    data = body if isinstance(body, bytes) else msgspec.json.encode(dict(body), order="sorted")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "holdfast",
        HEADER: signature_of(secret, data, clock.now_ns() // NANOSECONDS),
        KEY_HEADER: key,
    }
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")  # noqa: S310 - http(s): see above
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    opener = urllib.request.build_opener(
        NoRedirects, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=seconds) as answer:
            status = int(answer.status)
            answer.read(_ANSWER_MAX)
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AgainError(f"{_named(url)} does not answer ({scrubbed(str(error))})", object_name=_named(url)) from error
    if status == expect or (not expect and 200 <= status < 300):
        return status
    kind = AgainError if status in _AGAIN or status >= 500 else FailedError
    raise kind(f"{_named(url)} says {status}", object_name=_named(url))


def _named(url: str) -> str:
    """Without what stands after `?`: it may be a token."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "a webhook"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
