"""A double of Azure Blob Storage with versions and immutability policies: what Azurite (3.37) does not have.

Source: Microsoft, Blob service REST API: "Put Blob", "Get Blob", "Get Blob Properties", "Delete Blob", "Copy Blob",
"List Blobs", "Set Blob Immutability Policy", "Set Blob Legal Hold". It keeps to:

* Each write makes a version; deleting the blob leaves its versions; deleting a version that a policy or a legal
  hold keeps is refused (409 BlobImmutableDueToPolicy).
* A `Locked` policy only grows; an `Unlocked` one may be changed by whoever may set it.

Signatures are not checked. Nothing here was compared with Microsoft's service.
"""

from __future__ import annotations

import re
import secrets
import threading
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.testing.endpoints import Endpoint

__all__ = ["AzureLockDouble"]

_KEY = b64encode(secrets.token_bytes(64)).decode()


class _Blob:
    """One version."""

    def __init__(self, version: str, content: bytes, modified_ns: int) -> None:
        self.version = version
        self.content = content
        self.modified_ns = modified_ns
        self.until = ""  # RFC 1123
        self.mode = ""
        self.held = False

    def headers(self) -> dict[str, str]:
        found = {
            "ETag": f'"{self.version}"',
            "Last-Modified": _http_date(self.modified_ns),
            "x-ms-version-id": self.version,
            "x-ms-blob-type": "BlockBlob",
            "x-ms-copy-status": "success",
            "Content-Length": str(len(self.content)),
        }
        if self.mode:
            found |= {"x-ms-immutability-policy-until-date": self.until, "x-ms-immutability-policy-mode": self.mode}
        return found


