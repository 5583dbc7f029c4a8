"""Dropping a snapshot: refs first, then the root. Its packs stay until they are collected."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import ConflictError, RefusedError
from holdfast.ids import SnapshotId
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import list_roots, tags_of
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, move_ref

__all__ = ["DropPlan", "plan_drop", "apply_drop"]


class DropPlan(NamedTuple):
    """What dropping a snapshot would do. `moves`: ref → the snapshot it would point to ("" for nowhere)."""

    root: Root
    key: str
    moves: dict[str, str]


def plan_drop(handle: Handle, root: Root) -> DropPlan:
    """Decide; change nothing.

    Raises RefusedError for a tagged snapshot and for the one that `validated` points to (nothing older goes before
    something newer is proven, and the proof itself never), CredentialError for all but keepers.
    """
    handle.keys.require_keeper("dropping a snapshot")
    pointing = {name for name, ref in tags_of(handle, root.asset).items() if ref.target == root.id}
    tags = sorted(pointing - {LATEST, VALIDATED})
    if tags:
        raise RefusedError(
            f"snapshot {root.id} is tagged {', '.join(map(repr, tags))}",
            hint="remove the tag first: `snapshot tag --remove`",
        )
    if VALIDATED in pointing:
        raise RefusedError(
            f"snapshot {root.id} is the newest one of {root.asset!r} that was read back and found good",
            hint="verify another one first: `snapshot verify REF`, or, where that one has older content or findings, "
            "`snapshot verify REF --accept-findings`",
        )
    moves = {}
    if LATEST in pointing:
        others = [
            listed.root
            for listed in list_roots(handle, root.asset)
            if listed.root is not None and listed.root.id != root.id and listed.root.validation.verdict != "quarantined"
        ]
        moves[LATEST] = max(others, key=lambda other: (other.content, other.id)).id if others else ""
    return DropPlan(root, handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)), moves)


def apply_drop(handle: Handle, plan: DropPlan) -> None:
    """Carry the plan out: refs, then the root. Raises RefusedError, ConflictError (pointers moved meanwhile)."""
    if plan_drop(handle, plan.root) != plan:
        raise ConflictError(f"pointers of {plan.root.asset!r} moved since the plan was made", hint="plan it again")
    for name, target in plan.moves.items():
        move_ref(handle, plan.root.asset, name, target, f"snapshot {plan.root.id} was dropped")
    handle.store.delete(plan.key)
