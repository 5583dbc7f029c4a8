"""Facts about snapshots that are set aside, or not any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.quarantines import SnapshotQuarantined, SnapshotReleased

if TYPE_CHECKING:
    from holdfast.vault.snapshots.quarantine import SetAside

__all__ = ["quarantined_facts", "released_facts"]


def quarantined_facts(done: SetAside) -> SnapshotQuarantined:
    """What quarantining did to the pointers."""
    return SnapshotQuarantined(
        asset=done.asset,
        snapshot=done.snapshot,
        reason=clean(done.mark.reason) if done.mark is not None else "",
        moves={name: target or None for name, target in done.moves.items()},
    )


def released_facts(done: SetAside) -> SnapshotReleased:
    """What was taken back."""
    was = None if done.mark is None else clean(f"{done.mark.kind}: {done.mark.reason}")
    return SnapshotReleased(asset=done.asset, snapshot=done.snapshot, was=was)
