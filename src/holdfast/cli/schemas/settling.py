"""Output of `holdfast snapshot settle`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record, SnapshotRef

__all__ = ["SettledSave", "SnapshotsSettled"]


class SettledSave(msgspec.Struct, frozen=True, kw_only=True):
    """A save of many ranks, by its name, and the snapshot that was made of it."""

    save: str
    step: int | None
    snapshot: SnapshotRef


class SnapshotsSettled(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-settle/1"):
    """`snapshot settle`. `settled`: what was finished by this call, oldest first."""

    asset: str
    settled: list[SettledSave]
