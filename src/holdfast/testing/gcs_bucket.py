"""The bucket behind the double of Google Cloud Storage: requests in, answers out, without sockets.

Source: Google Cloud documentation, "Cloud Storage XML API" (objects, multipart uploads, list objects version 2).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from holdfast.clock import NANOSECONDS, Clock, to_rfc3339

__all__ = ["Request", "Answer", "Bucket", "error_answer"]

_PAGE_MAX = 1000
_PART_BYTES_MIN = 5 << 20  # of every part but the last
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


class Request(NamedTuple):
    """A request for an object (`name`), or for the bucket itself (`name` is ""). Names of headers are lower case."""

    method: str
    name: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """Status, headers and body. Without `Content-Length` it is that of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class _Object(NamedTuple):
    content: bytes
    etag: str
    generation: int
    modified_ns: int

    def headers(self) -> dict[str, str]:
        return {
            "ETag": self.etag,
            "Last-Modified": formatdate(self.modified_ns // NANOSECONDS, usegmt=True),
            "x-goog-generation": str(self.generation),
        }


def error_answer(status: int, code: str) -> Answer:
    """The error document of the XML API."""
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml; charset=UTF-8"}, body.encode())


class Bucket:
    """Objects and unfinished uploads, under one lock. `clock` gives the times of writing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._generation = 0

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for. Atomic, and safe from any thread."""
        with self._lock:
            if not request.name:
                return self._list(request.query) if request.method == "GET" else error_answer(405, "MethodNotAllowed")
            if "uploads" in request.query or "uploadId" in request.query:
                return self._upload(request)
            return self._read(request) if request.method in ("GET", "HEAD") else self._change(request)

    def contents(self) -> dict[str, bytes]:
        """All objects as they are now, seen past the network."""
        with self._lock:
            return {name: found.content for name, found in self._objects.items()}

    def write(self, name: str, content: bytes) -> None:
        """Put an object there, past the network."""
        with self._lock:
            self._store(name, content, _md5(content))

    def _change(self, request: Request) -> Answer:
        if not self._precondition_holds(request):
            return error_answer(412, "PreconditionFailed")
        if request.method == "PUT":
            return Answer(200, self._store(request.name, request.body, _md5(request.body)).headers())
        if request.method == "DELETE":
            found = self._objects.pop(request.name, None)
            return Answer(204, {}) if found else error_answer(404, "NoSuchKey")
        return error_answer(405, "MethodNotAllowed")

    def _precondition_holds(self, request: Request) -> bool:
        wanted = request.headers.get("x-goog-if-generation-match")
        found = self._objects.get(request.name)
        return wanted is None or wanted == str(found.generation if found else 0)

    def _store(self, name: str, content: bytes, etag: str) -> _Object:
        self._generation = max(self._generation + 1, self._clock.now_ns() // 1000)
        stored = _Object(content, etag, self._generation, self._clock.now_ns())
        self._objects[name] = stored
        return stored

    def _read(self, request: Request) -> Answer:
        found = self._objects.get(request.name)
        if found is None:
            return error_answer(404, "NoSuchKey")
        size = len(found.content)
        if request.method == "HEAD":
            return Answer(200, {**found.headers(), "Content-Length": str(size)})
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted is None:
            return Answer(200, found.headers(), found.content)
        start = int(wanted[1])
        end = min(int(wanted[2]) + 1 if wanted[2] else size, size)
        if start >= end:
            return error_answer(416, "InvalidRange")
        headers = {**found.headers(), "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        return Answer(206, headers, found.content[start:end])

    def _list(self, query: Mapping[str, str]) -> Answer:
        prefix, after = query.get("prefix", ""), query.get("continuation-token", query.get("start-after", ""))
        names = self._names(prefix, query.get("delimiter", ""), after)
        page = names[: min(int(query.get("max-keys", _PAGE_MAX)), _PAGE_MAX)]
        more = len(page) < len(names)
        lines = [f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"]
        lines.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            lines.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        for name in page:
            found = self._objects.get(name)
            if found is None:
                lines.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
                continue
            lines.append(
                f"<Contents><Key>{escape(name)}</Key><Generation>{found.generation}</Generation>"
                f"<LastModified>{to_rfc3339(found.modified_ns)}</LastModified>"
                f"<ETag>{escape(found.etag)}</ETag><Size>{len(found.content)}</Size></Contents>"
            )
        return _document("ListBucketResult", "".join(lines))

    def _names(self, prefix: str, delimiter: str, after: str) -> list[str]:
        """Names of objects; with a delimiter, what follows it is cut off, and what is then alike is listed once."""
        names = {name for name in self._objects if name.startswith(prefix)}
        if delimiter:
            ends = {name: name.find(delimiter, len(prefix)) for name in names}
            names = {name[: end + len(delimiter)] if end >= 0 else name for name, end in ends.items()}
        return sorted(name for name in names if name > after)

    def _upload(self, request: Request) -> Answer:
        if request.method == "POST" and "uploads" in request.query:
            upload = secrets.token_hex(8)
            self._uploads[upload] = {}
            return _document("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        upload = request.query.get("uploadId", "")
        parts = self._uploads.get(upload)
        if parts is None:
            return error_answer(404, "NoSuchUpload")
        if request.method == "PUT":
            parts[int(request.query["partNumber"])] = request.body
            return Answer(200, {"ETag": _md5(request.body)})
        if request.method == "POST":
            return self._complete(request, upload, parts)
        del self._uploads[upload]
        return Answer(204, {})

    def _complete(self, request: Request, upload: str, parts: Mapping[int, bytes]) -> Answer:
        named = [
            (int(part.findtext("PartNumber", "0")), part.findtext("ETag", ""))
            for part in ElementTree.fromstring(request.body).iter("Part")
        ]
        numbers = [number for number, _ in named]
        if numbers != sorted(set(numbers)) or not numbers:
            return error_answer(400, "InvalidPartOrder")
        if any(number not in parts or _md5(parts[number]) != etag for number, etag in named):
            return error_answer(400, "InvalidPart")
        if any(len(parts[number]) < _PART_BYTES_MIN for number in numbers[:-1]):
            return error_answer(400, "EntityTooSmall")
        content = b"".join(parts[number] for number in numbers)
        del self._uploads[upload]
        stored = self._store(request.name, content, f'"{secrets.token_hex(16)}-{len(numbers)}"')
        document = _document("CompleteMultipartUploadResult", f"<ETag>{escape(stored.etag)}</ETag>")
        return document._replace(headers={**document.headers, "x-goog-generation": str(stored.generation)})


def _md5(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _document(name: str, inside: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inside}</{name}>"
    return Answer(200, {"Content-Type": "application/xml; charset=UTF-8"}, body.encode())
