"""Object retention of Google Cloud Storage, through its JSON API and the standard library's HTTP client.

Source: Google Cloud documentation, "Cloud Storage JSON API v1" (Objects: get, patch, list, rewrite; Buckets: get) and
"Object Retention Lock". GOVERNANCE is the retention mode `Unlocked`: ending it early needs the permission
`storage.objects.overrideUnlockedRetention`. COMPLIANCE is `Locked`. Objects under retention can be neither deleted nor
overwritten, so that an attacker leaves no older versions behind; versioning is for what was not locked yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from holdfast.clock import from_rfc3339
from holdfast.errors import DamageError, FailedError
from holdfast.stores.cloud_options import sort_options
from holdfast.stores.keys import is_key
from holdfast.stores.retention.gcs_requests import GcsRequests
from holdfast.stores.retention.port import (
    LockSupport,
    Mode,
    Period,
    Retained,
    Retention,
    Version,
    satisfies,
    stricter,
    whole_seconds,
)

__all__ = ["GcsLocks", "GcsItem", "GcsPage", "decode_answer"]

_NANOSECONDS = 1_000_000_000
_MODES = {"Unlocked": Mode.GOVERNANCE, "Locked": Mode.COMPLIANCE}
_NAMES = {mode: name for name, mode in _MODES.items()}
_FIELDS = "name,generation,size,timeCreated,timeDeleted,retention,retentionExpirationTime,metageneration"

Kind = TypeVar("Kind")


class _Retention(msgspec.Struct, frozen=True, rename="camel"):
    mode: str = ""
    retain_until_time: str = ""


class GcsItem(msgspec.Struct, frozen=True, rename="camel"):
    """What the service says of one generation of an object. Numbers are text there."""

    name: str = ""
    generation: str = ""
    size: str = ""
    time_created: str = ""
    time_deleted: str = ""
    retention: _Retention | None = None
    retention_expiration_time: str = ""

    def kept(self) -> Retention | None:
        """The lock, or what the bucket's own retention policy does for the object, whichever lasts longer. That one
        counts as governance: the bucket's owner can change the policy. Raises DamageError.
        """
        own = self.lock()
        if not self.retention_expiration_time:
            return own
        until = _time(self.retention_expiration_time, self.name)
        return own if own is not None and own.until_ns >= until else Retention(Mode.GOVERNANCE, until)

    def lock(self) -> Retention | None:
        """Raises DamageError for a time that is none."""
        mode = _MODES.get(self.retention.mode) if self.retention is not None else None
        if mode is None or self.retention is None or not self.retention.retain_until_time:
            return None
        return Retention(mode, _time(self.retention.retain_until_time, self.name))

    def versions(self, prefix: str) -> list[Version]:
        """The version, and of one that is not current, when it ceased to be: GCS keeps no delete markers.

        None for an object that is not below `prefix`. Raises DamageError.
        """
        key = self.name[len(prefix) :]
        if not self.name.startswith(prefix) or not is_key(key):
            return []
        try:
            size = int(self.size)
        except ValueError as error:
            raise DamageError(f"{key} is said to have {self.size[:40]!r} bytes", object_name=key) from error
        made = _time(self.time_created, key)
        one = Version(key, self.generation, size, made, not self.time_deleted)
        if not self.time_deleted:
            return [one]
        # Nothing was there from then on, unless a newer generation was made at that time, which then comes first.
        gone = Version(key, f"{self.generation} deleted", 0, _time(self.time_deleted, key), False, is_marker=True)
        return [one, gone]


class GcsPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of a listing."""

    items: list[GcsItem] = []
    next_page_token: str = ""


class _ObjectRetention(msgspec.Struct, frozen=True, rename="camel"):
    mode: str = ""


class _Policy(msgspec.Struct, frozen=True, rename="camel"):
    retention_period: str = "0"
    is_locked: bool = False


class _Versioning(msgspec.Struct, frozen=True, rename="camel"):
    enabled: bool = False


class _Bucket(msgspec.Struct, frozen=True, rename="camel"):
    object_retention: _ObjectRetention = _ObjectRetention()
    retention_policy: _Policy = _Policy()
    versioning: _Versioning = _Versioning()


class _Rewritten(msgspec.Struct, frozen=True, rename="camel"):
    done: bool = True
    rewrite_token: str = ""


