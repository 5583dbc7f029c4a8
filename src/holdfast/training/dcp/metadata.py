"""Layouts as the `Metadata` that torch's planners load by. Nothing is unpickled: every value is made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from holdfast.errors import DamageError
from holdfast.training.dcp.layout import RankLayout, TensorItem, ValueItem, check_layouts

__all__ = ["Stored", "metadata_of"]


class Stored(NamedTuple):
    """Where a loader finds an item: one of the two is there."""

    tensor: TensorItem | None
    value: ValueItem | None


def metadata_of(layouts: Sequence[RankLayout], snapshot: str, checkpoint: str) -> Metadata:
    """`storage_data` maps to `Stored`. Raises DamageError for layouts that no save of ours makes."""
    check_layouts(layouts, snapshot)
    state: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {}
    paths: dict[str, tuple[str | int, ...]] = {}
    stored: dict[MetadataIndex, Stored] = {}
    for layout in sorted(layouts, key=lambda one: one.rank):
        for item in layout.tensors:
            index = MetadataIndex(item.fqn, item.offsets)
            known = stored.get(index)
            if known is not None and known.tensor is not None and 0 not in known.tensor.sizes:
                continue  # ranks that did not talk to each other wrote the same more than once
            stored[index] = Stored(item, None)
            paths[item.fqn] = tuple(item.path)
        for value in layout.values:
            stored.setdefault(MetadataIndex(value.fqn), Stored(None, value))
            state[value.fqn] = BytesStorageMetadata()
            paths[value.fqn] = tuple(value.path)
    for one in stored.values():
        if one.tensor is not None:
            _add(state, one.tensor, snapshot)
    meta = StorageMeta(checkpoint_id=checkpoint)
    return Metadata(state, planner_data=paths, storage_data=stored, storage_meta=meta)


def _add(state: dict[str, TensorStorageMetadata | BytesStorageMetadata], item: TensorItem, snapshot: str) -> None:
    dtype = getattr(torch, item.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise DamageError(f"snapshot {snapshot} has the unknown dtype {item.dtype[:40]!r}", object_name=snapshot)
    chunk = ChunkStorageMetadata(offsets=torch.Size(item.offsets), sizes=torch.Size(item.sizes))
    known = state.get(item.fqn)
    if isinstance(known, TensorStorageMetadata):
        known.chunks.append(chunk)
        return
    state[item.fqn] = TensorStorageMetadata(TensorProperties(dtype=dtype), torch.Size(item.shape), [chunk])
