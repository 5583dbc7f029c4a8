"""All tensors of a snapshot by name: names, shapes and dtypes at once, bytes when they are touched, and only those."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from holdfast.errors import NotFoundError, UsageError
from holdfast.vault.files.decoded import DECODED_BYTES
from holdfast.vault.files.reading import PartialFile, PartReader
from holdfast.vault.format.records import Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.thinning import tell_given_up
from holdfast.vault.tensors.lazy import LazyTensor, Reading
from holdfast.vault.tensors.targets import target_array

__all__ = ["LazyTensor", "LazyTensors", "load_tensors"]

Array = np.ndarray[Any, np.dtype[Any]]
Placed = tuple[PartialFile, TensorRecord]


class LazyTensors(Mapping[str, LazyTensor]):
    """Name → array. A name that several files use is `path::name`; every array can be had under that name, too.

    What looks like another array's `path::name` means that one; the array that is really called so is `path::name`.
    """

    def __init__(self, root: Root, parts: PartReader, tensors: dict[str, Placed], full: dict[str, Placed]) -> None:
        self.snapshot = root
        self._parts = parts
        self._tensors = tensors
        self._full = full

    def __getitem__(self, name: str) -> LazyTensor:
        """Raises NotFoundError (which is a KeyError to nobody) naming what there is."""
        found = self._placed(name)
        if found is None:
            raise NotFoundError(
                f"snapshot {self.snapshot.id} has no tensor {name!r}", hint=f"it has {len(self._tensors)} others"
            )
        return LazyTensor(self._parts, *found)

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor, or `default`."""
        found = self._placed(name)
        return default if found is None else LazyTensor(self._parts, *found)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors or name in self._full

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def _placed(self, name: str) -> Placed | None:
        return self._full.get(name) or self._tensors.get(name)

    def read_all(
        self,
        names: Iterable[str] | None = None,
        *,
        into: Mapping[str, Any] | None = None,
        keys: Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> dict[str, Array]:
        """Many tensors in one pass: each chunk is read once, in the order of the packs, by several threads.

        `names`: by default those of `into`, else all. `into`: name → the memory that it is read into, as of
        `LazyTensor.read_into`; others get memory of their own. `keys`: name → what of it to read; others come whole.
        Beside the results (and one tensor at a time that `read_into` would copy) a few chunks are in memory. Raises
        NotFoundError, UsageError, IndexError, DamageError; after an error the memory in `into` holds anything.
        """
        into, keys = into or {}, keys or {}
        chosen = dict.fromkeys(names if names is not None else into or self)
        for name in (*into, *keys):
            if name not in chosen:  # a name that is misspelt would else go unnoticed
                raise UsageError(f"{name!r} has a place or a key, but is not among the tensors to be read")
        found: dict[str, Array] = {}
        readings: dict[str, Reading] = {}
        apart: list[str] = []
        for name in chosen:
            tensor, key = self[name], keys.get(name, ...)
            if name not in into:
                readings[name] = tensor.plan(key)
            elif tensor.is_direct(key):
                found[name] = target_array(into[name], tensor.dtype, tensor.result_shape(key) or (), tensor.name)
                readings[name] = tensor.plan(key, found[name])
            else:
                apart.append(name)
        self._parts.fill((each for reading in readings.values() for each in reading.demands), workers=workers)
        for name, reading in readings.items():
            if name not in found:
                found[name] = np.asarray(reading.selection.of(reading.block, self[name].dtype))
        for name in apart:
            found[name] = self[name].read_into(into[name], keys.get(name, ...))
        return {name: found[name] for name in chosen}

    def shard(
        self,
        rank: int,
        world: int,
        *,
        dim: int | Mapping[str, int | None] = 0,
        names: Iterable[str] | None = None,
        into: Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> dict[str, Array]:
        """What rank `rank` of `world` holds of every tensor, in one pass: as `LazyTensor.shard`, `read_all`.

        `dim`: along which dimension all are cut, or name → dimension; those that it does not name, or with None, and
        those without dimensions come whole, to every rank.
        """
        names = list(names if names is not None else into or self)
        keys: dict[str, Any] = {}
        for name in dim if isinstance(dim, Mapping) else ():
            self[name]  # raises for one that is misspelt: its tensor would come whole
        for name in names:
            tensor = self[name]
            along = dim.get(name) if isinstance(dim, Mapping) else dim
            keys[name] = ... if along is None or not tensor.shape else tensor.shard_key(rank, world, along)
        return self.read_all(names, into=into, keys=keys, workers=workers)


def load_tensors(handle: Handle, root: Root, *, cache_bytes: int = DECODED_BYTES) -> LazyTensors:
    """All arrays of a snapshot. `cache_bytes`: of decoded chunks that are kept, as small tensors share them.

    Raises NotFoundError when it has none.
    """
    tell_given_up(handle, root)
    full: dict[str, Placed] = {}
    by_name: dict[str, list[str]] = {}
    for entry in snapshot_entries(handle, root):
        file = PartialFile(entry)
        for record in entry.tensors:
            name = f"{os.fsdecode(entry.path)}::{record.name}"
            full[name] = (file, record)
            by_name.setdefault(record.name, []).append(name)
    if not full:
        raise NotFoundError(
            f"snapshot {root.id} holds no tensors that are known by name", hint="use `restore` for its files"
        )
    tensors: dict[str, Placed] = {}
    for name, names in by_name.items():
        is_clear = len(names) == 1 and name not in full  # a tensor may be called like another one's path and name
        tensors |= {name if is_clear else each: full[each] for each in names}
    return LazyTensors(root, PartReader(handle, cache_bytes=cache_bytes), tensors, full)
