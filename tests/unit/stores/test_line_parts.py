"""The parts of a line that need no network: routes, requests, the version of TLS, places."""

from __future__ import annotations

import random
import ssl
from base64 import b64encode
from pathlib import Path

import pytest

from holdfast.errors import UsageError
from holdfast.stores.lines.connect_request import Refused, parse_connect, parse_place
from holdfast.stores.lines.line import place_of
from holdfast.stores.lines.routes import Counts, Place, Route, RouteState, in_order
from holdfast.stores.lines.tls_version import ServerHello, TlsVersion
from holdfast.testing.certificates import ServerCertificate, make_certificate


def state(name: str) -> RouteState:
    return RouteState(Route(Place(name, 80), name, "usual", ""), Counts(), random.Random(1))


def names(states: list[RouteState]) -> list[str]:
    return [each.route.address for each in states]


def test_connections_are_spread_by_speed() -> None:
    """Of twelve connections, one that is twice as fast as the other gets twice as many."""
    fast, slow = state("fast"), state("slow")
    fast.moved(2_000_000, 1.0)
    slow.moved(1_000_000, 1.0)
    for _ in range(12):
        in_order([slow, fast])[0].active += 1
    assert (fast.active, slow.active) == (8, 4)


def test_a_route_of_unknown_speed_is_tried() -> None:
    known, unknown = state("known"), state("unknown")
    known.moved(1_000_000, 1.0)
    known.active = 1
    assert names(in_order([known, unknown])) == ["unknown", "known"]


def test_routes_that_are_down_come_last_and_in_the_order_in_which_they_are_due() -> None:
    first, second, up = state("first"), state("second"), state("up")
    up.active = 1000
    second.failed(10.0)
    for _ in range(6):
        first.failed(10.0)
    assert names(in_order([first, second, up])) == ["up", "second", "first"]
    first.succeeded()
    assert first.is_up
    assert names(in_order([first, second, up])) == ["first", "up", "second"]


def test_a_route_that_fails_is_left_alone_for_longer_each_time_but_never_as_long_as_the_others() -> None:
    for attempt in range(1, 12):
        longest = min(60.0, 0.5 * 2 ** (attempt - 1))
        waits = set()
        for seed in range(20):
            failing = RouteState(Route(Place("a", 1), "a", "p", ""), Counts(), random.Random(seed))
            for _ in range(attempt):
                failing.failed(100.0)
            assert failing.retry_at is not None
            waits.add(failing.retry_at - 100.0)
            assert longest / 2 <= failing.retry_at - 100.0 <= longest
        assert len(waits) == 20


def test_old_speeds_are_forgotten() -> None:
    changing = state("a")
    changing.moved(100_000_000, 1.0)
    for _ in range(600):
        changing.moved(100_000, 0.1)
    assert changing.speed == pytest.approx(1e6, rel=0.05)


BASIC = "Proxy-Authorization: Basic " + b64encode(b"5:se:cret").decode()


