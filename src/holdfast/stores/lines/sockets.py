"""What is set on sockets, and what the kernel tells about them. Linux.

The sizes of buffers are the kernel's business: it grows them to what a line needs (net.ipv4.tcp_rmem, tcp_wmem), and
stops doing so once SO_RCVBUF or SO_SNDBUF is set, which it caps much lower (net.core.rmem_max).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import FailedError
from holdfast.stores.lines.terms import LineTerms

__all__ = ["LOOPBACK", "TcpInfo", "abort", "is_ours", "listener", "mark", "tcp_info", "upstream_socket"]

LOOPBACK = "127.0.0.1"
_NOT_SENT_BYTES_MAX = 128 << 10  # what waits in the kernel cannot be overtaken
_LOCAL_BUFFER_BYTES = 256 << 10  # of the loopback hop; the kernel doubles it
_PROBES = 3  # without an answer, at the end of the patience
_IP_BIND_ADDRESS_NO_PORT = 24
_TCP_INFO_BYTES = 104  # the first part of struct tcp_info in <linux/tcp.h>, which every kernel since 2.6 fills
_ROUND_TRIP, _TOTAL_RETRANSMISSIONS = 17, 25  # numbers of 32 bits in it
_ESTABLISHED = "01"
_SOCKETS = Path("/proc/net/tcp")


class TcpInfo(NamedTuple):
    """What TCP_INFO says of a connection."""

    retransmitted: int  # segments that were sent again
    round_trip_s: float  # smoothed


def upstream_socket(address: str, source: str, terms: LineTerms) -> socket.socket:
    """A socket for a connection to `address`, not connected yet. Raises OSError for a source that is not ours."""
    between = max(1, round(terms.patience_s / (_PROBES + 2)))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        mark(made, terms.dscp)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES_MAX)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(terms.patience_s * 1000))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2 * between)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, between)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        if terms.congestion:
            with suppress(OSError):  # this kernel does not have it
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, terms.congestion.encode())
        if source:
            if family == socket.AF_INET:
                made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            made.bind((source, 0))
    except BaseException:
        made.close()
        raise
    return made


def mark(sock: socket.socket, dscp: int | None) -> None:
    """Every packet from now on carries `dscp` in the upper six bits of the old type of service (RFC 2474)."""
    if dscp is None:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def listener() -> socket.socket:
    """Listens on a free port of the loopback interface. Small buffers: what is in them cannot be overtaken."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LOCAL_BUFFER_BYTES)
        made.bind((LOOPBACK, 0))
        made.listen(256)
    except OSError as error:
        made.close()
        raise FailedError(f"cannot listen on {LOOPBACK}: {error.strerror}") from error
    return made


def abort(sock: socket.socket) -> None:
    """Close it so that the other end hears of an error (RST), not of an orderly end."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass  # the other end was faster
    finally:
        sock.close()


def tcp_info(sock: socket.socket) -> TcpInfo | None:
    """None where the kernel does not tell, or the connection is gone."""
    try:
        found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(found) < _TCP_INFO_BYTES:
        return None
    numbers = memoryview(found).cast("I")
    return TcpInfo(numbers[_TOTAL_RETRANSMISSIONS], numbers[_ROUND_TRIP] / 1e6)


def is_ours(accepted: socket.socket) -> bool:
    """Whether the other end of this loopback connection is a socket of our own user.

    Only while it is established: the kernel ascribes sockets that their process has closed to root.
    """
    try:
        theirs, ours = _in_hex(accepted.getpeername()), _in_hex(accepted.getsockname())
        with _SOCKETS.open() as lines:
            for line in lines:
                fields = line.split()
                if fields[1] == theirs and fields[2] == ours and fields[3] == _ESTABLISHED:
                    return int(fields[7]) == os.geteuid()
    except OSError:
        return False
    return False


def _in_hex(address: tuple[str, int]) -> str:
    """As /proc/net/tcp writes it: the address in the machine's byte order."""
    packed = socket.inet_aton(address[0])
    return f"{(packed[::-1] if sys.byteorder == 'little' else packed).hex().upper()}:{address[1]:04X}"
