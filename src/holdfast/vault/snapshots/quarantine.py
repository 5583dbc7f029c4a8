"""Setting a snapshot aside after it was saved: quarantined by a person, or demoted because it leads nowhere.

The mark is a ref of its own, `!quarantine/<snapshot id>`, that points to the snapshot; released, it points nowhere.
Whoever resolves `validated` or `latest` looks at it, so it holds whatever the pointers say and whoever moves them
meanwhile. The pointers are moved all the same: for programs that know no marks.

*Quarantined*: no reference but its id, or a tag that somebody gave it, resolves to it. *Demoted*: only `validated` does
not.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import partial
from typing import NamedTuple

from holdfast.errors import CredentialError, DamageError, FailedError, NotFoundError, UntrustedError
from holdfast.fanout.beside import for_each
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.vault.format.names import REFS
from holdfast.vault.format.records import Ref
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, generations_of, move_ref, read_backwards, readable_refs
from holdfast.vault.snapshots.roots import read_root

__all__ = [
    "QUARANTINED",
    "DEMOTED",
    "Mark",
    "SetAside",
    "mark_of",
    "marks_of",
    "marks_in",
    "is_set_aside",
    "set_aside",
    "release",
    "fallback_of",
    "meant_by",
    "leave_dropped",
]

QUARANTINED, DEMOTED = "quarantined", "demoted"
_PREFIX = "!quarantine/"


class Mark(NamedTuple):
    """A snapshot that was set aside: `kind` is QUARANTINED or DEMOTED, `at` in ns."""

    snapshot: str
    kind: str
    reason: str
    at: int


class SetAside(NamedTuple):
    """What setting aside did. `moves`: pointer → the snapshot that it points to now ("" for nowhere)."""

    asset: str
    snapshot: str
    mark: Mark | None
    moves: Mapping[str, str]


def mark_of(handle: Handle, asset: str, snapshot: str) -> Mark | None:
    """The mark of one snapshot, or None. One that nobody can read counts as a mark, one that nobody trusts does not."""
    handle.keys.require_reader("looking for quarantined snapshots")
    return _mark_at(handle, handle.keys.names.ref_prefix(asset, f"{_PREFIX}{snapshot}"), snapshot)


def marks_of(handle: Handle, asset: str) -> dict[str, Mark]:
    """Snapshot → mark, of all snapshots of the asset that are set aside. Reads the newest of every ref of the asset."""
    handle.keys.require_reader("looking for quarantined snapshots")
    folders = handle.store.folders(f"{REFS}{handle.keys.names.asset_key(asset)}/")

    def mark_at(folder: str) -> Mark | None:
        return _mark_at(handle, folder, "")

    # Over a line all answers are waited for together; of a folder one after the other is faster.
    marks = for_each(mark_at, folders) if handle.store.capabilities.remote else map(mark_at, folders)
    return {mark.snapshot: mark for mark in marks if mark is not None and mark.snapshot}


def marks_in(refs: Mapping[str, Ref]) -> dict[str, Mark]:
    """The same, from refs of the asset that were read already (name → newest generation)."""
    marks = (_mark_in(ref) for ref in refs.values())
    return {mark.snapshot: mark for mark in marks if mark is not None}


def is_set_aside(handle: Handle, asset: str, snapshot: str, pointer: str) -> bool:
    """Whether `latest`, `validated`, a step or a time must not resolve to the snapshot. `pointer`: which of them."""
    return _hides(mark_of(handle, asset, snapshot), pointer)


def set_aside(handle: Handle, asset: str, snapshot: str, reason: str, kind: str = QUARANTINED) -> SetAside:
    """Mark the snapshot, and move the pointers away from it as far as this key can tell where they point.

    With a key that cannot read, only the mark is written; readers pass the snapshot over. Raises CredentialError for
    one who may not write.
    """
    handle.keys.require_writer("setting a snapshot aside")
    mark = Mark(snapshot, kind, reason, handle.clock.now_ns())
    move_ref(handle, asset, f"{_PREFIX}{snapshot}", snapshot, f"{kind}: {reason}")
    moves = {}
    if handle.keys.can_read:
        for pointer in (VALIDATED,) if kind == DEMOTED else (VALIDATED, LATEST):
            where = _move_away(handle, asset, snapshot, pointer, f"{kind} {snapshot}: {reason}")
            if where is not None:
                moves[pointer] = where
    return SetAside(asset, snapshot, mark, moves)


def release(handle: Handle, asset: str, snapshot: str) -> SetAside:
    """Take the mark off. No pointer moves: verifying the snapshot moves `validated` to it if it deserves that.

    Raises NotFoundError when it has none (as far as this key can tell), CredentialError for one who may not write.
    """
    handle.keys.require_writer("releasing a snapshot")
    mark = mark_of(handle, asset, snapshot) if handle.keys.can_read else None
    if mark is None and handle.keys.can_read:
        raise NotFoundError(
            f"snapshot {snapshot} was not set aside",
            hint="if it was quarantined by the policy of its save, `snapshot verify --accept-findings` accepts it",
        )
    move_ref(handle, asset, f"{_PREFIX}{snapshot}", "", "released")
    return SetAside(asset, snapshot, mark, {})


def fallback_of(handle: Handle, asset: str, pointer: str, without: str) -> Ref | None:
    """Where the pointer pointed before: its newest generation with a snapshot that is there and not set aside.

    For `validated` that is one that was read back and found good (or whose findings were accepted). None: there is no
    such one.
    """
    seen = {without}
    for ref in read_backwards(handle, asset, pointer):
        if ref.target in seen or not is_snapshot_id(ref.target):
            continue
        seen.add(ref.target)
        if _can_stand(handle, asset, ref.target, pointer):
            return ref
    return None


def meant_by(handle: Handle, asset: str, pointer: str, refs: Mapping[str, Ref], known: Container[str] = ()) -> str:
    """The snapshot that the pointer resolves to, "" for none. That is not where it points when that one was set aside
    by a key that moves no pointer, or is gone. `refs`: name → newest generation, of all refs of the asset; `known`: ids
    of snapshots that are there.
    """
    newest = refs.get(pointer)
    if newest is None:
        return ""
    if newest.target in known and not _hides(marks_in(refs).get(newest.target), pointer):
        return newest.target
    for ref in read_backwards(handle, asset, pointer):
        if not ref.target:
            break
        if _can_stand(handle, asset, ref.target, pointer):
            return ref.target
    return ""


def leave_dropped(handle: Handle, asset: str, dropped: Container[str], refs: Mapping[str, Ref]) -> None:
    """Move the refs that point to what was just dropped away from it: a save that was still at it moved them there."""
    for name, ref in refs.items():
        snapshot = ref.target
        if snapshot in dropped:
            reason = f"snapshot {snapshot} was dropped"
            if name in (LATEST, VALIDATED):
                _move_away(handle, asset, snapshot, name, reason)
            else:
                move_ref(handle, asset, name, "", reason, unless=partial(_is_elsewhere, snapshot))


def _move_away(handle: Handle, asset: str, snapshot: str, pointer: str, reason: str) -> str | None:
    """Returns where the pointer points now, None if it did not point to the snapshot."""
    if not _points_to(handle, asset, snapshot, pointer):
        return None
    before = fallback_of(handle, asset, pointer, snapshot)
    target, check = (before.target, before.check) if before is not None else ("", None)
    moved = move_ref(handle, asset, pointer, target, reason, check, unless=partial(_is_elsewhere, snapshot))
    return target if moved else None


def _hides(mark: Mark | None, pointer: str) -> bool:
    return mark is not None and (mark.kind == QUARANTINED or pointer == VALIDATED)


def _can_stand(handle: Handle, asset: str, snapshot: str, pointer: str) -> bool:
    """Whether the pointer may resolve to the snapshot: it is there, and not set aside."""
    if not is_snapshot_id(snapshot):
        return False
    try:
        read_root(handle, handle.keys.names.snapshot_key(asset, SnapshotId(snapshot)))
    except (DamageError, NotFoundError, FailedError, CredentialError) as error:
        handle.progress.note(f"passed over: {error.message}")
        return False
    return not is_set_aside(handle, asset, snapshot, pointer)


def _is_elsewhere(snapshot: str, ref: Ref) -> bool:
    return ref.target != snapshot


def _points_to(handle: Handle, asset: str, snapshot: str, pointer: str) -> bool:
    return next((ref.target == snapshot for ref in read_backwards(handle, asset, pointer)), False)


def _mark_at(handle: Handle, prefix: str, snapshot: str) -> Mark | None:
    """The mark in this series. `snapshot` names the one that is asked for, empty when any ref may be there."""
    try:
        keys = generations_of(handle, prefix).keys()
        ref = next(readable_refs(handle, keys, pass_untrusted=True), None)
    except UntrustedError:
        return None  # noted already
    except (DamageError, NotFoundError, FailedError):
        return Mark(snapshot, QUARANTINED, "its mark cannot be read", 0) if snapshot else None
    return None if ref is None else _mark_in(ref)


def _mark_in(ref: Ref) -> Mark | None:
    if not ref.target or ref.name != f"{_PREFIX}{ref.target}":
        return None
    kind, _, reason = ref.reason.partition(": ")
    return Mark(ref.target, DEMOTED if kind == DEMOTED else QUARANTINED, reason, ref.created)
