"""Outputs of `holdfast snapshot quarantine` and `release`."""

from __future__ import annotations

from holdfast.cli.schemas.common import Record, SnapshotRef

__all__ = ["SnapshotQuarantined", "SnapshotReleased"]


class SnapshotQuarantined(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-quarantine/1"):
    """`snapshot quarantine`. `moves`: pointer → the snapshot that it points to from now on, null for nowhere.

    With a key that cannot read it is empty, and readers pass the snapshot over all the same.
    """

    asset: str
    snapshot: SnapshotRef
    reason: str
    moves: dict[str, SnapshotRef | None]


class SnapshotReleased(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-release/1"):
    """`snapshot release`. `was`: why it had been set aside, null where this key cannot read that."""

    asset: str
    snapshot: SnapshotRef
    was: str | None
