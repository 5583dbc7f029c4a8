"""The double of Google Cloud Storage with generations that stay, and object retention, through its JSON API.

Source: Google Cloud documentation, "Cloud Storage JSON API v1" and "Object Retention Lock". It keeps to:

* An object under retention is neither overwritten nor deleted (403), in either API.
* An `Unlocked` retention is extended by anybody; shortened or removed only with `overrideUnlockedRetention=true` and
  the permission for it, which `may_override` stands for. A `Locked` one only grows.
* Versioning: what is overwritten or deleted stays as a noncurrent generation, with the time when that happened.

Nothing here was compared with Google's service.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock, from_rfc3339
from holdfast.testing.gcs_bucket import Answer, Bucket, Request, _Object, error_answer
from holdfast.testing.gcs_double import GcsDouble, _Handler, _Server

__all__ = ["GcsLockDouble"]

_PAGE = 50  # small, so that tests turn pages


class GcsLockDouble(GcsDouble):
    """The double, whose bucket has object retention and versioning. `may_override`: see above."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, locking: bool = True, may_override: bool = False) -> None:
        super().__init__(clock)
        self._server.server_close()
        self._server = _LockServer(self.bucket, LockBucket(clock, locking=locking, may_override=may_override))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)


class _PatchHandler(_Handler):
    do_PATCH = _Handler._serve


class _LockServer(_Server):
    def __init__(self, name: str, bucket: LockBucket) -> None:
        super().__init__(name, bucket)
        self.RequestHandlerClass = _PatchHandler
        self._locked = bucket

    def answer(self, request: Request, bucket: str, authorization: str) -> Answer | None:
        if bucket != "storage":
            return super().answer(request, bucket, authorization)
        named, _, rest = request.name.removeprefix("v1/b/").partition("/")
        honest = super().answer(request._replace(method="HEAD", name=""), named, authorization)
        if honest is not None and honest.status in (401, 404):
            return _refusal(honest.status, "notFound" if honest.status == 404 else "authError")
        return self._locked.answer_json(request._replace(name=rest))


