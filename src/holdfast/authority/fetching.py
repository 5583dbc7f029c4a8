"""Small documents over HTTPS: with time-outs, a bound on their size, and no detours."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import StoreUnreachableError, UsageError
from holdfast.version import VERSION

__all__ = ["fetch_document", "DOCUMENT_BYTES_MAX", "TIMEOUT_SECONDS"]

DOCUMENT_BYTES_MAX: Final = 256 << 10
TIMEOUT_SECONDS: Final = 5.0  # for connecting, for each read, and twice that for all of it


def fetch_document(url: str, *, authorities: str | None = None, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """The body of a `200` answer. Redirections are not followed. `authorities`: a file of CA certificates.

    Plain HTTP only to this machine itself. Raises UsageError for other URLs, StoreUnreachableError for all else.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL") from error
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context(cafile=authorities)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{authorities} holds no CA certificates that can be used") from error
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout, context=context
        )
    elif parts.scheme == "http" and _is_here(host):
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    else:
        raise UsageError(f"{url!r} is not fetched: only https:// is, so that nobody on the way answers instead")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": f"holdfast/{VERSION}"})
        with connection.getresponse() as answer:
            body = _body(answer, SYSTEM_CLOCK.monotonic() + 2 * timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StoreUnreachableError(f"{host} does not answer ({_why(error)})", object_name=url) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise StoreUnreachableError(f"{url} answers {answer.status}", object_name=url)
    if len(body) > DOCUMENT_BYTES_MAX:
        raise StoreUnreachableError(f"{url} answers with more than {DOCUMENT_BYTES_MAX >> 10} KiB", object_name=url)
    return body


def _body(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """At most one byte more than is allowed. Raises TimeoutError for one that comes drop by drop."""
    body = b""
    while len(body) <= DOCUMENT_BYTES_MAX:
        piece = answer.read1(64 << 10)
        if not piece:
            break
        body += piece
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise TimeoutError
    return body


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "time is up"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
