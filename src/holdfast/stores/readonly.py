"""A store that refuses to be changed: for sites that are only recovered from, and for looking around safely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.errors import RefusedError
from holdfast.stores.archives.port import Archives, archives_of
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity

__all__ = ["ReadOnlyStore"]


class ReadOnlyStore:
    """`store`, with RefusedError from `put`, `create` and `delete`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def archives(self) -> Archives | None:
        return archives_of(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._refusal("write", key)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._refusal("create", key)

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def delete(self, key: str) -> None:
        raise self._refusal("delete", key)

    def _refusal(self, verb: str, key: str) -> RefusedError:
        return RefusedError(
            f"will not {verb} {key}: {self.url} was opened for reading only",
            hint="name the store without read-only if it really is to be changed",
            object_name=key,
        )
