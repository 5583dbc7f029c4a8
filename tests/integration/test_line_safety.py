"""Who may use a line, and what it lets through: TLS, passwords, other users."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from line_traffic import Sink, brief

from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.testing.certificates import ServerCertificate, make_certificate
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.networks import Network
from holdfast.testing.site_servers import GcsAt


class Encrypted(GcsAt):
    """The double of Google Cloud Storage behind TLS, at a site."""

    def encrypt(self, files: ServerCertificate, newest: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        context.maximum_version = newest
        self.root = files.root
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def options(self) -> dict[str, str]:
        port = self._server.server_port
        return {"endpoint": f"https://{self._site.address}:{port}", "root_certificate": str(self.root)}


@contextmanager
def encrypted(folder: Path, newest: ssl.TLSVersion) -> Iterator[Encrypted]:
    with Network("far") as network:
        server = Encrypted(network["far"])
        server.encrypt(make_certificate(folder, network["far"].address), newest)
        with server, server.in_environment():
            yield server


def test_https_goes_through_the_tunnel_with_its_own_certificate(tmp_path: Path) -> None:
    with encrypted(tmp_path, ssl.TLSVersion.TLSv1_3) as server, Line(LineTerms("far")) as line:
        store = line.open_store(server.url, options=server.options, priority=4)
        content = os.urandom(300_000)
        store.put("a/b", content)
        assert store.get("a/b") == content
        found = line.snapshot()
        assert found.up.moved[0][0] == 4
        assert found.endpoints[0].up_bytes > len(content)  # TLS counts
        untrusted = {name: value for name, value in server.options.items() if name != "root_certificate"}
        with pytest.raises(StoreUnreachableError):
            brief(line, server.url, untrusted).get("a/b")


def test_older_tls_is_cut_off_unless_it_is_allowed(tmp_path: Path) -> None:
    with encrypted(tmp_path, ssl.TLSVersion.TLSv1_2) as server:
        with Line(LineTerms("far")) as line:
            with pytest.raises(StoreUnreachableError):
                brief(line, server.url, server.options).put("a", b"x")
            assert "chose a TLS older than 1.3" in line.snapshot().troubles[-1]
        with Line(LineTerms("far", tls13=False)) as line:
            line.open_store(server.url, options=server.options).put("a", b"x")


def test_nobody_else_may_use_the_line(gcs: GcsDouble) -> None:
    """Not without the password; and a forward serves programs of our own user only."""
    with Line(LineTerms("x")) as line:
        proxy = urlsplit(line.proxy_url())
        for credentials in ("", "Proxy-Authorization: Basic NTp3cm9uZw==\r\n"):
            with socket.create_connection((proxy.hostname, proxy.port)) as client:
                client.sendall(f"CONNECT 127.0.0.1:9 HTTP/1.1\r\n{credentials}\r\n".encode())
                assert client.recv(1000).startswith(b"HTTP/1.1 407 ")
        with socket.create_connection((proxy.hostname, proxy.port)) as client:
            client.sendall(b"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 405 ")
        forward = urlsplit(line.forward([gcs.options["endpoint"]], 5))
        ask = (
            "import os, socket, sys\n"
            "'x'.encode('idna')  # loaded while this user may still read it\n"
            "os.setuid(int(sys.argv[2]))\n"
            "client = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "try:\n"
            "    client.sendall(b'HEAD / HTTP/1.0\\r\\n\\r\\n')\n"
            "    print(client.recv(100)[:4].decode() or 'nothing')\n"
            "except ConnectionError:\n"
            "    print('refused')\n"
        )
        answers = []
        for user in (os.geteuid(), 65_534):
            command = [sys.executable, "-I", "-c", ask, str(forward.port), str(user)]
            answers.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        assert answers == ["HTTP", "refused"]
        troubles = " ".join(line.snapshot().troubles)
        assert "without the password" in troubles
        assert "somebody else's program" in troubles


def test_the_password_is_in_no_error(gcs: GcsDouble) -> None:
    dead = Sink()
    dead.close()
    with Line(LineTerms("x")) as line, gcs.in_environment():
        token = urlsplit(line.proxy_url()).password
        assert token
        store = brief(line, "gs://bucket", {"endpoint": dead.endpoint.replace("http://", "https://")})
        with pytest.raises(HoldfastError) as caught:
            store.get("a")
        assert caught.value.retry
        assert token not in f"{caught.value!r} {caught.value.hint}"
        assert token not in repr(line.snapshot())
