"""Pointers that only move forward: `latest` and `validated` never go back behind newer content, whoever races."""

from __future__ import annotations

from holdfast.errors import CredentialError, DamageError, NotFoundError
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.vault.format.records import Check, Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.quarantine import is_set_aside
from holdfast.vault.snapshots.refs import VALIDATED, move_ref
from holdfast.vault.snapshots.roots import read_root

__all__ = ["advance_ref"]

_CLOCK_SLACK_NS = 300 * 10**9  # by which the clocks of a file system and of the machine that saves may differ


def advance_ref(handle: Handle, root: Root, name: str, reason: str, check: Check | None = None) -> bool:
    """Point `name` of the snapshot's asset to it, unless it leads to newer content. Returns whether it moved.

    Comparing and moving are one step: of several writers, the one with the newest content wins, in whatever order
    they come. A generation that cannot be read does not count, nor one whose snapshot was set aside; and `validated`
    does not move to such a one. Raises CredentialError for one who may not read.
    """
    handle.keys.require_reader(f"comparing {name!r}")
    if name == VALIDATED and is_set_aside(handle, root.asset, root.id, name):
        handle.progress.note(f"{name!r} of {root.asset!r} does not move to {root.id}, which was set aside")
        return False
    return bool(
        move_ref(handle, root.asset, name, root.id, reason, check, unless=lambda ref: _is_newer(handle, ref, root))
    )


def _is_newer(handle: Handle, ref: Ref, root: Root) -> bool:
    if not is_snapshot_id(ref.target):
        return False
    try:
        current = read_root(handle, handle.keys.names.snapshot_key(ref.asset, SnapshotId(ref.target)))
    except (NotFoundError, DamageError, CredentialError) as error:
        handle.progress.note(f"{ref.name!r} of {ref.asset!r} leads to a snapshot that cannot be read: {error.message}")
        return False
    newer = _content_time(current) > _content_time(root)
    return newer and not is_set_aside(handle, current.asset, current.id, ref.name)


def _content_time(root: Root) -> int:
    """A content time well after the time of saving is of no state that existed: it would hold the pointer for ever."""
    return root.content if root.content <= root.created + _CLOCK_SLACK_NS else root.created
