"""What `snapshot settle` tells."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cli.schemas.settling import SettledSave, SnapshotsSettled
from holdfast.training.committing.settling import Settled

__all__ = ["settled_facts"]


def settled_facts(asset: str, settled: Sequence[Settled]) -> SnapshotsSettled:
    """The saves that were finished."""
    saves = [SettledSave(save=one.save, step=one.step, snapshot=one.snapshot) for one in settled]
    return SnapshotsSettled(asset=asset, settled=saves)