def decode_answer(body: bytes, kind: type[Kind], what: str) -> Kind:
    """The JSON of an answer. Raises FailedError when it is not of that kind."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise FailedError(f"cannot {what}: the answer makes no sense ({str(error)[:100]})") from error


class GcsLocks:
    """The locks of `gs://bucket/prefix`. `options` are those of `open_store`."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str]) -> None:
        sort_options("gs", options)
        self._bucket = bucket
        self._quoted = quote(bucket, safe="")
        self._prefix = f"{prefix}/" if prefix else ""
        self._requests = GcsRequests(bucket, self._quoted, options)

    def support(self) -> LockSupport:
        query = {"fields": "objectRetention,retentionPolicy,versioning"}
        found = self._ask(_Bucket, "GET", "", query, what="look at the bucket")
        if found.object_retention.mode != "Enabled":
            return LockSupport(
                f"the bucket {self._bucket} does not have object retention (`--enable-per-object-retention` when it is "
                "made)"
            )
        period = found.retention_policy.retention_period
        seconds = float(period) if period.isdecimal() else 0.0
        mode = Mode.COMPLIANCE if found.retention_policy.is_locked else Mode.GOVERNANCE
        notes = () if found.versioning.enabled else ("versioning is off: what is overwritten unlocked is lost",)
        return LockSupport("", Period(seconds, mode) if seconds else None, notes)

    def now_ns(self) -> int:
        answer = self._requests.send("GET", "", {"fields": "name"}, what="look at the bucket")
        try:
            return int(parsedate_to_datetime(answer.date).timestamp()) * _NANOSECONDS
        except (TypeError, ValueError) as error:
            raise FailedError(f"{self._bucket} does not tell the time in its answers") from error

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        seen = self._look_up(key, version)
        found, version = seen.lock(), seen.generation or version
        if satisfies(found, retention):
            return Retained(key, version, found)
        wanted = stricter(found, retention, key)
        seconds = whole_seconds(wanted.until_ns)
        until = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"retention": {"mode": _NAMES[wanted.mode], "retainUntilTime": until}}
        query = {"generation": version, "fields": _FIELDS}
        self._requests.send("PATCH", self._object(key), query, body, what=f"lock {key}", key=key)
        return Retained(key, version, Retention(wanted.mode, seconds * _NANOSECONDS))

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        return self._look_up(key, version).kept()

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        query = {"generation": version} if version else {}
        what = f"{'hold' if on else 'release'} {key}"
        self._requests.send("PATCH", self._object(key), query, {"temporaryHold": on}, what=what, key=key)

    def versions(self, prefix: str) -> Iterator[Version]:
        query = {"prefix": self._prefix + prefix, "versions": "true", "fields": f"nextPageToken,items({_FIELDS})"}
        found: list[Version] = []
        while True:
            page = self._ask(GcsPage, "GET", "/o", query, what=f"list the versions of {prefix!r}")
            for item in page.items:
                found += item.versions(self._prefix)
            if not page.next_page_token:
                break
            query = {**query, "pageToken": page.next_page_token}
        yield from sorted(found, key=lambda one: (one.key, not one.is_current, -one.modified_ns, one.is_marker))

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        headers = {"Range": f"bytes={span[0]}-{span[0] + span[1] - 1}"} if span is not None else {}
        query = {"alt": "media", "generation": version}
        what = f"read an older version of {key}"
        return self._requests.send("GET", self._object(key), query, what=what, key=key, headers=headers).body

    def restore_version(self, version: Version) -> None:
        path = f"{self._object(version.key)}/rewriteTo/b/{self._quoted}{self._object(version.key)}"
        query = {"sourceGeneration": version.version}
        while True:
            answer = self._ask(_Rewritten, "POST", path, query, {}, what=f"restore {version.key}", key=version.key)
            if answer.done:
                return
            query = {**query, "rewriteToken": answer.rewrite_token}

    def _look_up(self, key: str, version: str) -> GcsItem:
        query = {"fields": _FIELDS, **({"generation": version} if version else {})}
        return self._ask(GcsItem, "GET", self._object(key), query, what=f"look up {key}", key=key)

    def _object(self, key: str) -> str:
        return f"/o/{quote(self._prefix + key, safe='')}"

    def _ask(
        self,
        kind: type[Kind],
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        what: str,
        key: str = "",
    ) -> Kind:
        content = self._requests.send(method, path, query, body, what=what, key=key).body
        return decode_answer(content, kind, f"{what} in {self._bucket}")


def _time(text: str, key: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise DamageError(f"{key} has the time {text[:40]!r}, which is none", object_name=key) from error