def test_a_request_says_where_to_and_who() -> None:
    found = parse_connect(f"CONNECT s3.example.com:443 HTTP/1.1\r\nHost: x\r\n{BASIC}".encode())
    assert found == (Place("s3.example.com", 443), "5", "se:cret")
    basic = b"PROXY-authorization:   basic " + b64encode(b"9:")
    assert parse_connect(b"CONNECT [::1]:9 HTTP/1.0\r\n" + basic) == (Place("::1", 9), "9", "")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 405),
        (b"GET http://s3.example.com/ HTTP/1.1", 405),
        (b"CONNECT s3.example.com:443 HTTP/2", 405),
        (b"CONNECT s3.example.com HTTP/1.1", 400),
        (b"CONNECT s3.example.com:0 HTTP/1.1", 400),
        (b"CONNECT s3.example.com:65536 HTTP/1.1", 400),
        (b"CONNECT user@s3.example.com:443 HTTP/1.1", 400),
        (b"CONNECT a/b:443 HTTP/1.1", 400),
        (b"CONNECT s3.example.com:443 HTTP/1.1", 407),
        (b"CONNECT s3.example.com:443 HTTP/1.1\r\nProxy-Authorization: Bearer abc", 407),
        (b"CONNECT s3.example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic !!!!", 407),
        (b"CONNECT s3.example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic " + b64encode(b"nocolon"), 407),
        (b"CONNECT s3.example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic " + b64encode(b"\xff:\xff"), 407),
    ],
)
def test_other_requests_are_refused(head: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        parse_connect(head)
    assert caught.value.status == status


def test_places() -> None:
    assert place_of("https://s3.example.com") == Place("s3.example.com", 443)
    assert place_of("http://10.0.0.1:8333/account") == Place("10.0.0.1", 8333)
    assert place_of("[2001:db8::1]:443") == place_of("https://[2001:db8::1]/") == Place("2001:db8::1", 443)
    assert str(Place("2001:db8::1", 443)) == "[2001:db8::1]:443"
    assert parse_place("10.0.0.1") is None
    for text in ("ftp://x", "s3.example.com", "https://user:secret@x", "http://x:99999", "http://", "https://[::1"):
        with pytest.raises(UsageError) as caught:
            place_of(text)
        assert "secret" not in str(caught.value)


def test_the_version_is_read_from_what_openssl_sends(tmp_path: Path) -> None:
    """Real handshakes, in memory: the server's first flight, whole and byte by byte."""
    for version, expected in ((ssl.TLSVersion.TLSv1_3, TlsVersion.TLS13), (ssl.TLSVersion.TLSv1_2, TlsVersion.OLDER)):
        flight = server_flight(version, make_certificate(tmp_path, "a.example"))
        assert ServerHello().feed(flight) is expected
        hello = ServerHello()
        verdicts = [hello.feed(flight[at : at + 1]) for at in range(len(flight))]
        assert next(filter(None, verdicts)) is expected


def server_flight(version: ssl.TLSVersion, files: ServerCertificate) -> bytes:
    """What a server that speaks everything up to `version` answers to a client that speaks all."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    server_context.maximum_version = version
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client, rest = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(rest, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    return to_client.read()


def hello(extensions: bytes, cut: int = 0) -> bytes:
    """One ServerHello with these extensions, in records of `cut` bytes (0: one)."""
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x13\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + cut] for at in range(0, len(message), cut)] if cut else [message]
    return b"".join(b"\x16\x03\x03" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"", None),
        (b"\x16\x03", None),
        (b"HTTP/1.1 200 OK\r\n", TlsVersion.NOT_TLS),
        (b"SSH-2.0-OpenSSH", TlsVersion.NOT_TLS),
        (b"\x15\x03\x03\x00\x02\x02\x28", TlsVersion.ALERT),
        (b"\x16\x03\x03\x00\x00", TlsVersion.NOT_TLS),
        (b"\x16\x03\x03\x00\x04\x01\x00\x00\x00", TlsVersion.NOT_TLS),  # a ClientHello
        (hello(b""), TlsVersion.OLDER),
        (hello(b"\x00\x2b\x00\x02\x03\x04"), TlsVersion.TLS13),
        (hello(b"\x00\x2b\x00\x02\x03\x04", cut=7), TlsVersion.TLS13),
        (hello(b"\x00\x2b\x00\x02\x03\x04", cut=7)[:-1], None),
        (hello(b"\x00\x2b\x00\x02\x03\x03"), TlsVersion.OLDER),
        (hello(b"\x00\x2b\x00\x03\x03\x04\x00"), TlsVersion.OLDER),
        (hello(b"\x00\x2b\x00"), TlsVersion.NOT_TLS),
        (hello(b"\x00\x2b\x00\x03\x03\x04"), TlsVersion.NOT_TLS),  # found by fuzzing: longer than what is there
        (b"\x16\x03\x03\xff\xff\x02\xff\xff\xff" + bytes(70_000), TlsVersion.NOT_TLS),
    ],
)
def test_the_version_of_what_is_strange(received: bytes, expected: TlsVersion | None) -> None:
    assert ServerHello().feed(received) is expected
