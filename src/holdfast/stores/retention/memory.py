"""A versioned store in this process's memory whose locks hold as a cloud's do: for tests and simulations.

Semantics of Amazon S3 Object Lock (User Guide, "Locking objects with Object Lock"): a plain delete leaves a marker, an
overwrite leaves the older version; deleting a version, and shortening or weakening a governance lock, needs a
permission of its own; a compliance lock only grows; a legal hold keeps a version whatever its retention says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from copy import copy

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import AlreadyExistsError, ObjectNotFoundError, PermissionDeniedError
from holdfast.stores.buffers import as_views, check_create_size
from holdfast.stores.keys import check_key, folders_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo
from holdfast.stores.ranges import cut
from holdfast.stores.retention.port import LockSupport, Mode, Period, Retained, Retention, Version, satisfies, stricter

__all__ = ["VersionedMemoryStore"]


class _Kept:
    """One version: content (None: a delete marker), time of writing, lock, legal hold."""

    def __init__(self, version: str, content: bytes | None, modified_ns: int, retention: Retention | None) -> None:
        self.version = version
        self.content = content
        self.modified_ns = modified_ns
        self.retention = retention
        self.held = False

    def is_locked(self, now_ns: int) -> bool:
        return self.held or (self.retention is not None and self.retention.until_ns > now_ns)


class VersionedMemoryStore:
    """A `Store` and its `ObjectLocks` in one: `locks` is the store itself.

    `lockable`: whether objects may be locked. `default`: the lock of each new object. Requests are counted in
    `requests` by name: those of the locks only.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        name: str = "versioned",
        lockable: bool = True,
        default: Period | None = None,
    ) -> None:
        self._clock = clock
        self._name = name
        self._lockable = lockable
        self._default = default
        self._objects: dict[str, list[_Kept]] = {}  # the newest version last
        self._number = 0  # of the newest version of any object
        self._lock = threading.RLock()
        self.requests: dict[str, int] = {}

    def fork(self, clock: Clock | None = None) -> VersionedMemoryStore:
        """Another store with the same versions, times and locks. From now on the two have nothing in common."""
        other = VersionedMemoryStore(
            clock or self._clock, name=self._name, lockable=self._lockable, default=self._default
        )
        with self._lock:
            other._number = self._number
            other._objects = {key: [copy(kept) for kept in stack] for key, stack in self._objects.items()}
        return other

    @property
    def locks(self) -> VersionedMemoryStore:
        return self

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=False, remote=False)

    # The store.

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        check_key(key)
        return self._write(key, b"".join(as_views(data)))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        check_key(key)
        views = as_views(data)
        check_create_size(key, views)
        with self._lock:
            if self._current(key) is not None:
                raise AlreadyExistsError(f"{key} exists already", object_name=key)
            return self._write(key, b"".join(views))

    def get(self, key: str) -> bytes:
        return self._content(self._find(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return cut(key, self.get(key), ranges)

    def head(self, key: str) -> ObjectInfo:
        kept = self._find(key)
        return ObjectInfo(key, len(self._content(kept)), kept.modified_ns)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            found = [
                ObjectInfo(key, len(self._content(kept)), kept.modified_ns)
                for key in self._objects
                if key.startswith(prefix) and key > after and (kept := self._current(key)) is not None
            ]
        yield from sorted(found)

    def folders(self, prefix: str) -> Sequence[str]:
        return folders_of((info.key for info in self.list(prefix)), prefix)

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            if self._current(key) is not None:
                self._add(key, None)

    # The locks.

    def support(self) -> LockSupport:
        self._count("support")
        return LockSupport("" if self._lockable else f"{self.url} was made without locks", self._default)

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def retain(self, key: str, retention: Retention, version: str = "") -> Retained:
        self._count("retain")
        with self._lock:
            self._require_lockable(key)
            kept = self._find(key, version)
            if not satisfies(kept.retention, retention):
                kept.retention = stricter(kept.retention, retention, key)
            return Retained(key, kept.version, kept.retention)

    def retention_of(self, key: str, version: str = "") -> Retention | None:
        self._count("retention_of")
        return self._find(key, version).retention

    def legal_hold(self, key: str, on: bool, version: str = "") -> None:
        with self._lock:
            self._require_lockable(key)
            self._find(key, version).held = on

    def versions(self, prefix: str) -> Iterator[Version]:
        self._count("versions")
        with self._lock:
            found = [
                Version(
                    key,
                    kept.version,
                    len(kept.content or b""),
                    kept.modified_ns,
                    kept is stack[-1],
                    kept.content is None,
                )
                for key, stack in sorted(self._objects.items())
                if key.startswith(prefix)
                for kept in reversed(stack)
            ]
        yield from found

    def read_version(self, key: str, version: str, span: tuple[int, int] | None = None) -> bytes:
        self._count("read_version")
        content = self._content(self._find(key, version))
        return content if span is None else content[span[0] : sum(span)]

    def restore_version(self, version: Version) -> None:
        self._count("restore_version")
        self._write(version.key, self.read_version(version.key, version.version))

    # What an attacker may try: the cloud's own requests.

    def set_retention(self, key: str, version: str, retention: Retention | None, *, bypass: bool = False) -> None:
        """What `PutObjectRetention` does; `bypass`: with the permission to end governance locks early."""
        with self._lock:
            self._require_lockable(key)
            kept = self._find(key, version)
            now = self._clock.now_ns()
            if kept.retention is not None and kept.retention.until_ns > now:
                weaker = retention is None or not satisfies(retention, kept.retention)
                if weaker and (kept.retention.mode is Mode.COMPLIANCE or not bypass):
                    raise PermissionDeniedError(f"{key} is locked", object_name=key)
            kept.retention = retention

    def delete_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        """What `DeleteObject` with a version does: it is gone for good, unless it is locked."""
        with self._lock:
            kept = self._find(key, version, marker=True)
            if kept.is_locked(self._clock.now_ns()):
                strict = kept.held or (kept.retention is not None and kept.retention.mode is Mode.COMPLIANCE)
                if strict or not bypass:
                    raise PermissionDeniedError(f"{key} is locked", object_name=key)
            self._objects[key].remove(kept)
            if not self._objects[key]:
                del self._objects[key]

    def _require_lockable(self, key: str) -> None:
        if not self._lockable:
            raise PermissionDeniedError(f"{self.url} was made without locks", object_name=key)

    def _write(self, key: str, content: bytes) -> ObjectInfo:
        kept = self._add(key, content)
        return ObjectInfo(key, len(content), kept.modified_ns)

    def _add(self, key: str, content: bytes | None) -> _Kept:
        with self._lock:
            now = self._clock.now_ns()
            lock = None
            if self._default is not None and content is not None:
                lock = Retention(self._default.mode, now + self._default.nanoseconds)
            self._number += 1
            kept = _Kept(f"v{self._number:08d}", content, now, lock)
            self._objects.setdefault(key, []).append(kept)
            return kept

    def _current(self, key: str) -> _Kept | None:
        stack = self._objects.get(key)
        return stack[-1] if stack and stack[-1].content is not None else None

    def _find(self, key: str, version: str = "", *, marker: bool = False) -> _Kept:
        check_key(key)
        with self._lock:
            found = (
                self._current(key)
                if not version
                else next((kept for kept in self._objects.get(key, ()) if kept.version == version), None)
            )
        if found is None or (found.content is None and not marker):
            raise ObjectNotFoundError(f"there is no {key} in {self.url}", object_name=key)
        return found

    @staticmethod
    def _content(kept: _Kept) -> bytes:
        return kept.content or b""

    def _count(self, what: str) -> None:
        with self._lock:
            self.requests[what] = self.requests.get(what, 0) + 1
