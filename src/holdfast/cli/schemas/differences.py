"""Output of `holdfast snapshot diff`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.circumstances import CircumstanceChange
from holdfast.cli.schemas.common import Bytes, Count, Record
from holdfast.cli.schemas.snapshots import SnapshotFacts

__all__ = ["FactChange", "TensorChanged", "FileChanged", "SnapshotDiff"]


class FactChange(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the snapshots that differs: `step`, `meta NAME`, `version NAME`."""

    fact: str
    before: str
    after: str


class TensorChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that differs. `what`: `added`, `removed`, `shape`, `dtype` or `values`.

    `before` and `after` are dtype and shape.
    """

    name: str
    what: str
    before: str
    after: str
    norm_before: float | None
    norm_after: float | None


class FileChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A file that differs. `what`: `added`, `removed`, `content`, `mode`, `time`, `type` or `target`."""

    path: str
    what: str
    bytes_before: Bytes
    bytes_after: Bytes
    changed_bytes: Bytes
    tensors: list[TensorChanged]


class SnapshotDiff(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-diff/1"):
    """`snapshot diff A B`, by manifests alone. `same_files` counts files that do not differ.

    `circumstances`: what differs of those, what matters most first; null where one of the two does not tell of any.
    """

    before: SnapshotFacts
    after: SnapshotFacts
    facts: list[FactChange]
    files: list[FileChanged]
    same_files: Count
    circumstances: list[CircumstanceChange] | None = None
