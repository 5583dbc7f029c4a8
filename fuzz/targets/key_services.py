"""What key services of the clouds answer, as bytes of HTTP, and what they are said to have wrapped. Nothing is sent."""

from __future__ import annotations

import base64
import http.client
import io
import json
import urllib.request
from typing import Any

from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError
from holdfast.trust.kms.azure import AzureKey
from holdfast.trust.kms.google import GoogleKey, crc32c
from holdfast.trust.kms.port import Binding, parse_key_uri

__all__ = ["TARGETS"]

_TOKEN = "a-bearer-token"
_KEY32 = bytes(range(32))
_VERSION = b"0123456789abcdef" * 2
_BINDING = Binding("00112233445566778899aabbccddeeff", 1)
_AZURE = parse_key_uri("azure-kv://my-vault.vault.azure.net/keys/holdfast")
_GOOGLE = parse_key_uri("gcp-kms://projects/p/locations/l1/keyRings/r/cryptoKeys/k")


class _Socket:
    """Whatever is written, the same is read."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def sendall(self, data: bytes) -> None:
        return

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)

    def close(self) -> None:
        return


class _Wire(urllib.request.AbstractHTTPHandler):
    """Comes before the handlers that reach a network, and before those for proxies."""

    handler_order = 1

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    def https_open(self, request: urllib.request.Request) -> Any:
        answer = self._answer

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = _Socket(answer)  # type: ignore[assignment]

        return self.do_open(Connection, request)


def _asked(kind: int, answer: bytes) -> AzureKey | GoogleKey:
    make = (AzureKey, GoogleKey)[kind % 2]
    key = make((_AZURE, _GOOGLE)[kind % 2], token=lambda: _TOKEN)
    key._rest._opener.add_handler(_Wire(answer))
    return key


def _answer(data: bytes) -> None:
    """First byte: which cloud, and whether it wraps. The rest is what comes back, status line and headers first."""
    kind, text = (data[0], data[1:]) if data else (0, b"")
    key = _asked(kind, text)
    try:
        found = key.wrap(_KEY32, _BINDING) if kind & 2 else key.unwrap(_VERSION + b"wrapped", _BINDING)
    except HoldfastError as error:
        said = f"{error.message} {error.hint}"
        if _TOKEN in said or error.__cause__ is not None or len(said) > 600:
            raise Broken(f"an error shows more than it should: {said[:900]!r}") from None
        raise
    if not isinstance(found, bytes) or len(found) > 64 << 10:
        raise Broken("an answer without end")


def _wrapped(data: bytes) -> None:
    """First byte: which cloud. The rest is what stands in a configuration; the service gives a key for anything."""
    kind, text = (data[0], data[1:]) if data else (0, b"")
    if _asked(kind, _sound(kind % 2)).unwrap(text, _BINDING) != _KEY32:
        raise Broken("another key than the service gave")


def _sound(kind: int) -> bytes:
    """A cloud's answer to either call."""
    value = base64.b64encode(_KEY32).decode()
    check = str(crc32c(_KEY32))
    azure = {
        "kid": f"https://{_AZURE.region}/keys/holdfast/{_VERSION.decode()}",
        "value": value.rstrip("=").replace("+", "-").replace("/", "_"),
    }
    google = {
        "plaintext": value,
        "plaintextCrc32c": check,
        "ciphertext": value,
        "ciphertextCrc32c": check,
        "verifiedPlaintextCrc32c": True,
        "verifiedAdditionalAuthenticatedDataCrc32c": True,
    }
    body = json.dumps((azure, google)[kind % 2]).encode()
    return _http(b"200 OK", body)


def _http(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


def _answers() -> list[bytes]:
    sound = [bytes([kind]) + _sound(kind) for kind in range(4)]
    statuses = (b"400 Bad Request", b"401 No", b"404 Not Found", b"429 Later", b"503 Busy")
    refused = [b"\0" + _http(status, b'{"error":{}}') for status in statuses]
    moved = b"\0" + _http(b"302 Found", b"", b"Location: https://elsewhere.example/\r\n")
    chunked = b"\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    return [*sound, *refused, moved, chunked]


TARGETS = [
    Target(
        "kms-answer",
        "`AzureKey`, `GoogleKey`, `RestKey.post`: answers as bytes of HTTP",
        _answer,
        _answers,
        (
            b"HTTP/1.1 ", b"200", b"302", b"307", b"100", b"Location: ", b"http://[", b"//", b"Content-Length: -1\r\n",
            b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\r\n\r\n", b"Connection: close\r\n", b"WWW-Authenticate: ",
            b'{"value":', b'{"kid":', b"[" * 3000, b"9" * 5000, b"null", b"\\ud800", b"NaN", b'"plaintextCrc32c":',
        ),
    ),
    Target(
        "kms-wrapped",
        "`AzureKey.unwrap`, `GoogleKey.unwrap` of anything that is said to be wrapped",
        _wrapped,
        lambda: [b"\0" + _VERSION + b"wrapped", b"\1wrapped"],
        (_VERSION, b"/", b"\n", b"%2f", b"\xd9\xa3"),
    ),
]  # fmt: skip