class AzureLockDouble(Endpoint):
    """The double on a free port of the loopback interface, with one empty container. Use it as a context manager."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, locking: bool = True) -> None:
        self.container = f"test-{secrets.token_hex(6)}"
        self.account = f"test{secrets.token_hex(6)}"
        self._server = _Server(self.account, self.container, clock, locking)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"az://{self.container}"

    @property
    def options(self) -> Mapping[str, str]:
        endpoint = f"http://127.0.0.1:{self._server.server_port}/{self.account}"
        return {"endpoint": endpoint, "allow_http": "true", "account_name": self.account}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": _KEY}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, account: str, container: str, clock: Clock, locking: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.account = account
        self.container = container
        self.clock = clock
        self.locking = locking
        self.lock = threading.Lock()
        self.blobs: dict[str, list[_Blob]] = {}  # all versions, the newest last
        self.current: dict[str, _Blob] = {}
        self._last = 0

    def add(self, name: str, content: bytes) -> _Blob:
        now = self.clock.now_ns()
        self._last = max(self._last + 100, now)
        moment = datetime.fromtimestamp(self._last // NANOSECONDS, UTC)
        version = f"{moment:%Y-%m-%dT%H:%M:%S}.{self._last % NANOSECONDS // 100:07d}Z"
        blob = _Blob(version, content, now)
        self.blobs.setdefault(name, []).append(blob)
        self.current[name] = blob
        return blob

    def find(self, name: str, version: str) -> _Blob | None:
        if not version:
            return self.current.get(name)
        return next((blob for blob in self.blobs.get(name, ()) if blob.version == version), None)

    def is_kept(self, blob: _Blob) -> bool:
        return blob.held or (bool(blob.mode) and _second(blob.until) * NANOSECONDS > self.clock.now_ns())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(target.query, keep_blank_values=True).items()}
        account, _, path = unquote(target.path).lstrip("/").partition("/")
        container, _, name = path.partition("/")
        if not self.headers.get("Authorization", "").startswith(f"SharedKey {self.server.account}:"):
            self._send(403, {"x-ms-error-code": "AuthenticationFailed"})
        elif (account, container) != (self.server.account, self.server.container):
            self._send(404, {"x-ms-error-code": "ContainerNotFound"})
        else:
            with self.server.lock:
                self._container(query, body) if not name else self._blob(name, query, body)

    def _container(self, query: Mapping[str, str], body: bytes) -> None:
        if query.get("comp") == "batch":
            self._batch(body)
            return
        if query.get("comp") == "list":
            self._send(200, {"Content-Type": "application/xml"}, self._listing(query.get("prefix", "")))
            return
        enabled = str(self.server.locking).lower()
        headers = {"ETag": '"0"', "Last-Modified": _http_date(0)}
        self._send(200, {**headers, "x-ms-immutable-storage-with-versioning-enabled": enabled})

    def _batch(self, body: bytes) -> None:
        """Blob Batch: deletions only. Each part is a request of its own; so is each part of the answer."""
        parts = []
        prefix = f"/{self.server.account}/{self.server.container}/"
        for number, found in enumerate(re.finditer(rb"DELETE (\S+) HTTP/1.1", body)):
            path = urlsplit(found[1].decode()).path
            name = unquote(path).removeprefix(prefix).removeprefix(f"/{self.server.container}/")
            gone = self.server.current.pop(name, None)
            status = "202 Accepted" if gone else "404 Not Found\r\nx-ms-error-code: BlobNotFound"
            parts.append(
                f"--answer\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\n\r\n"
            )
        content = ("".join(parts) + "--answer--\r\n").encode()
        self._send(202, {"Content-Type": "multipart/mixed; boundary=answer"}, content)

    def _blob(self, name: str, query: Mapping[str, str], body: bytes) -> None:
        server = self.server
        if self.command == "PUT" and "comp" not in query:
            source = self.headers.get("x-ms-copy-source")
            if source is not None:
                origin = urlsplit(source)
                version = parse_qs(origin.query).get("versionid", [""])[0]
                found = server.find(unquote(origin.path).split("/", 3)[3], version)
                if found is None:
                    self._send(404, {"x-ms-error-code": "BlobNotFound"})
                    return
                self._send(202, server.add(name, found.content).headers() | {"Content-Length": "0"})
                return
            if self.headers.get("If-None-Match") == "*" and name in server.current:
                self._send(409, {"x-ms-error-code": "BlobAlreadyExists"})
                return
            self._send(201, server.add(name, body).headers() | {"Content-Length": "0"})
            return
        blob = server.find(name, query.get("versionid", ""))
        if blob is None:
            self._send(404, {"x-ms-error-code": "BlobNotFound"})
        elif self.command == "PUT":
            self._set(blob, query["comp"])
        elif self.command == "DELETE":
            self._delete(name, blob, by_version="versionid" in query)
        else:
            self._read(blob)

    def _set(self, blob: _Blob, what: str) -> None:
        if not self.server.locking:
            self._send(409, {"x-ms-error-code": "VersionLevelWormNotEnabled"})
        elif what == "legalhold":
            blob.held = self.headers["x-ms-legal-hold"].lower() == "true"
            self._send(200, {"x-ms-legal-hold": str(blob.held).lower()})
        else:
            until, mode = (
                self.headers["x-ms-immutability-policy-until-date"],
                self.headers["x-ms-immutability-policy-mode"],
            )
            strict = blob.mode.lower() == "locked" and self.server.is_kept(blob)
            if strict and (mode.lower() != "locked" or _second(until) < _second(blob.until)):
                self._send(409, {"x-ms-error-code": "BlobImmutableDueToPolicy"})
                return
            blob.until, blob.mode = until, mode.lower()
            headers = {"x-ms-immutability-policy-until-date": until, "x-ms-immutability-policy-mode": blob.mode}
            self._send(200, headers)

    def _delete(self, name: str, blob: _Blob, *, by_version: bool) -> None:
        if not by_version:
            del self.server.current[name]
        elif self.server.is_kept(blob):
            self._send(409, {"x-ms-error-code": "BlobImmutableDueToPolicy"})
            return
        else:
            self.server.blobs[name].remove(blob)
            if self.server.current.get(name) is blob:
                del self.server.current[name]
        self._send(202, {})

    def _read(self, blob: _Blob) -> None:
        content, status, headers = blob.content, 200, blob.headers()
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range")
        if wanted and self.command == "GET" and content:
            first, last = wanted.removeprefix("bytes=").split("-")
            end = min(int(last) if last else len(content), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
            content, status = content[int(first) : end + 1], 206
        self._send(status, headers | {"Content-Length": str(len(content))}, content)

    def _listing(self, prefix: str) -> bytes:
        found = []
        for name in sorted(self.server.blobs):
            if not name.startswith(prefix):
                continue
            for blob in self.server.blobs[name]:
                current = self.server.current.get(name) is blob
                mark = "<IsCurrentVersion>true</IsCurrentVersion>" if current else ""
                found.append(
                    f"<Blob><Name>{escape(name)}</Name><VersionId>{blob.version}</VersionId>{mark}<Properties>"
                    f"<Last-Modified>{_http_date(blob.modified_ns)}</Last-Modified><Etag>0x{blob.version}</Etag>"
                    f"<Content-Length>{len(blob.content)}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
                )
        inside = f"<Blobs>{''.join(found)}</Blobs><NextMarker/>"
        return f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{inside}</EnumerationResults>'.encode()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        self.send_header("Date", _http_date(self.server.clock.now_ns()))
        self.send_header("x-ms-version", "2021-08-06")
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""


def _http_date(time_ns: int) -> str:
    return format_datetime(datetime.fromtimestamp(time_ns // NANOSECONDS, UTC), usegmt=True)


def _second(date: str) -> int:
    return int(parsedate_to_datetime(date).timestamp())
