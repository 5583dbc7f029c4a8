"""A double of Google Cloud Storage: the part of its XML API that obstore speaks, in this process, in memory.

No emulator that can be installed offers that API with ETags and generations, so what Holdfast knows about GCS was
checked against this double and not against Google's service. It keeps to the published behaviour of the XML API:

* `PUT` of an object, with `x-goog-if-generation-match` (0: only if absent), decided under one lock; `GET` with one
  range; `HEAD`; `DELETE` (404 when absent); generations that only grow; ETags.
* Multipart uploads: initiate, parts, complete (ETags and the least size of parts are checked), abort.
* Listing, version 2: prefix, delimiter, `start-after`, pages of at most 1,000 names and folders.
* Bearer tokens; the error documents `NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, `InvalidRange`, ….

With `interfere` it also misbehaves as services do: see `GcsDouble.interfere`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.testing.endpoints import Endpoint
from holdfast.testing.gcs_bucket import Answer, Bucket, Request, error_answer

__all__ = ["GcsDouble", "Interference"]

_TOKEN = secrets.token_hex(16)


Interference: TypeAlias = Callable[[Request, Callable[[], Answer]], Answer | None]


class GcsDouble(Endpoint):
    """The double on a free port of the loopback interface, with one empty bucket. Use it as a context manager."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.bucket = f"test-{secrets.token_hex(6)}"
        self._server = _Server(self.bucket, Bucket(clock))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint": f"http://127.0.0.1:{self._server.server_port}", "allow_http": "true"}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"GOOGLE_BEARER_TOKEN": _TOKEN}

    def interfere(self, interference: Interference | None) -> None:
        """From now on ask `interference(request, proceed)` for each answer to a request for our bucket.

        `proceed()` does what was asked for and returns the honest answer. None means: break the connection off. An
        answer whose `Content-Length` is larger than its body is sent so, and broken off. None instead of a function
        ends the interference.
        """
        self._server.interference = interference

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End it; the objects are gone."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name: str, bucket: Bucket) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.bucket = bucket
        self.interference: Interference | None = None

    def answer(self, request: Request, bucket: str, authorization: str) -> Answer | None:
        if authorization != f"Bearer {_TOKEN}":
            return error_answer(401, "AuthenticationRequired")
        if bucket != self.name:
            return error_answer(404, "NoSuchBucket")
        if self.interference is not None:
            return self.interference(request, lambda: self.bucket.answer(request))
        return self.bucket.answer(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        bucket, _, name = target.path.removeprefix("/").partition("/")
        query = {key: values[-1] for key, values in parse_qs(target.query, keep_blank_values=True).items()}
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, unquote(name), query, headers, body)
        answer = self.server.answer(request, unquote(bucket), headers.get("authorization", ""))
        if answer is not None:
            self._send(answer)
        promised = "0" if answer is None else answer.headers.get("Content-Length", "0")
        if answer is None or (self.command != "HEAD" and int(promised) > len(answer.body)):
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        self.send_header("Date", formatdate(usegmt=True))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers and answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""
