"""Facts about how two snapshots differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.snapshots import snapshot_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.differences import FactChange, FileChanged, SnapshotDiff, TensorChanged

if TYPE_CHECKING:
    from holdfast.cli.schemas.circumstances import CircumstanceChange
    from holdfast.vault.snapshots.differences import Difference, TensorChange

__all__ = ["diff_facts"]


def diff_facts(difference: Difference, circumstances: list[CircumstanceChange] | None = None) -> SnapshotDiff:
    """All that differs."""
    return SnapshotDiff(
        before=snapshot_facts(difference.before, []),
        after=snapshot_facts(difference.after, []),
        facts=[
            FactChange(fact=clean(fact), before=clean(before), after=clean(after))
            for fact, (before, after) in difference.facts.items()
        ],
        files=[
            FileChanged(
                path=clean(change.path),
                what=change.what,
                bytes_before=change.size_before,
                bytes_after=change.size_after,
                changed_bytes=change.changed_bytes,
                tensors=[_tensor(tensor) for tensor in change.tensors],
            )
            for change in difference.files
        ],
        same_files=difference.same_files,
        circumstances=circumstances,
    )


def _tensor(change: TensorChange) -> TensorChanged:
    return TensorChanged(
        name=clean(change.name),
        what=change.what,
        before=change.before,
        after=change.after,
        norm_before=change.norm_before,
        norm_after=change.norm_after,
    )
