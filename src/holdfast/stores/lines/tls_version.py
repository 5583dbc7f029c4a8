"""Which version of TLS a server chose, read from its first bytes, which no key hides (RFC 8446, 4.1.3 and 4.2.1).

The version is bound into the handshake: nobody between can have it look newer than it is without the handshake
failing. So a tunnel that looks here can demand a version, whatever library speaks through it.
"""

from __future__ import annotations

import struct
from enum import Enum

__all__ = ["ServerHello", "TlsVersion"]

_BYTES_MAX = 64 << 10
_ALERT, _HANDSHAKE, _SERVER_HELLO = 21, 22, 2
_SUPPORTED_VERSIONS, _TLS13 = 43, b"\x03\x04"


class TlsVersion(Enum):
    """What was found. ALERT: the server refuses, and the client will see why."""

    TLS13 = "1.3"
    OLDER = "older than 1.3"
    ALERT = "alert"
    NOT_TLS = "not TLS"


class ServerHello:
    """Feed it what the server sends, from its first byte on, until it says something."""

    def __init__(self) -> None:
        self._received = b""

    def feed(self, received: bytes | bytearray | memoryview) -> TlsVersion | None:
        """None: not enough yet. Never raises."""
        self._received += bytes(received)
        try:
            return _version(self._received)
        except (struct.error, IndexError):  # it ends in the middle of something
            return TlsVersion.NOT_TLS if len(self._received) > _BYTES_MAX else None


def _version(received: bytes) -> TlsVersion | None:
    message = b""
    at = 0
    while True:
        kind, major, length = struct.unpack_from(">BBxH", received, at)
        if major != 3 or kind not in (_ALERT, _HANDSHAKE):
            return TlsVersion.NOT_TLS
        if kind == _ALERT:
            return TlsVersion.ALERT
        message += received[at + 5 : at + 5 + length]
        if message and message[0] != _SERVER_HELLO:
            return TlsVersion.NOT_TLS
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return _chosen(message[4 : 4 + int.from_bytes(message[1:4], "big")])
        if not length:
            return TlsVersion.NOT_TLS
        at += 5 + length


def _chosen(hello: bytes) -> TlsVersion:
    """Version, random, session, cipher, compression, extensions. What is cut short is no TLS at all."""
    try:
        at = 34 + 1 + hello[34] + 3
        if len(hello) == at:
            return TlsVersion.OLDER  # TLS 1.2 without any extension
        (length,) = struct.unpack_from(">H", hello, at)
        at += 2
        if at + length != len(hello):
            return TlsVersion.NOT_TLS
        while at < len(hello):
            kind, size = struct.unpack_from(">HH", hello, at)
            if at + 4 + size > len(hello):
                return TlsVersion.NOT_TLS
            if kind == _SUPPORTED_VERSIONS:
                return TlsVersion.TLS13 if hello[at + 4 : at + 4 + size] == _TLS13 else TlsVersion.OLDER
            at += 4 + size
    except (struct.error, IndexError):
        return TlsVersion.NOT_TLS
    return TlsVersion.OLDER
