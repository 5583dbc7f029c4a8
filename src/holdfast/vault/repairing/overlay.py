"""A store as it will be: with objects in memory that are still to be written. What is read of it, no cache keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.errors import ObjectNotFoundError, RefusedError
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store
from holdfast.stores.ranges import cut

__all__ = ["Overlay"]


class Overlay:
    """`store` with some objects more, or others in their place; `hidden` ones are not there. Read only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.added: dict[str, bytes] = {}
        self.hidden: set[str] = set()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=False, remote=self._store.capabilities.remote)

    def get(self, key: str) -> bytes:
        self._require(key)
        return self.added[key] if key in self.added else self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._require(key)
        return cut(key, self.added[key], ranges) if key in self.added else self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        self._require(key)
        return ObjectInfo(key, len(self.added[key]), 0) if key in self.added else self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        found = {info.key: info for info in self._store.list(prefix, after) if info.key not in self.hidden}
        for key, data in self.added.items():
            if key.startswith(prefix) and key > after:
                found[key] = ObjectInfo(key, len(data), 0)
        yield from sorted(found.values())

    def folders(self, prefix: str) -> Sequence[str]:
        beginnings = (info.key[len(prefix) :].partition("/") for info in self.list(prefix))
        return sorted({f"{prefix}{name}/" for name, slash, _ in beginnings if slash})

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise RefusedError(f"nothing is written while a repair is planned: {key}", object_name=key)

    create = put

    def delete(self, key: str) -> None:
        raise RefusedError(f"nothing is deleted while a repair is planned: {key}", object_name=key)

    def _require(self, key: str) -> None:
        if key in self.hidden:
            raise ObjectNotFoundError(f"there is no {key} in {self.url}", object_name=key)
