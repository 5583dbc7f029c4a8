"""A small identity provider (OpenID Connect) on the loopback interface: discovery, keys that rotate, tokens.

It is a real server with real keys; what it leaves out is people: whoever asks this object for a token gets one, also
tokens that no honest provider makes (`forged_*`), so that one can see them refused.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jwk, jws

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock

__all__ = ["IdentityProvider"]

_KINDS: Mapping[str, tuple[str, int | str]] = {
    "RS256": ("RSA", 2048),
    "PS256": ("RSA", 2048),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "Ed25519": ("OKP", "Ed25519"),
}


class IdentityProvider:
    """Use it as a context manager; leaving it is the provider's end. It can also be `down` for a while.

    `requests`: the paths that were asked for. `clock`: what the times in tokens come from.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, algorithm: str = "ES256", audience: str = "holdfast") -> None:
        self.clock = clock
        self.audience = audience
        self.algorithm = algorithm
        self.down = False
        self.requests: list[str] = []
        self._keys: list[jwk.Key] = []
        self._published: list[dict[str, Any]] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.rotate()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def kid(self) -> str:
        """Of the key that signs now."""
        return f"key-{len(self._keys)}"

    def rotate(self, *, keep_old: bool = True, algorithm: str | None = None) -> None:
        """A new key signs from now on; the old ones stay published, or go."""
        self.algorithm = algorithm or self.algorithm
        kind, size = _KINDS[self.algorithm]
        self._keys.append(jwk.JWKRegistry.generate_key(kind, size))
        public = dict(self._keys[-1].as_dict(private=False)) | {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        self._published = [*(self._published if keep_old else []), public]

    def publish(self, *extra: Mapping[str, Any]) -> None:
        """Further entries of the key set, as they are."""
        self._published = [*self._published, *(dict(one) for one in extra)]

    def claims(self, subject: str = "alice", *, lasts: int = 600, **changes: Any) -> dict[str, Any]:
        """Sound claims, but for `changes`; None takes one away."""
        now = self.clock.now_ns() // NANOSECONDS
        claims = {"iss": self.issuer, "sub": subject, "aud": self.audience, "iat": now, "nbf": now, "exp": now + lasts}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, subject: str = "alice", *, header: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
        """A token that this provider signed. `changes`: to its claims; `header`: to its header."""
        payload = json.dumps(self.claims(subject, **changes)).encode()
        return self.signed(payload, header=header)

    def signed(self, payload: bytes, *, header: Mapping[str, Any] | None = None) -> bytes:
        """Any payload, signed."""
        head = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"} | dict(header or {})
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        return jws.serialize_compact(head, payload, self._keys[-1], [self.algorithm], registry).encode()

    def forged_unsigned(self, subject: str = "alice", *, alg: str = "none") -> bytes:
        """A token without a signature, whose header says so."""
        head = {"alg": alg, "kid": self.kid, "typ": "JWT"}
        return b".".join(_segment(json.dumps(part).encode()) for part in (head, self.claims(subject))) + b"."

    def forged_with_public_key(self, subject: str = "alice") -> bytes:
        """Signed with HS256, the secret being the provider's public key, which everybody knows (RFC 8725, 2.1)."""
        import hashlib
        import hmac

        key = self._keys[-1]
        assert not isinstance(key, jwk.OctKey)
        secret = key.as_pem(private=False)
        head = {"alg": "HS256", "kid": self.kid, "typ": "JWT"}
        body = b".".join(_segment(json.dumps(part).encode()) for part in (head, self.claims(subject)))
        return body + b"." + _segment(hmac.new(secret, body, hashlib.sha256).digest())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self.requests.append(path)
        if self.down:
            return 503, b"down"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": self._published}).encode()
        return 404, b"nothing here"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, provider: IdentityProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, body = self.server.provider.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
