"""Requests to other programs: nothing is followed to another place, and nobody is waited for longer than was said."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Answered", "NoRedirects", "cut_after", "is_loopback", "posted"]

_ANSWER_MAX: Final = 64 << 10


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is asked is what was written down: an answer that sends elsewhere is the answer."""

    def redirect_request(self, *_arguments: object, **_named: object) -> None:
        return None


def cut_after(connection: http.client.HTTPConnection, seconds: float, done: threading.Event) -> None:
    """In a thread of its own: ends the connection unless `done` is set within that time.

    A time-out of the socket is for each read, and of many small reads each would be in time.
    """
    while not done.wait(seconds):
        with suppress(OSError, AttributeError):  # it is not connected yet
            connection.sock.shutdown(socket.SHUT_RDWR)
        seconds = 0.1


class Answered(NamedTuple):
    """`retry_after`: that header, empty without."""

    status: int
    retry_after: str


def posted(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, context: ssl.SSLContext | None = None
) -> Answered:
    """POST it: over `http` or `https` as the URL says, no redirect followed, no proxy used, `seconds` in all.

    Raises OSError, http.client.HTTPException, ValueError, UnicodeError, AttributeError (cut off in the middle).
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    done = threading.Event()
    threading.Thread(target=cut_after, args=(connection, seconds, done), name=f"cut {host}", daemon=True).start()
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read(_ANSWER_MAX)
        return Answered(answer.status, answer.getheader("Retry-After", "") or "")
    finally:
        done.set()
        connection.close()


def is_loopback(host: str) -> bool:
    """Whether what is sent there never leaves this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
