"""Dropping a snapshot: refs first, then the root. Its packs stay until they are collected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.errors import ConflictError, CredentialError, DamageError, FailedError, NotFoundError, RefusedError
from holdfast.ids import SnapshotId
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import tags_of
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, move_ref
from holdfast.vault.snapshots.roots import list_roots, newest_first, read_root

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
        moves[LATEST] = next(_others(handle, root), "")
    return DropPlan(root, handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)), moves)


def _others(handle: Handle, root: Root) -> Iterator[str]:
    """The other snapshots of the asset that can be pointed to, newest content first. Each was read from the store."""
    for other in newest_first(list_roots(handle, root.asset)):
        if other.id != root.id:
            try:
                yield read_root(handle, handle.keys.names.snapshot_key(other.asset, SnapshotId(other.id))).id
            except (DamageError, NotFoundError, CredentialError, FailedError) as error:
                handle.progress.note(f"passed over: {error.message}")


def apply_drop(handle: Handle, plan: DropPlan) -> None:
    """Carry the plan out: refs, then the root. Raises RefusedError, ConflictError (pointers moved meanwhile)."""
    if plan_drop(handle, plan.root) != plan:
        raise ConflictError(f"pointers of {plan.root.asset!r} moved since the plan was made", hint="plan it again")
    for name, target in plan.moves.items():
        move_ref(handle, plan.root.asset, name, target, f"snapshot {plan.root.id} was dropped")
    handle.store.delete(plan.key)
