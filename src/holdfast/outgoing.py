"""Requests to other programs: nothing is followed to another place, and nobody is waited for longer than was said."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from contextlib import suppress

__all__ = ["NoRedirects", "cut_after"]


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
