"""Finishing saves whose ranks have all announced, and whose coordinator died before it made the snapshot."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import ConflictError, NotFoundError, RefusedError
from holdfast.ids import SnapshotId
from holdfast.training.committing.assembling import assemble_on
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.names import normalised
from holdfast.vault.handle import Handle
from holdfast.vault.saving.announcing import UNUSABLE, Announced, read_announcements, recent_saves, shared_secret
from holdfast.vault.saving.assembling import is_settled, require_in_time
from holdfast.vault.vault import Vault

__all__ = ["Settled", "settle_saves"]


class Settled(NamedTuple):
    """A save that was finished: its name and the snapshot that it became."""

    save: str
    step: int | None
    snapshot: SnapshotId


def settle_saves(vault: Vault, asset: str | None = None) -> list[Settled]:
    """Make the snapshots of all saves (of one asset) that are complete, in time, and have none yet.

    With a key that reads, or that of the one who began the save. What is incomplete or abandoned is left to a
    collection, what cannot be read to those whose it is; a note tells of what should not be there. Raises
    CredentialError, and what the store raises.
    """
    handle = vault.handle
    handle.keys.require_writer("finishing a save")
    wanted = None if asset is None else normalised(asset)
    # Only their names are kept: what the ranks of all of them announced may be more than fits into memory.
    complete = [(one.first.created, save) for save in recent_saves(handle) if (one := _complete(handle, save, wanted))]
    if not complete:
        return []
    settled = []
    with HeldLease(handle, "saving") as lease:
        for _, save in sorted(complete):
            announced = _complete(handle, save, wanted)
            if announced is None:
                continue
            try:
                done = assemble_on(vault, announced, lease)
            except (RefusedError, ConflictError) as error:
                handle.progress.note(error.message)
                continue
            except UNUSABLE as error:
                handle.progress.note(f"the save {announced.save} is not finished: {error.message}")
                continue
            if done.is_new:
                settled.append(Settled(announced.save, announced.first.step, done.snapshot))
    return settled


def _complete(handle: Handle, save: str, asset: str | None) -> Announced | None:
    """What the ranks announced, where a snapshot is still to be made of it."""
    signer = handle.keys.require_writer("finishing a save")
    shared = b"" if handle.keys.can_read else shared_secret(signer, save)
    try:
        announced = read_announcements(handle, save, shared, asset=asset)
        if announced is None or is_settled(handle, announced):
            return None
        require_in_time(handle, announced)
        return announced
    except NotFoundError:
        return None  # it was collected meanwhile
    except RefusedError as error:
        handle.progress.note(error.message)
        return None
    except UNUSABLE as error:
        if handle.keys.can_read:  # else it is most likely somebody else's
            handle.progress.note(f"the save {save} is not finished: {error.message}")
        return None
