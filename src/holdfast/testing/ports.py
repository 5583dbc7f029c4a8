"""Free TCP ports on the loopback interface. Somebody else may take one before it is used: callers try again."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

from holdfast.errors import FailedError

__all__ = ["free_ports", "free_port_pair"]


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listened on a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def free_port_pair(distance: int) -> list[int]:
    """Two free ports, the second `distance` above the first."""
    for _ in range(100):
        (low,) = free_ports(1)
        if low + distance > 65_535:
            low -= 2 * distance
        with suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", low))
            second.bind(("127.0.0.1", low + distance))
            return [low, low + distance]
    raise FailedError(f"no two free ports lie {distance} apart on 127.0.0.1")