class LockBucket(Bucket):
    """Objects, their older generations, and their retention: generation → (mode, RFC 3339 time)."""

    def __init__(self, clock: Clock, *, locking: bool, may_override: bool) -> None:
        super().__init__(clock)
        self._locking = locking
        self._may_override = may_override
        self._older: dict[str, list[tuple[_Object, int]]] = {}
        self._retention: dict[int, dict[str, str]] = {}
        self._holds: set[int] = set()

    def _change(self, request: Request) -> Answer:
        live = self._objects.get(request.name)
        if not self._precondition_holds(request):
            return error_answer(412, "PreconditionFailed")
        if live is not None and self._is_kept(live.generation):
            return error_answer(403, "ObjectUnderActiveRetention")
        if live is not None and request.method in ("PUT", "DELETE"):
            self._older.setdefault(request.name, []).append((live, self._clock.now_ns()))
        return super()._change(request)

    def answer_json(self, request: Request) -> Answer:
        """The part of the JSON API that locks and versions need. `name`: what follows the bucket in the path."""
        with self._lock:
            if not request.name:
                return _json(
                    {
                        "name": "bucket",
                        "versioning": {"enabled": True},
                        **({"objectRetention": {"mode": "Enabled"}} if self._locking else {}),
                    }
                )
            if request.name == "o":
                return self._list_generations(request)
            name, _, target = request.name.removeprefix("o/").partition("/rewriteTo/")
            if target:
                return self._rewrite(request, unquote(name))
            return self._one(request, unquote(name))

    def _one(self, request: Request, name: str) -> Answer:
        found = self._generation_of(name, request.query.get("generation", ""))
        if found is None:
            return _refusal(404, "notFound")
        if request.method == "GET" and request.query.get("alt") == "media":
            return self._media(request, found)
        if request.method == "DELETE":
            return self._delete(name, found, by_generation="generation" in request.query)
        if request.method == "PATCH":
            return self._patch(request, name, found)
        return _json(self._described(name, found, 0))

    def _patch(self, request: Request, name: str, found: _Object) -> Answer:
        body = json.loads(request.body)
        if "temporaryHold" in body:
            (self._holds.add if body["temporaryHold"] else self._holds.discard)(found.generation)
        if "retention" in body:
            if not self._locking:
                return _refusal(400, "invalid")
            wanted, had = body["retention"] or {}, self._retention.get(found.generation)
            if had is not None and _ns(had["retainUntilTime"]) > self._clock.now_ns():
                weaker = (
                    not wanted
                    or _ns(wanted["retainUntilTime"]) < _ns(had["retainUntilTime"])
                    or (had["mode"] == "Locked" != wanted["mode"])
                )
                overrides = request.query.get("overrideUnlockedRetention") == "true" and self._may_override
                if weaker and (had["mode"] == "Locked" or not overrides):
                    return _refusal(403, "forbidden")
            if wanted:
                self._retention[found.generation] = wanted
            else:
                self._retention.pop(found.generation, None)
        return _json(self._described(name, found, 0))

    def _delete(self, name: str, found: _Object, *, by_generation: bool) -> Answer:
        if self._is_kept(found.generation):
            return _refusal(403, "objectUnderActiveRetention")
        if self._objects.get(name) is found:
            del self._objects[name]
            if not by_generation:
                self._older.setdefault(name, []).append((found, self._clock.now_ns()))
        else:
            self._older[name] = [pair for pair in self._older.get(name, []) if pair[0] is not found]
        return Answer(204, {})

    def _rewrite(self, request: Request, name: str) -> Answer:
        found = self._generation_of(name, request.query.get("sourceGeneration", ""))
        if found is None:
            return _refusal(404, "notFound")
        live = self._objects.get(name)
        if live is not None and self._is_kept(live.generation):
            return _refusal(403, "objectUnderActiveRetention")
        if live is not None:
            self._older.setdefault(name, []).append((live, self._clock.now_ns()))
        stored = self._store(name, found.content, found.etag)
        return _json({"done": True, "resource": self._described(name, stored, 0)})

    def _list_generations(self, request: Request) -> Answer:
        prefix, start = request.query.get("prefix", ""), int(request.query.get("pageToken", "0"))
        items = [
            self._described(name, one, deleted)
            for name in sorted({*self._objects, *self._older})
            if name.startswith(prefix)
            for one, deleted in [
                *self._older.get(name, []),
                *([(self._objects[name], 0)] if name in self._objects else []),
            ]
        ]
        page = {"items": items[start : start + _PAGE]}
        more = {"nextPageToken": str(start + _PAGE)} if len(items) > start + _PAGE else {}
        return _json({**page, **more})

    def _generation_of(self, name: str, generation: str) -> _Object | None:
        live = self._objects.get(name)
        if not generation:
            return live
        every = [*(pair[0] for pair in self._older.get(name, [])), *([live] if live else [])]
        return next((one for one in every if str(one.generation) == generation), None)

    def _media(self, request: Request, found: _Object) -> Answer:
        wanted = request.headers.get("range", "")
        if not wanted:
            return Answer(200, {"Content-Type": "application/octet-stream"}, found.content)
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        return Answer(206, {"Content-Type": "application/octet-stream"}, found.content[first : last + 1])

    def _described(self, name: str, one: _Object, deleted_ns: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": name,
            "generation": str(one.generation),
            "size": str(len(one.content)),
            "timeCreated": _time(one.modified_ns),
        }
        if deleted_ns:
            found["timeDeleted"] = _time(deleted_ns)
        if one.generation in self._retention:
            found["retention"] = self._retention[one.generation]
        return found

    def _is_kept(self, generation: int) -> bool:
        retention = self._retention.get(generation)
        kept = retention is not None and _ns(retention["retainUntilTime"]) > self._clock.now_ns()
        return kept or generation in self._holds


def _json(body: dict[str, Any]) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _refusal(status: int, reason: str) -> Answer:
    body = {"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}}
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _ns(text: str) -> int:
    return from_rfc3339(text)


def _time(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % NANOSECONDS // 1000:06d}Z"
