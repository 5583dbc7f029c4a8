"""Pointers while a repair is planned: where they lead, and where to when that snapshot lost data."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.errors import HoldfastError
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.vault.format.names import REFS
from holdfast.vault.format.records import Ref
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.model import PointerMove
from holdfast.vault.snapshots.finding import read_root
from holdfast.vault.snapshots.quarantine import is_set_aside
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, generations_of, readable_refs

__all__ = ["pointers_at", "pointer_moves", "newest_good"]


def pointers_at(handle: Handle, *, history: bool = False) -> list[Ref]:
    """Every pointer of every asset, where it leads now; with `history` all its generations, newest first.

    What cannot be read is left out.
    """
    found: list[Ref] = []
    for asset in handle.store.folders(REFS):
        for prefix in handle.store.folders(asset):
            refs = _readable(handle, prefix)
            found += refs if history else refs[:1]
    return found


def pointer_moves(handle: Handle, hurt: Collection[str], notes: list[str]) -> list[PointerMove]:
    """`latest` and `validated` of every asset, where they lead to a snapshot that lost data."""
    moves = []
    for ref in pointers_at(handle):
        if ref.name in (LATEST, VALIDATED) and ref.target in hurt:
            good = newest_good(handle, ref.asset, ref.name, hurt)
            moves.append(PointerMove(ref.asset, ref.name, ref.target, good.target if good else ""))
            if good is None:
                notes.append(
                    f"{ref.name!r} of {ref.asset!r} stays at {ref.target}, which lost data: no good one is left"
                )
    return moves


def newest_good(handle: Handle, asset: str, name: str, hurt: Collection[str]) -> Ref | None:
    """Where the pointer led before, of that the newest that is whole. For `validated` each was read back then."""
    for ref in _readable(handle, handle.keys.names.ref_prefix(asset, name)):
        if not is_snapshot_id(ref.target) or ref.target in hurt:
            continue
        try:
            read_root(handle, handle.keys.names.snapshot_key(asset, SnapshotId(ref.target)))
        except HoldfastError:
            continue
        if not is_set_aside(handle, asset, ref.target, name):
            return ref
    return None


def _readable(handle: Handle, prefix: str) -> Sequence[Ref]:
    try:
        return list(readable_refs(handle, generations_of(handle, prefix).keys(), pass_untrusted=True))
    except HoldfastError:
        return []
