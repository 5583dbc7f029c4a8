"""Holds: somebody wants a snapshot to stay, whatever retention says. Each is a ref named `!hold/<snapshot id>`.

When it ends stands in the ref's reason, before the words: `until <time>: <words>`, or `until released: <words>`. A
reason that does not begin so is of a hold without an end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from holdfast.clock import from_rfc3339, to_rfc3339
from holdfast.errors import NotFoundError, ObjectNotFoundError, UsageError
from holdfast.ids import SnapshotId
from holdfast.objectives.retention import Hold
from holdfast.vault.format.records import Ref, Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.refs import move_ref, read_newest_ref

__all__ = ["HOLD_PREFIX", "hold_snapshot", "release_hold", "hold_name", "is_hold", "hold_of", "held_by"]

HOLD_PREFIX = "!hold/"
_REASON = re.compile(r"until ([^ ]+): (.*)", re.DOTALL)
_NO_END = "released"


def hold_name(snapshot: str) -> str:
    """The name of the ref that holds a snapshot."""
    return f"{HOLD_PREFIX}{snapshot}"


def is_hold(name: str) -> bool:
    """Whether a ref of that name is a hold."""
    return name.startswith(HOLD_PREFIX)


def hold_snapshot(handle: Handle, root: Root, reason: str, until_ns: int | None = None) -> Hold:
    """Hold the snapshot; a hold that is there already gets this reason and end.

    Raises UsageError for an end that has passed or is beyond all calendars, CredentialError for one who may not write,
    NotFoundError when the snapshot was dropped meanwhile.
    """
    end = _NO_END if until_ns is None else _written(until_ns)
    if until_ns is not None and until_ns <= handle.clock.now_ns():
        raise UsageError(f"{end} has passed: the hold would hold nothing")
    move_ref(handle, root.asset, hold_name(root.id), root.id, f"until {end}: {reason}")
    try:
        handle.store.head(handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)))
    except ObjectNotFoundError as error:
        move_ref(handle, root.asset, hold_name(root.id), "", "it holds nothing")
        raise NotFoundError(f"snapshot {root.id} was dropped meanwhile: there is nothing to hold") from error
    return Hold(reason=reason, until=until_ns)


def release_hold(handle: Handle, root: Root) -> Hold:
    """End the hold of the snapshot; its history stays. Returns what it was. Raises NotFoundError, CredentialError (for
    all but keepers: a hold is there so that not everybody can let go).
    """
    handle.keys.require_keeper("releasing a hold")
    ref = read_newest_ref(handle, root.asset, hold_name(root.id))
    if ref is None or not ref.target:
        raise NotFoundError(f"snapshot {root.id} is not held", hint="see `holdfast snapshot list`")
    move_ref(handle, root.asset, hold_name(root.id), "", "released")
    return hold_of(ref)


def _written(until_ns: int) -> str:
    try:
        return to_rfc3339(until_ns)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            "no calendar goes as far as that", hint="a hold without an end stays until somebody ends it"
        ) from error


def hold_of(ref: Ref) -> Hold:
    """What a ref of that kind says. What cannot be understood never ends."""
    said = _REASON.fullmatch(ref.reason)
    if said is None:
        return Hold(reason=ref.reason)
    try:
        until = None if said[1] == _NO_END else from_rfc3339(said[1])
    except (ValueError, OverflowError):
        return Hold(reason=ref.reason)
    return Hold(reason=said[2], until=until)


def held_by(refs: Mapping[str, Ref], snapshot: str) -> list[Hold]:
    """The holds of a snapshot among the pointers of its asset."""
    return [hold_of(ref) for name, ref in refs.items() if is_hold(name) and ref.target == snapshot]
