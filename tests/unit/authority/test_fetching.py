"""Documents over HTTPS, from real servers with real certificates: in time, in bounds, and from nobody else."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.authority.fetching import DOCUMENT_BYTES_MAX, fetch_document
from holdfast.errors import StoreUnreachableError, UsageError


def write_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(7).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
    certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    path = folder / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(pem)
    return path


class Server:
    """Answers as it is told to, over TLS where there is a certificate."""

    def __init__(self, certificate: Path | None) -> None:
        self.act: Callable[[BaseHTTPRequestHandler], None] = lambda one: answer(one, b"{}")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.act(self)

            def log_message(self, format: str, *args: object) -> None: ...

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None: ...

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answer(one: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    one.send_response(status)
    for name, value in headers.items():
        one.send_header(name, value)
    one.end_headers()
    one.wfile.write(body)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path)


@pytest.fixture
def server(certificate: Path) -> Iterator[Server]:
    found = Server(certificate)
    yield found
    found.stop()


@pytest.fixture
def plain() -> Iterator[Server]:
    found = Server(None)
    yield found
    found.stop()


def test_a_document_over_tls(server: Server, certificate: Path) -> None:
    assert fetch_document(f"https://127.0.0.1:{server.port}/keys?x=1", authorities=str(certificate)) == b"{}"


def test_a_server_that_no_authority_vouches_for(server: Server, certificate: Path) -> None:
    with pytest.raises(StoreUnreachableError, match="its certificate is not accepted"):
        fetch_document(f"https://127.0.0.1:{server.port}/")
    with pytest.raises(StoreUnreachableError, match="its certificate is not accepted"):  # it is not localhost's
        fetch_document(f"https://localhost:{server.port}/", authorities=str(certificate))


def test_a_redirection_is_not_followed(plain: Server) -> None:
    plain.act = lambda one: answer(one, b"", 302, Location="http://127.0.0.1:1/")
    with pytest.raises(StoreUnreachableError, match="answers 302"):
        fetch_document(f"http://127.0.0.1:{plain.port}/")


def test_an_answer_without_end(plain: Server) -> None:
    plain.act = lambda one: answer(one, b" " * (DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(StoreUnreachableError, match="more than 256 KiB"):
        fetch_document(f"http://127.0.0.1:{plain.port}/")


def test_answers_that_do_not_come(plain: Server) -> None:
    def drip(one: BaseHTTPRequestHandler) -> None:
        one.send_response(200)
        one.end_headers()
        for _ in range(100):
            one.wfile.write(b" ")
            one.wfile.flush()
            time.sleep(0.05)

    for act in (lambda one: time.sleep(1.5), drip):
        plain.act = act
        begun = time.monotonic()
        with pytest.raises(StoreUnreachableError, match="time is up"):
            fetch_document(f"http://127.0.0.1:{plain.port}/", timeout=0.2)
        assert time.monotonic() - begun < 1.4


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_headers_and_a_handshake_that_come_drop_by_drop(scheme: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            # The beginning of a TLS record that is never whole, or of a header that has no end.
            connection.sendall(b"\x16\x03\x03\x3f\xff\x02" if scheme == "https" else b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(100):
                connection.sendall(b"a")
                time.sleep(0.05)

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    begun = time.monotonic()
    with pytest.raises(StoreUnreachableError, match="time is up"):
        fetch_document(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.2)
    assert time.monotonic() - begun < 1.4
    dripping.join()
    listening.close()


def test_what_is_cut_off_when_time_is_up_is_no_document(plain: Server) -> None:
    def drip(one: BaseHTTPRequestHandler) -> None:  # the end of the connection is the end of the document
        for piece in (b"HTTP/1.0 200 OK\r\n\r\n{}", *[b" "] * 100):
            one.wfile.write(piece)
            time.sleep(0.05)

    plain.act = drip
    with pytest.raises(StoreUnreachableError, match="time is up"):
        fetch_document(f"http://127.0.0.1:{plain.port}/", timeout=0.2)


def test_nobody_there(plain: Server) -> None:
    plain.stop()
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        fetch_document(f"http://127.0.0.1:{plain.port}/")
    plain._server.shutdown = lambda: None  # type: ignore[method-assign]  # it has ended already


@pytest.mark.parametrize(
    "url", ["http://example.org/keys", "ftp://127.0.0.1/", "file:///etc/passwd", "https://x:99999/", "http://10.0.0.1/"]
)
def test_urls_that_are_not_fetched(url: str) -> None:
    with pytest.raises(UsageError):
        fetch_document(url)


def test_authorities_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no CA certificates"):
        fetch_document("https://127.0.0.1/", authorities=str(tmp_path / "absent"))
