"""What snapshots lost, exactly: which bytes of which files, and so which tensors."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping

from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, PartLink, Root
from holdfast.vault.repairing.model import LostFile, LostPart, LostTensor, SnapshotLoss
from holdfast.vault.snapshots.labels import entry_chunks

__all__ = ["loss_of", "file_loss"]

Range = tuple[int, int]


def loss_of(
    root: Root, parts: Iterable[tuple[str, PartLink, list[Entry] | None]], lost: Mapping[ChunkId, str]
) -> SnapshotLoss | None:
    """What the snapshot lost, or None. `parts`: key, link, and entries (None: the manifest itself is gone)."""
    lost_parts: list[LostPart] = []
    lost_files: list[LostFile] = []
    whole_files = whole_bytes = 0
    for key, link, entries in parts:
        if entries is None:
            lost_parts.append(LostPart(key, link.component, link.files, link.size))
            continue
        for entry in entries:
            hurt = file_loss(entry, lost)
            if hurt is not None:
                lost_files.append(hurt)
            elif entry.type == "file":
                whole_files += 1
                whole_bytes += entry.size
    if not lost_parts and not lost_files:
        return None
    why = f"{len(lost_files)} files hurt" if lost_files else "manifests are gone"
    return SnapshotLoss(root.id, root.asset, root.step, why, lost_parts, lost_files, whole_files, whole_bytes)


def file_loss(entry: Entry, lost: Container[ChunkId]) -> LostFile | None:
    """What a file lost, or None."""
    gone = [(offset, length) for offset, length, chunk, _ in entry_chunks(entry) if chunk in lost]
    if not gone:
        return None
    ranges = _joined(gone)
    tensors = []
    for record in sorted(entry.tensors, key=lambda one: one.offset):
        inside = _within(ranges, record.offset, record.bytes)
        if inside:
            tensors.append(LostTensor(record.name, inside))
    path = os.fsdecode(entry.path)
    return LostFile(path, entry.size, ranges, tensors, len(entry.tensors) - len(tensors))


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, length in sorted(ranges):
        if joined and start <= joined[-1][0] + joined[-1][1]:
            first = joined[-1][0]
            joined[-1] = (first, max(joined[-1][1], start + length - first))
        else:
            joined.append((start, length))
    return joined


def _within(ranges: Iterable[Range], offset: int, size: int) -> list[Range]:
    """The parts of the ranges that lie in `size` bytes from `offset` on, counted from there."""
    found = []
    for start, length in ranges:
        first, last = max(start, offset), min(start + length, offset + size)
        if first < last:
            found.append((first - offset, last - first))
    return found
