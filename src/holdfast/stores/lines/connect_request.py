"""The one request that the forwarder understands: `CONNECT host:port` with a password (RFC 9110 9.3.6, RFC 7617)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import NamedTuple

from holdfast.stores.lines.routes import Place

__all__ = ["HEAD_BYTES_MAX", "ConnectRequest", "Refused", "parse_connect", "parse_place"]

HEAD_BYTES_MAX = 8 << 10
_LINE = re.compile(r"CONNECT (\S{1,300}) HTTP/1\.[01]")
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")


class Refused(Exception):
    """Why a request is not carried out: the status and reason of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ConnectRequest(NamedTuple):
    """Where to, and who says so."""

    place: Place
    user: str
    password: str


def parse_connect(head: bytes) -> ConnectRequest:
    """`head`: everything before the empty line. Raises Refused, and nothing else, whatever the bytes are."""
    first, *fields = head.decode("latin-1").split("\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise Refused(405, "only CONNECT is served here")
    place = parse_place(match[1])
    if place is None:
        raise Refused(400, "the target is no host and port")
    for field in fields:
        name, colon, value = field.partition(":")
        if colon and name.lower() == "proxy-authorization":
            return ConnectRequest(place, *_credentials(value.strip()))
    raise Refused(407, "credentials are needed")


def parse_place(text: str) -> Place | None:
    """`host:port`, `[IPv6]:port`; None if it is neither."""
    match = _PLACE.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65_536:
        return None
    return Place(match[1] or match[2], int(match[3]))


def _credentials(value: str) -> tuple[str, str]:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            raise Refused(407, "the credentials cannot be read") from None
        if colon:
            return user, password
    raise Refused(407, "credentials are needed")
