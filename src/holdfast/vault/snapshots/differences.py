"""How two snapshots differ: files, tensors, what was said about them."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.thinning import dropped_components

__all__ = ["FileChange", "TensorChange", "Difference", "compare_snapshots"]


class TensorChange(NamedTuple):
    """A tensor that is not the same. `what`: added, removed, shape, dtype or values.

    `values`: a chunk that holds some of it is another one. Its bytes may be the same all the same, where the chunk is
    one that it shares with a neighbour; a tensor that is not listed has the same bytes. Norms are L2, as measured when
    saving, None where unknown; equal norms say nothing.
    """

    name: str
    what: str
    before: str
    after: str
    norm_before: float | None
    norm_after: float | None


class FileChange(NamedTuple):
    """A file that is not the same. `what`: added, removed, content, mode, time or type; `changed_bytes` of its new
    content.
    """

    path: str
    what: str
    size_before: int
    size_after: int
    changed_bytes: int
    tensors: list[TensorChange]


class Difference(NamedTuple):
    """From `before` to `after`. `facts`: field → (before, after) for step, metadata and versions that differ."""

    before: Root
    after: Root
    files: list[FileChange]
    same_files: int
    facts: dict[str, tuple[str, str]]


def compare_snapshots(handle: Handle, before: Root, after: Root) -> Difference:
    """Compare by manifests alone: no data is read. Raises DamageError."""
    old = {entry.path: entry for entry in snapshot_entries(handle, before)}
    new = {entry.path: entry for entry in snapshot_entries(handle, after)}
    changes = []
    same = 0
    for path in sorted(old.keys() | new.keys()):
        change = _compare(old.get(path), new.get(path))
        if change is None:
            same += new[path].type == "file"
        else:
            changes.append(change)
    return Difference(before, after, changes, same, _facts(before, after) | _given_up(handle, before, after))


def _compare(old: Entry | None, new: Entry | None) -> FileChange | None:
    some = new or old
    if some is None:
        return None
    path = os.fsdecode(some.path).encode("utf-8", "replace").decode()
    if old is None:
        return FileChange(path, "added", 0, some.size, some.size, [])
    if new is None:
        return FileChange(path, "removed", old.size, 0, 0, [])
    if old.type != new.type or old.target != new.target:
        return FileChange(path, "type" if old.type != new.type else "target", old.size, new.size, new.size, [])
    if old.chunks != new.chunks or old.runs != new.runs:
        known = {chunk for _, _, chunk, _ in entry_chunks(old)}
        changed = sum(length for _, length, chunk, _ in entry_chunks(new) if chunk not in known)
        return FileChange(path, "content", old.size, new.size, changed, _compare_tensors(old, new))
    if old.mode != new.mode:
        return FileChange(path, "mode", old.size, new.size, 0, [])
    if old.mtime != new.mtime and new.type == "file":
        return FileChange(path, "time", old.size, new.size, 0, [])
    return None


class _Tensors:
    """The tensors of a file by name, and of which pieces of chunks each is made."""

    def __init__(self, entry: Entry) -> None:
        self.records = {tensor.name: tensor for tensor in entry.tensors}
        self._chunks = entry_chunks(entry)
        self._starts = [offset for offset, _, _, _ in self._chunks]

    def pieces(self, tensor: TensorRecord) -> list[tuple[int, int, int, ChunkId]]:
        """(offset in the tensor, length, offset in the chunk, chunk) of each; between them are holes."""
        first, end = tensor.offset, tensor.offset + tensor.bytes
        pieces = []
        number = max(0, bisect_right(self._starts, first) - 1)
        for start, length, chunk, _ in self._chunks[number : bisect_left(self._starts, end)]:
            low, high = max(start, first), min(start + length, end)
            if low < high:
                pieces.append((low - first, high - low, low - start, chunk))
        return pieces


def _compare_tensors(old: Entry, new: Entry) -> list[TensorChange]:
    before, after = _Tensors(old), _Tensors(new)
    changes = []
    for name in sorted(before.records.keys() | after.records.keys()):
        change = _compare_tensor(name, before, after)
        if change is not None:
            changes.append(change)
    return changes


def _compare_tensor(name: str, before: _Tensors, after: _Tensors) -> TensorChange | None:
    old, new = before.records.get(name), after.records.get(name)
    if old is None and new is not None:
        return TensorChange(name, "added", "", _shape(new), None, new.norm)
    if new is None and old is not None:
        return TensorChange(name, "removed", _shape(old), "", old.norm, None)
    if old is None or new is None:
        return None
    what = ""
    if old.dtype != new.dtype or old.shape != new.shape:
        what = "dtype" if old.dtype != new.dtype else "shape"
    elif old.fortran != new.fortran or old.bytes != new.bytes or before.pieces(old) != after.pieces(new):
        what = "values"
    return TensorChange(name, what, _shape(old), _shape(new), old.norm, new.norm) if what else None


def _shape(tensor: TensorRecord) -> str:
    return f"{tensor.dtype}{tensor.shape}"


def _given_up(handle: Handle, before: Root, after: Root) -> dict[str, tuple[str, str]]:
    """What one of them no longer has: its files are not removed from the other, they are unknown."""
    old, new = (", ".join(dropped_components(handle, root)) for root in (before, after))
    return {"thinned": (old, new)} if old or new else {}


def _facts(before: Root, after: Root) -> dict[str, tuple[str, str]]:
    facts: dict[str, tuple[str, str]] = {}
    if before.step != after.step:
        facts["step"] = (str(before.step), str(after.step))
    for group, old, new in (("meta", before.meta, after.meta), ("version", before.versions, after.versions)):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                facts[f"{group} {key}"] = (old.get(key, ""), new.get(key, ""))
    return facts
