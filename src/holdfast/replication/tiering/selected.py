"""A store that shows only chosen snapshots: so that a copy of a vault copies those, and what they reach."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.vault.format.names import REFS, SNAPSHOTS

__all__ = ["SelectedStore"]


class SelectedStore(ReadOnlyStore):
    """`store` for reading, as if it had the roots of these snapshots only. Everything else of it is there, but for its
    pointers where those are not to be copied.
    """

    def __init__(self, store: Store, snapshots: Collection[str], *, pointers: bool = True) -> None:
        super().__init__(store)
        self._snapshots = frozenset(snapshots)
        self._pointers = pointers

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        for info in super().list(prefix, after):
            if info.key.startswith(SNAPSHOTS) and info.key.rpartition("/")[2] not in self._snapshots:
                continue
            if self._pointers or not info.key.startswith(REFS):
                yield info

    def folders(self, prefix: str) -> Sequence[str]:
        if not prefix.startswith(SNAPSHOTS):
            return super().folders(prefix)
        found = {prefix + info.key[len(prefix) :].partition("/")[0] + "/" for info in self.list(prefix)}
        return sorted(folder for folder in found if folder != prefix)
