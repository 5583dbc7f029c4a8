"""Connections that move all they can, and how fast that is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

BLOCK = 256 << 10


@contextmanager
def saturating(endpoint: str, connections: int, *, down: bool = False) -> Iterator[Callable[[], int]]:
    """Meanwhile so many connections to `endpoint` send, or receive, all they can. Gives the bytes of this end."""
    where = urlsplit(endpoint)
    counts = [0] * connections
    clients = [socket.create_connection((where.hostname, where.port), timeout=60) for _ in range(connections)]

    def work(number: int) -> None:
        buffer = bytearray(BLOCK)
        with suppress(OSError):
            while True:
                counts[number] += clients[number].recv_into(buffer) if down else clients[number].send(buffer)

    for number in range(connections):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    try:
        yield lambda: sum(counts)
    finally:
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()


def rate_of(moved: Callable[[], int], seconds: float) -> float:
    """Bytes per second over that time."""
    begun, before = time.monotonic(), moved()
    time.sleep(seconds)
    after, ended = moved(), time.monotonic()
    return (after - before) / (ended - begun)
