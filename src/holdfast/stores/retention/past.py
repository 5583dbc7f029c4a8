"""A store as it was at a time: the versions that were current then, read-only."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from holdfast.clock import to_rfc3339
from holdfast.errors import ObjectNotFoundError, RefusedError
from holdfast.stores.keys import check_key, folders_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.stores.ranges import check_ranges, ended_early
from holdfast.stores.retention.port import ObjectLocks, Version

__all__ = ["PastStore", "versions_by_key", "current_at"]


def versions_by_key(versions: Iterable[Version]) -> dict[str, list[Version]]:
    """The versions of each key, the newest first."""
    return {key: list(group) for key, group in groupby(versions, key=lambda one: one.key)}


def current_at(stack: Sequence[Version], time_ns: int) -> Version | None:
    """Of the versions of a key, newest first, the one that was read at that time; None where there was none."""
    newest = next((one for one in stack if one.modified_ns <= time_ns), None)
    return None if newest is None or newest.is_marker else newest


class PastStore:
    """What `store` held at `time_ns` by its own clock. Listed once, when it is first used.

    `instead`: for some keys, the version that counts, whatever its time says. `stacks`: all versions, by key, where the
    caller has listed them.
    """

    def __init__(
        self,
        store: Store,
        locks: ObjectLocks,
        time_ns: int,
        instead: Mapping[str, Version] | None = None,
        *,
        stacks: Mapping[str, Sequence[Version]] | None = None,
    ) -> None:
        self._store = store
        self._versions = locks
        self._time_ns = time_ns
        self._instead = dict(instead or {})
        self._stacks = stacks
        self._lock = threading.Lock()
        self._found: dict[str, Version] | None = None
        self._keys: list[str] = []

    @property
    def url(self) -> str:
        return f"{self._store.url} as of {to_rfc3339(self._time_ns)}"

    @property
    def identity(self) -> str:
        return f"{store_identity(self._store)} as of {self._time_ns}"

    @property
    def capabilities(self) -> Capabilities:
        # Not durable: nothing that is learned here may be kept for the store as it is now.
        return Capabilities(durable=False, remote=self._store.capabilities.remote)

    def chosen(self) -> Mapping[str, Version]:
        """The version of each object that there was."""
        with self._lock:
            if self._found is None:
                stacks = self._stacks
                if stacks is None:
                    stacks = versions_by_key(self._versions.versions(""))
                found = {key: one for key, stack in stacks.items() if (one := current_at(stack, self._time_ns))}
                self._found = found | self._instead
                self._keys = sorted(self._found)
            return self._found

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._refusal(key)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._refusal(key)

    def delete(self, key: str) -> None:
        raise self._refusal(key)

    def get(self, key: str) -> bytes:
        version = self._find(key)
        return self._versions.read_version(key, version.version)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        check_ranges(key, ranges)
        version = self._find(key)
        pieces = []
        for start, length in ranges:
            if start + length > version.size:
                raise ended_early(key, version.size, start, length)
            pieces.append(self._versions.read_version(key, version.version, (start, length)) if length else b"")
        return pieces

    def head(self, key: str) -> ObjectInfo:
        return _info(self._find(key))

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        found = self.chosen()
        for key in self._keys[bisect_left(self._keys, prefix) :]:
            if not key.startswith(prefix):
                return
            if key > after:
                yield _info(found[key])

    def folders(self, prefix: str) -> Sequence[str]:
        return folders_of((info.key for info in self.list(prefix)), prefix)

    def _find(self, key: str) -> Version:
        check_key(key)
        try:
            return self.chosen()[key]
        except KeyError as error:
            raise ObjectNotFoundError(f"there was no {key} in {self.url}", object_name=key) from error

    def _refusal(self, key: str) -> RefusedError:
        return RefusedError(f"{key} cannot be changed in {self.url}: the past is read-only", object_name=key)


def _info(version: Version) -> ObjectInfo:
    return ObjectInfo(version.key, version.size, version.modified_ns)
