"""A store in this process's memory: for tests, demonstrations and simulations. Nothing survives the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import AlreadyExistsError, ObjectNotFoundError
from holdfast.stores.buffers import as_views, check_create_size
from holdfast.stores.keys import check_key, folders_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo
from holdfast.stores.ranges import cut

__all__ = ["MemoryStore"]


class MemoryStore:
    """Objects in a dictionary, under one lock. `clock` is the store's clock; `name` only shows in `url`."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, name: str = "unnamed") -> None:
        self._clock = clock
        self._name = name
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._lock = threading.Lock()

    def fork(self, clock: Clock | None = None) -> MemoryStore:
        """Another store that holds the same objects, with their times. From now on the two have nothing in common."""
        other = MemoryStore(clock or self._clock, name=self._name)
        with self._lock:
            other._objects = dict(self._objects)
        return other

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=False, remote=False)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write(key, data, only_if_absent=False)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write(key, data, only_if_absent=True)

    def get(self, key: str) -> bytes:
        return self._find(key)[0]

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return cut(key, self.get(key), ranges)

    def head(self, key: str) -> ObjectInfo:
        content, modified_ns = self._find(key)
        return ObjectInfo(key, len(content), modified_ns)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            found = [
                ObjectInfo(key, len(content), modified_ns)
                for key, (content, modified_ns) in self._objects.items()
                if key.startswith(prefix) and key > after
            ]
        yield from sorted(found)

    def folders(self, prefix: str) -> Sequence[str]:
        return folders_of((info.key for info in self.list(prefix)), prefix)

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def _write(self, key: str, data: Buffer | Sequence[Buffer], *, only_if_absent: bool) -> ObjectInfo:
        check_key(key)
        views = as_views(data)
        if only_if_absent:
            check_create_size(key, views)
        content = b"".join(views)  # a copy: the caller may use its buffers again
        with self._lock:
            if only_if_absent and key in self._objects:
                raise AlreadyExistsError(f"{key} exists already", object_name=key)
            modified_ns = self._clock.now_ns()
            self._objects[key] = content, modified_ns
        return ObjectInfo(key, len(content), modified_ns)

    def _find(self, key: str) -> tuple[bytes, int]:
        check_key(key)
        with self._lock:
            try:
                return self._objects[key]
            except KeyError as error:
                raise ObjectNotFoundError(f"there is no {key} in {self.url}", object_name=key) from error
