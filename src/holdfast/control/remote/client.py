"""A server's API over HTTP, by the standard library alone: requests, and its errors as errors of this project.

Nothing is followed anywhere: a redirect is an error, so that no credential goes to another host.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from holdfast import errors
from holdfast.errors import CredentialError, FailedError, HoldfastError, StoreUnreachableError, UsageError
from holdfast.version import VERSION

__all__ = ["Answer", "RemoteServer", "server_address"]

_TIMEOUT_S: Final = 120.0
_ANSWER_MAX: Final = 64 << 20
T = TypeVar("T")


class Answer(NamedTuple):
    """`headers`: names in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """As RFC 9457 has it, with ours."""

    status: int = 0
    title: str = ""
    detail: str = ""
    code: str = "failed"
    hint: str = ""
    object: str = ""


class _Address(NamedTuple):
    scheme: str
    host: str
    port: int
    shown: str


def server_address(url: str) -> _Address:
    """Raises UsageError for anything but `https://host[:port]`, or `http://` on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url[:200]!r} is no address of a server", hint="https://HOST[:PORT]") from error
    host = parts.hostname or ""
    bare = not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not host or not bare or not url.isprintable():
        raise UsageError(f"{url[:200]!r} is no address of a server", hint="https://HOST[:PORT]")
    if parts.scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(
            f"{url} is not on this machine, and HTTP without TLS tells everybody on the way", hint="https://"
        )
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port is not None else "")
    return _Address(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), shown)


class RemoteServer:
    """`credential`: a token, an API key, or a device's token; empty for requests that need none."""

    def __init__(self, url: str, credential: str = "") -> None:
        """Raises UsageError."""
        self._at = server_address(url)
        self._credential = credential

    def __repr__(self) -> str:
        return f"<RemoteServer {self._at.shown}>"

    @property
    def shown(self) -> str:
        return self._at.shown

    def get(self, path: str, query: Mapping[str, Any], kind: type[T] | Any) -> Any:
        """The record at a path. Raises what the server says, as errors of this project."""
        given = {
            name: ("true" if value else "false") if isinstance(value, bool) else value
            for name, value in query.items()
            if value not in ("", None)
        }
        return self._decoded(self.ask("GET", path + (f"?{urlencode(given)}" if given else "")), kind)

    def post(self, path: str, body: Mapping[str, Any], kind: type[T] | Any, *, key: str = "") -> Any:
        """The same with a body. `key`: the request happens once, however often it is sent."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        return self._decoded(self.ask("POST", path, msgspec.json.encode(body), headers), kind)

    def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        """A form, as OAuth has them; whatever the answer is."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._sent("POST", path, urlencode(fields).encode(), headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises as `get`."""
        answer = self._sent(method, path, body, headers or {})
        if 200 <= answer.status < 300:
            return answer
        raise _raised(answer, self._at.shown)

    def _sent(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        given = {"User-Agent": f"holdfast/{VERSION}", "Accept": "application/json", **headers}
        if self._credential:
            given["Authorization"] = f"Bearer {self._credential}"
        connection = self._connection()
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            content = answer.read(_ANSWER_MAX + 1)
            if len(content) > _ANSWER_MAX:
                raise FailedError(f"{self._at.shown} answers with more than {_ANSWER_MAX >> 20} MiB")
            said = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, said, content)
        except ssl.SSLCertVerificationError as error:
            raise CredentialError(
                f"{self._at.shown} does not prove who it is ({error.verify_message})",
                hint="SSL_CERT_FILE names the certificates of authorities of your own",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise StoreUnreachableError(
                f"{self._at.shown} does not answer ({why})", object_name=self._at.shown
            ) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._at.scheme == "http":
            return http.client.HTTPConnection(self._at.host, self._at.port, timeout=_TIMEOUT_S)
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return http.client.HTTPSConnection(self._at.host, self._at.port, timeout=_TIMEOUT_S, context=context)

    def _decoded(self, answer: Answer, kind: Any) -> Any:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FailedError(
                f"{self._at.shown} answers with what this version does not understand",
                hint="are client and server of one version? `holdfast --version`",
            ) from error


def _raised(answer: Answer, shown: str) -> HoldfastError:
    """The error that the server had, of the same class."""
    if 300 <= answer.status < 400:
        return FailedError(f"{shown} sends to another place, where no credential is taken", hint="name that server")
    try:
        told = msgspec.json.decode(answer.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return FailedError(f"{shown} answers with status {answer.status}")
    kind = _KINDS.get(told.code) or (CredentialError if answer.status == 401 else FailedError)
    if answer.status == 429:
        kind = StoreUnreachableError
    detail = told.detail or told.title or f"status {answer.status}"
    hint = "`holdfast login --server URL` gets a token" if answer.status == 401 else told.hint
    return kind(_line(detail), hint=_line(hint), object_name=_line(told.object))


def _line(text: str) -> str:
    return "".join(one if one.isprintable() else "�" for one in text[:4000])


_KINDS: Final[dict[str, type[HoldfastError]]] = {
    kind.code: kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), HoldfastError)
}
