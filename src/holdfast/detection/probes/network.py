"""Whether an address takes connections, and whether a page answers. No redirect is followed, nothing is sent along."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from holdfast.detection.probes.model import Answer, bad, good, unknown
from holdfast.outgoing import cut_after

__all__ = ["http_probe", "tcp_probe"]


def tcp_probe(address: str, timeout_s: float) -> Answer:
    """`address`: `host:port`, `[v6]:port`."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
            took = time.monotonic() - began
            return good(f"{address} took a connection in {took:.3f} s", took)
    except (OSError, ValueError, OverflowError, UnicodeError) as error:
        return bad(f"{address} takes no connection: {_why(error)}")


def http_probe(url: str, timeout_s: float, status: int | None = None) -> Answer:
    """Good when the answer has that status; without one, below 400. `timeout_s`: for all of it."""
    began = time.monotonic()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return unknown(f"{url} is no address ({error})")
    secure = parts.scheme == "https"
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
        if secure
        else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )
    path = parts.path or "/"
    done = threading.Event()
    threading.Thread(target=cut_after, args=(connection, timeout_s, done), name=f"cut {host}", daemon=True).start()
    try:
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers={"Connection": "close"})
        answer = connection.getresponse()
        took = time.monotonic() - began
        if took > timeout_s:
            return bad(f"answered after {took:.1f} s, and {timeout_s:.1f} s are the limit", took)
        fits = answer.status == status if status is not None else answer.status < 400
        text = f"answered {answer.status} in {took:.3f} s"
        return good(text, took) if fits else bad(text, took)
    except (OSError, http.client.HTTPException, ValueError, UnicodeError, AttributeError) as error:
        late = time.monotonic() - began >= timeout_s
        return bad(f"{host} does not answer: {'not in time' if late else _why(error)}")
    finally:
        done.set()
        connection.close()


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "not in time"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
