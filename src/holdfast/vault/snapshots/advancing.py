"""Pointers that only move forward: `latest` and `validated` never go back behind newer content, whoever races."""

from __future__ import annotations

from holdfast.errors import CredentialError, DamageError, NotFoundError, ObjectNotFoundError
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.vault.format.records import Check, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.quarantine import is_set_aside, leave_dropped
from holdfast.vault.snapshots.refs import VALIDATED, move_ref, read_newest_ref
from holdfast.vault.snapshots.roots import CLOCK_SLACK_NS, content_time, read_root

__all__ = ["advance_ref"]


def advance_ref(handle: Handle, root: Root, name: str, reason: str, check: Check | None = None) -> bool:
    """Point `name` of the snapshot's asset to it, unless it leads to newer content. Returns whether it moved.

    Comparing and moving are one step: of several writers, the one with the newest content wins, in whatever order
    they come. A generation that cannot be read does not count, nor one whose snapshot was set aside; and `validated`
    does not move to such a one. From a snapshot that was dropped meanwhile the pointer goes back. Raises
    CredentialError for one who may not read.
    """
    handle.keys.require_reader(f"comparing {name!r}")
    if name == VALIDATED and is_set_aside(handle, root.asset, root.id, name):
        handle.progress.note(f"{name!r} of {root.asset!r} does not move to {root.id}, which was set aside")
        return False
    if not move_ref(handle, root.asset, name, root.id, reason, check, unless=lambda ref: _is_newer(handle, ref, root)):
        return False
    return _is_still_there(handle, root, name)


def _is_still_there(handle: Handle, root: Root, name: str) -> bool:
    """Whoever drops a snapshot deletes its root, then looks at the pointers; here it is the other way round: one of the
    two sees what the other did.
    """
    try:
        handle.store.head(_key(handle, root.asset, root.id))
    except ObjectNotFoundError:
        handle.progress.note(f"snapshot {root.id} was dropped meanwhile")
        ref = read_newest_ref(handle, root.asset, name)
        leave_dropped(handle, root.asset, {root.id}, {name: ref} if ref is not None else {})
        return False
    return True


def _is_newer(handle: Handle, ref: Ref, root: Root) -> bool:
    if not is_snapshot_id(ref.target):
        return False
    try:
        current = read_root(handle, _key(handle, ref.asset, ref.target))
        newer = content_time(current) > content_time(root)
        if newer and content_time(current) > root.created + CLOCK_SLACK_NS:
            # One of two writers has a wrong clock: the store's says what neither can be newer than.
            newer = _bounded_time(handle, current) > _bounded_time(handle, root)
    except (NotFoundError, DamageError, CredentialError) as error:
        handle.progress.note(f"{ref.name!r} of {ref.asset!r} leads to a snapshot that cannot be read: {error.message}")
        return False
    return newer and not is_set_aside(handle, current.asset, current.id, ref.name)


def _bounded_time(handle: Handle, root: Root) -> int:
    return min(content_time(root), handle.store.head(_key(handle, root.asset, root.id)).modified_ns)


def _key(handle: Handle, asset: str, snapshot: str) -> str:
    return handle.keys.names.snapshot_key(asset, SnapshotId(snapshot))
