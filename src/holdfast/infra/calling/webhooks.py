"""Webhooks out: one signed POST, over https (plainly only to this machine), no redirects followed, no proxy used."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import FailedError, RefusedError
from holdfast.infra.calling.commands import AgainError, scrubbed
from holdfast.outgoing import is_loopback, posted
from holdfast.trust.webhook_signatures import key_of, message_id, signed_headers

__all__ = ["is_passing", "post_signed", "reach_problem", "url_problem"]

_AGAIN: Final = (408, 409, 421, 425, 429)  # and all of 500 to 599
_REACH_SECONDS: Final = 5.0


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
    if parts.scheme == "http" and not is_loopback(host):
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


def is_passing(status: int) -> bool:
    """Whether another attempt may get another answer."""
    return status in _AGAIN or status >= 500


def post_signed(
    url: str,
    body: bytes | Mapping[str, object],
    secrets: str | Sequence[str],
    key: str,
    seconds: float,
    *,
    expect: int = 0,
    again: Callable[[int], bool] = is_passing,
    ca: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> int:
    """POST it, signed now with each of these secrets, as the message that `key` names at each attempt; `seconds` in
    all. Returns the status: 2xx, or `expect` where that is given. `ca`: a file of certificates beside the system's.

    Raises RefusedError (the URL), FailedError; its `retry` says whether another attempt may help, of a status as
    `again` says.
    """
    problem = url_problem(url)
    if problem is not None:
        raise RefusedError(f"nothing is sent to {_named(url)}: {problem}", object_name=_named(url))
    data = body if isinstance(body, bytes) else msgspec.json.encode(dict(body), order="sorted")
    keys = [key_of(one) for one in ([secrets] if isinstance(secrets, str) else secrets)]
    headers = signed_headers(keys, message_id(key), data, clock.now_ns() // NANOSECONDS)
    context = _context(ca, url) if url.lower().startswith("https:") else None
    try:
        status = posted(url, data, {"User-Agent": "holdfast", **headers}, seconds, context).status
    except (OSError, ValueError, http.client.HTTPException, AttributeError) as error:
        raise AgainError(f"{_named(url)} does not answer ({_why(error)})", object_name=_named(url)) from error
    if status == expect or (not expect and 200 <= status < 300):
        return status
    kind = AgainError if again(status) else FailedError
    raise kind(f"{_named(url)} says {status}", object_name=_named(url))


def _context(ca: str, url: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:  # also what is no certificate
            why = error.strerror or type(error).__name__
            raise AgainError(f"the certificates for {_named(url)} cannot be read ({why})", object_name=ca) from error
    return context


def _why(error: Exception) -> str:
    if isinstance(error, (http.client.InvalidURL, ValueError)) and not isinstance(error, ssl.SSLError):
        return "its address cannot be used"  # the words of the error would hold it
    said = scrubbed(str(error))
    return said if said and not isinstance(error, AttributeError) else "it was cut off, or took too long"


def _named(url: str) -> str:
    """Where it goes, and no more: of many services the path, or what stands after `?`, is what lets one in."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "a webhook"
    path = "/…" if parts.path.strip("/") or parts.query else parts.path
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
