"""Small documents over HTTPS: with time-outs, a bound on their size, and no detours."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

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
        connection, context = http.client.HTTPConnection(host, port, timeout=timeout), None
    else:
        raise UsageError(f"{url!r} is not fetched: only https:// is, so that nobody on the way answers instead")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        headers = {"Accept": "application/json", "User-Agent": f"holdfast/{VERSION}"}
        plain = socket.create_connection((connection.host, connection.port), timeout)
        with _ended_after(2 * timeout, plain):
            connection.sock = plain
            if context is not None:
                connection.sock = context.wrap_socket(plain, server_hostname=connection.host)
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                body = answer.read(DOCUMENT_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StoreUnreachableError(f"{host} does not answer ({_why(error)})", object_name=url) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise StoreUnreachableError(f"{url} answers {answer.status}", object_name=url)
    if len(body) > DOCUMENT_BYTES_MAX:
        raise StoreUnreachableError(f"{url} answers with more than {DOCUMENT_BYTES_MAX >> 10} KiB", object_name=url)
    return body


@contextmanager
def _ended_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """Ends what is done on this connection when time is up: its time-out is only one for each read, and whoever
    answers drop by drop (the handshake, the headers, the body) could go on for ever. Raises TimeoutError then.
    """
    over = threading.Event()
    other = connected.dup()  # TLS takes the socket itself over

    def end() -> None:
        over.set()
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError):
        if not over.is_set():
            raise
    finally:
        timer.cancel()
        timer.join()
        other.close()
    if over.is_set():
        raise TimeoutError  # also for what seems to be whole: it was cut off


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
