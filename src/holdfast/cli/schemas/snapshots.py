"""Outputs of `holdfast snapshot`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.circumstances import CircumstanceFacts
from holdfast.cli.schemas.common import Bytes, Count, Damaged, Record, SnapshotRef, Time, WorkerFacts
from holdfast.cli.schemas.storage import StorageFacts

__all__ = [
    "SnapshotFacts",
    "FindingFacts",
    "ReadBack",
    "SnapshotSaved",
    "SavePlanned",
    "SnapshotList",
    "ComponentFacts",
    "MechanismFacts",
    "PointerFacts",
    "TensorFacts",
    "FileFacts",
    "SnapshotShown",
    "SnapshotVerified",
    "SnapshotTagged",
    "SnapshotDropped",
]


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in short.

    `content_time` is of the state inside, `saved_time` of the save; `bytes` is what restoring gives, `stored_bytes`
    what this snapshot added to the store; `pointers` are those that point to it now, `held` among them where somebody
    holds it; `thinned`: components that it no longer has; `set_aside`: why it was quarantined or demoted after it was
    saved, null if it was not.
    """

    id: SnapshotRef
    asset: str
    step: int | None
    content_time: Time
    saved_time: Time
    source: str
    name: str
    writer: str
    parents: list[SnapshotRef]
    files: Count
    bytes: Bytes
    stored_bytes: Bytes
    verdict: str
    findings: Count
    pointers: list[str]
    thinned: list[str] = []
    set_aside: str | None = None


class FindingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that validation found: which check, in which file or tensor, and a sentence."""

    check: str
    where: str
    message: str


class ReadBack(msgspec.Struct, frozen=True, kw_only=True):
    """How a snapshot was read back: `decoded` (every chunk decoded and compared with its id) or `stored-bytes`."""

    level: str
    bytes: Bytes
    time: Time


class MechanismFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that one mechanism took in, and what it made of them on the store.

    `deduplicated`: stored before; `hole`: zeros that take no space; `delta`, `planes`, `zstd`, `raw`: the codecs.
    """

    mechanism: str
    bytes: Bytes
    stored_bytes: Bytes


class SnapshotSaved(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-save/1"):
    """`snapshot save`. `read_back` is null when it was not read back; `validated`: that pointer moved to it."""

    snapshot: SnapshotFacts
    policy: str
    findings: list[FindingFacts]
    mechanisms: list[MechanismFacts]
    read_back: ReadBack | None
    validated: bool


class SavePlanned(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-save-plan/1"):
    """`snapshot save --dry-run`: what would be read.

    `parent` is what it would be compared with and delta-coded against; `like_parent_bytes` belongs to files whose path,
    size and time of modification are those of the parent's.
    """

    asset: str
    path: str
    source: str
    files: Count
    folders: Count
    links: Count
    bytes: Bytes
    content_time: Time
    skipped: list[str]
    parent: SnapshotRef | None
    parent_step: int | None
    like_parent_files: Count
    like_parent_bytes: Bytes


class SnapshotList(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-list/1"):
    """`snapshot list`: oldest first. `damaged` are snapshots and pointers that could not be read.

    `older`: how many snapshots `--limit` left out.
    """

    vault: str
    url: str
    asset: str | None
    snapshots: list[SnapshotFacts]
    older: Count
    damaged: list[Damaged]


class ComponentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one component (`weights`, `optimizer`, `rng`, `dataloader`, `other`)."""

    component: str
    files: Count
    bytes: Bytes


class PointerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pointer of the asset points, since when and why."""

    name: str
    snapshot: SnapshotRef
    moved: Time
    reason: str


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor. `norm` is L2 over the finite values, `least` and `greatest` bound them, `zeros` are counted: null for
    integers, and where older versions did not look; `nonfinite` counts NaN and infinities.
    """

    file: str
    name: str
    dtype: str
    shape: list[int]
    bytes: Bytes
    norm: float | None
    nonfinite: Count
    least: float | None = None
    greatest: float | None = None
    zeros: Count | None = None


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A `file`, `folder` or `link` of a snapshot; `format` is what its content was taken for."""

    path: str
    type: str
    bytes: Bytes
    modified: Time
    format: str | None
    tensors: Count
    target: str | None


class SnapshotShown(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-show/1"):
    """`snapshot show`. `tensors`, `files`, `codecs` and `circumstances` are null unless asked for with the option of
    that name.

    `pointers` are all those of the asset, wherever they point; `read_back` is the newest time that this snapshot was
    read back and found good, as far as the pointer `validated` remembers.
    """

    snapshot: SnapshotFacts
    policy: str
    checks: list[str]
    findings: list[FindingFacts]
    read_back: ReadBack | None
    pointers: list[PointerFacts]
    components: list[ComponentFacts]
    mechanisms: list[MechanismFacts]
    tensor_count: Count
    tensor_bytes: Bytes
    meta: dict[str, str]
    versions: dict[str, str]
    tensors: list[TensorFacts] | None = None
    files: list[FileFacts] | None = None
    codecs: StorageFacts | None = None
    circumstances: list[CircumstanceFacts] | None = None


class SnapshotVerified(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-verify/1"):
    """`snapshot verify`: it was read back, and is good. `validated`: that pointer moved to it.

    `deep`: where the bytes say otherwise than the manifest; null unless that was asked for. `workers`: of a cluster,
    who read it.
    """

    snapshot: SnapshotFacts
    read_back: ReadBack
    files: Count
    chunks: Count
    validated: bool
    findings: list[FindingFacts]
    deep: list[FindingFacts] | None = None
    workers: list[WorkerFacts]


class SnapshotTagged(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-tag/1"):
    """`snapshot tag`. `moved_from` is where the tag was before."""

    asset: str
    tag: str
    snapshot: SnapshotRef
    removed: bool
    moved_from: SnapshotRef | None


class SnapshotDropped(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-drop/1"):
    """`snapshot drop`. `moves`: pointer → the snapshot that it points to from then on, null for nowhere."""

    snapshot: SnapshotFacts
    dry_run: bool
    moves: dict[str, SnapshotRef | None]
