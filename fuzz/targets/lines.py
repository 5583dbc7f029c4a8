"""What the forwarder of a line reads: the request of a local client, and the first bytes of a TLS server."""

from __future__ import annotations

from base64 import b64encode

from fuzz.model import Broken, Target
from holdfast.errors import UsageError
from holdfast.stores.lines.connect_request import Refused, parse_connect, parse_place
from holdfast.stores.lines.tls_version import ServerHello, TlsVersion

__all__ = ["TARGETS"]

_BASIC = b"Basic " + b64encode(b"5:secret")
_PREFIX_BYTES_MAX = 600  # byte by byte costs the square


def _hello(extensions: bytes, *, version: bytes = b"\x03\x03", cut: int = 0) -> bytes:
    """One handshake message of a server, in records of `cut` bytes (0: one)."""
    body = version + bytes(32) + b"\x20" + bytes(32) + b"\x13\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + cut] for at in range(0, len(message), cut)] if cut else [message]
    return b"".join(b"\x16\x03\x03" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


_TLS13 = _hello(b"\x00\x33\x00\x04\x00\x1d\x00\x00" + b"\x00\x2b\x00\x02\x03\x04")
_TLS12 = _hello(b"\xff\x01\x00\x01\x00" + b"\x00\x2b\x00\x02\x03\x03")


def _run_connect(data: bytes) -> None:
    try:
        request = parse_connect(data)
    except Refused as refused:
        if not 400 <= refused.status < 500:
            raise Broken(f"an answer of status {refused.status}") from None
        raise UsageError(refused.reason) from None
    if parse_place(str(request.place)) != request.place:
        raise Broken(f"{request.place} is not read as it is written")
    if "\r" in request.place.host or "\n" in request.place.host:
        raise Broken("a line break in a host's name")


def _run_hello(data: bytes) -> None:
    whole = ServerHello().feed(data)
    pieces, found = ServerHello(), None
    for at in range(min(len(data), _PREFIX_BYTES_MAX)):
        found = pieces.feed(data[at : at + 1])
        if found is not None:
            break
    if found is None and len(data) > _PREFIX_BYTES_MAX:
        found = pieces.feed(data[_PREFIX_BYTES_MAX:])
    if found != whole:
        raise Broken(f"in one piece {whole}, byte by byte {found}")
    if whole is TlsVersion.TLS13:
        _check_said(data)
    if whole in (None, TlsVersion.NOT_TLS):
        raise UsageError("no answer of a TLS server")


def _check_said(data: bytes) -> None:
    """The extension is there, in one record or spread over several."""
    joined, at = b"", 0
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        joined += data[at + 5 : at + 5 + length]
        at += 5 + length
    if b"\x00\x2b\x00\x02\x03\x04" not in joined:
        raise Broken("TLS 1.3 without anything that says so")


def _connect_seeds() -> list[bytes]:
    return [
        b"CONNECT s3.example.com:443 HTTP/1.1\r\nHost: s3.example.com:443\r\nProxy-Authorization: " + _BASIC,
        b"CONNECT [2001:db8::1]:9000 HTTP/1.1\r\nproxy-authorization:  basic " + b64encode(b"9:a:b"),
        b"GET / HTTP/1.1\r\nHost: x",
    ]


def _hello_seeds() -> list[bytes]:
    return [_TLS13, _TLS12, _hello(b""), _TLS13 + b"\x17\x03\x03\x00\x02ab", b"\x15\x03\x03\x00\x02\x02\x28"]


TARGETS = [
    Target(
        name="line-connect",
        hits="`parse_connect`, `parse_place`",
        run=_run_connect,
        seeds=_connect_seeds,
        tokens=(b"CONNECT ", b" HTTP/1.1", b"\r\n", b"Proxy-Authorization:", b"Basic ", b":443", b"[", b"]", b"::"),
    ),
    Target(
        name="line-server-hello",
        hits="`ServerHello.feed`",
        run=_run_hello,
        seeds=_hello_seeds,
        tokens=(b"\x16\x03\x03", b"\x15\x03\x01", b"\x02\x00\x00", b"\x00\x2b\x00\x02\x03\x04", b"\x00\x00"),
    ),
]
