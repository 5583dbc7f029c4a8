"""Output of `holdfast watch --json`: one object per line, as things happen."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Seconds, SnapshotRef, Time

__all__ = [
    "CheckpointFacts",
    "CopyFacts",
    "Found",
    "Waiting",
    "Protecting",
    "Protected",
    "Failed",
    "Vanished",
    "Warned",
    "Stopped",
    "WatchEvent",
]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    time: Time


class CheckpointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: its path in the watched folder, and what its framework's layout tells."""

    path: str
    step: int | None
    framework: str


class _OfCheckpoint(_Event, frozen=True, kw_only=True):
    checkpoint: CheckpointFacts


class CopyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the vault at another site. `error` says why the snapshot is not there, and is empty when it is."""

    url: str
    bytes: Bytes
    error: str


class Found(_OfCheckpoint, frozen=True, kw_only=True, tag="found"):
    """A checkpoint, complete or not, is seen for the first time."""

    bytes: Bytes


class Waiting(_OfCheckpoint, frozen=True, kw_only=True, tag="waiting"):
    """It is not ready, for this reason."""

    reason: str


class Protecting(_OfCheckpoint, frozen=True, kw_only=True, tag="protecting"):
    """It is ready and being saved."""


class Protected(_OfCheckpoint, frozen=True, kw_only=True, tag="protected"):
    """It is saved as `snapshot`. `validated`: read back, found good, and that pointer moved to it."""

    snapshot: SnapshotRef
    bytes: Bytes
    stored_bytes: Bytes
    verdict: str
    findings: Count
    read_back: bool
    validated: bool
    copies: list[CopyFacts]
    seconds: Seconds


class Failed(_OfCheckpoint, frozen=True, kw_only=True, tag="failed"):
    """It could not be saved. `retry_seconds` is null when this watch will not try again."""

    code: str
    message: str
    hint: str
    retry_seconds: Seconds | None


class Vanished(_OfCheckpoint, frozen=True, kw_only=True, tag="vanished"):
    """It was deleted before it could be saved."""


class Warned(_Event, frozen=True, kw_only=True, tag="warning"):
    """Something about the watch itself: an unreadable folder, a damaged state file."""

    message: str


class Stopped(_Event, frozen=True, kw_only=True, tag="stopped"):
    """The last line: paths of checkpoints by what became of them."""

    protected: list[str]
    failed: list[str]
    waiting: list[str]
    vanished: list[str]
    seconds: Seconds


WatchEvent = Found | Waiting | Protecting | Protected | Failed | Vanished | Warned | Stopped
