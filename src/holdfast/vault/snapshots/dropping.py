"""Dropping snapshots: refs first, then the root, then its `thinned` series. Packs stay until they are collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from holdfast.errors import ConflictError, CredentialError, DamageError, FailedError, NotFoundError, RefusedError
from holdfast.ids import SnapshotId
from holdfast.vault.format.records import Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.state import refuse_locked
from holdfast.vault.snapshots.finding import tags_of
from holdfast.vault.snapshots.holds import held_by, hold_name
from holdfast.vault.snapshots.pointers import Pointers
from holdfast.vault.snapshots.quarantine import is_set_aside, leave_dropped, meant_by
from holdfast.vault.snapshots.refs import LATEST, RESERVED, VALIDATED, move_ref, read_newest_ref
from holdfast.vault.snapshots.roots import list_roots, newest_first, read_root
from holdfast.vault.snapshots.thinning import forget_thinned

__all__ = ["DropPlan", "plan_drop", "apply_drop", "drop_many", "LOOK_AGAIN"]

LOOK_AGAIN = 64  # roots are deleted between two looks at whether a pointer moved


class DropPlan(NamedTuple):
    """What dropping a snapshot would do. `moves`: ref → the snapshot it would point to ("" for nowhere)."""

    root: Root
    key: str
    moves: dict[str, str]


def plan_drop(handle: Handle, root: Root) -> DropPlan:
    """Decide; change nothing.

    Raises RefusedError for a snapshot that is tagged, held or locked, and for the one that `validated` points to
    (nothing older goes before something newer is proven, and the proof itself never), CredentialError for all but
    keepers.
    """
    handle.keys.require_keeper("dropping a snapshot")
    refs = tags_of(handle, root.asset)
    refuse_locked(handle, _key(handle, root))
    _require_not_validated(root, meant_by(handle, root.asset, VALIDATED, refs))
    pointing = _pointing(refs, root, handle.clock.now_ns(), ignore_tags=False)
    moves = {name: "" for name in sorted(pointing) if name.startswith(RESERVED)}  # they may not lead nowhere
    if LATEST in pointing:
        moves[LATEST] = next(_others(handle, root), "")
    return DropPlan(root, _key(handle, root), moves)


def _pointing(refs: Mapping[str, Ref], root: Root, now_ns: int, *, ignore_tags: bool) -> set[str]:
    """What points to the snapshot, none of which protects it. Raises RefusedError where something does."""
    pointing = {name for name, ref in refs.items() if ref.target == root.id}
    for hold in held_by(refs, root.id):
        if hold.until is None or hold.until > now_ns:
            raise RefusedError(
                f"snapshot {root.id} is held: {hold.reason}", hint="end the hold first: `holdfast snapshot unhold`"
            )
    tags = sorted(name for name in pointing - {LATEST, VALIDATED} if not name.startswith(RESERVED))
    if tags and not ignore_tags:
        raise RefusedError(
            f"snapshot {root.id} is tagged {', '.join(map(repr, tags))}",
            hint="remove the tag first: `snapshot tag --remove`",
        )
    _require_not_validated(root, root.id if VALIDATED in pointing else "")
    return pointing


def _require_not_validated(root: Root, validated: str) -> None:
    if validated == root.id:
        raise RefusedError(
            f"snapshot {root.id} is the newest one of {root.asset!r} that was read back and found good",
            hint="verify another one first: `snapshot verify REF`, or, where that one has older content or findings, "
            "`snapshot verify REF --accept-findings`",
        )


def _others(handle: Handle, root: Root) -> Iterator[str]:
    """The other snapshots of the asset that can be pointed to, newest content first. Each was read from the store.
    One that was set aside is not among them.
    """
    for other in newest_first(list_roots(handle, root.asset)):
        if other.id != root.id:
            try:
                found = read_root(handle, handle.keys.names.snapshot_key(other.asset, SnapshotId(other.id))).id
                if not is_set_aside(handle, other.asset, found, LATEST):
                    yield found
            except (DamageError, NotFoundError, CredentialError, FailedError) as error:
                handle.progress.note(f"passed over: {error.message}")


def apply_drop(handle: Handle, plan: DropPlan) -> None:
    """Carry the plan out: refs, then the root. Raises RefusedError, ConflictError (pointers moved meanwhile)."""
    if plan_drop(handle, plan.root) != plan:
        raise ConflictError(f"pointers of {plan.root.asset!r} moved since the plan was made", hint="plan it again")
    _drop(handle, plan.root, plan.moves)
    # A save that was still at it may have moved a pointer since it was looked at (and see `advance_ref`).
    leave_dropped(handle, plan.root.asset, {plan.root.id}, tags_of(handle, plan.root.asset))


def drop_many(
    handle: Handle, asset: str, roots: Sequence[Root], now_ns: int, *, ignore_tags: bool = False
) -> Iterator[Root]:
    """Drop these snapshots of one asset, and give each when it is gone. Who stops in between has dropped the first.

    The asset's pointers are read once, and what was moved since is read every now and then. With
    `ignore_tags` tags go with their snapshots. A hold that ended before `now_ns` (the store's time) protects nothing.
    Raises RefusedError for a snapshot that something protects, and for the one that `latest` points to.
    """
    handle.keys.require_keeper("dropping snapshots")
    pointers = Pointers(handle, asset)
    refs: dict[str, Ref] = {}
    validated = ""
    for number, root in enumerate(roots):
        if number % LOOK_AGAIN == 0:
            refs = pointers.look()
            validated = meant_by(handle, asset, VALIDATED, refs)
        _require_not_validated(root, validated)
        held = read_newest_ref(handle, asset, hold_name(root.id))  # of holds the last look is too long ago
        known = refs if held is None else {**refs, held.name: held}
        pointing = _pointing(known, root, now_ns, ignore_tags=ignore_tags)
        if LATEST in pointing:
            raise RefusedError(f"snapshot {root.id} is the latest of {asset!r}", hint="plan it again")
        _drop(handle, root, dict.fromkeys(sorted(pointing), ""))
        yield root
    if roots:
        leave_dropped(handle, asset, {root.id for root in roots}, pointers.look())


def _drop(handle: Handle, root: Root, moves: Mapping[str, str]) -> None:
    for name, target in moves.items():
        move_ref(handle, root.asset, name, target, f"snapshot {root.id} was dropped")
    handle.store.delete(_key(handle, root))
    forget_thinned(handle, root.asset, SnapshotId(root.id))


def _key(handle: Handle, root: Root) -> str:
    return handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
