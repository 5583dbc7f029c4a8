"""Which snapshot is loaded: those that come into question, newest first, and the proof that one is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.ids import SnapshotId
from holdfast.vault.checking.verifying import snapshot_chunks
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.snapshots.finding import list_roots, read_root, resolve
from holdfast.vault.snapshots.quarantine import is_set_aside
from holdfast.vault.snapshots.refs import LATEST
from holdfast.vault.snapshots.roots import newest_first

__all__ = ["SNAPSHOT_NAME", "UNUSABLE", "Choice", "candidates", "prove"]

SNAPSHOT_NAME = "dcp"  # what `VaultWriter` calls its own
# What makes one snapshot no good. A store that does not answer says nothing of a snapshot, and is raised.
UNUSABLE = (DamageError, UntrustedError, WrongKeyError, FailedError, ObjectNotFoundError)


class Choice(NamedTuple):
    """By step, or by id, or neither."""

    step: int | None
    snapshot: str | None

    @property
    def shown(self) -> str:
        if self.snapshot is not None:
            return f" {self.snapshot}"
        return f" of step {self.step}" if self.step is not None else ""


def candidates(handle: Handle, asset: str, choice: Choice) -> Iterator[Root]:
    """The snapshots in question that a `VaultWriter` made, the newest first, each read from the store when it is asked
    for. With one that is named, those before it come behind. Roots that cannot be read are passed over with a note.
    """
    first = resolve(handle, f"{asset}@{choice.snapshot}") if choice.snapshot is not None else None
    if first is not None:
        yield first
    listed = list_roots(handle, asset)
    for one in listed:
        if one.error is not None:
            handle.progress.note(f"passed over: {one.error.message}")
    begun = first is not None or choice.step is None
    for known in newest_first(listed):
        if known.name != SNAPSHOT_NAME:
            continue
        begun = begun or known.step == choice.step
        if not begun or (first is not None and (known.id == first.id or known.content > first.content)):
            continue
        try:
            root = read_root(handle, handle.keys.names.snapshot_key(asset, SnapshotId(known.id)))
        except (DamageError, NotFoundError, CredentialError, FailedError) as error:
            handle.progress.note(f"passed over: {error.message}")
            continue
        if not is_set_aside(handle, asset, root.id, LATEST):
            yield root


def prove(handle: Handle, root: Root, group: Any = None, failure: HoldfastError | None = None) -> None:
    """Fetch, decode and check every chunk of the snapshot: with a process group, each rank its share of them.

    `failure`: what this rank knows to be wrong already. Raises what is wrong, on all ranks of the group alike, and
    ConflictError where they looked at different snapshots.
    """
    rank, world = 0, 1
    if group is not None:
        import torch.distributed as dist

        rank, world = dist.get_rank(group), dist.get_world_size(group)
    try:
        if failure is None:
            _, lengths = snapshot_chunks(handle, root)
            mine = list(lengths.items())[rank::world]
            wanted = (Wanted(chunk, length, None) for chunk, length in mine)
            handle.reader().stream(wanted, lambda one, data: None, workers=handle.workers)
    except HoldfastError as error:
        failure = error
    if group is None:
        if failure is not None:
            raise failure
        return
    said: list[tuple[str, HoldfastError | None]] = [("", None)] * world
    dist.all_gather_object(said, (root.id, failure), group=group)
    if any(snapshot != root.id for snapshot, _ in said):
        raise ConflictError(f"the ranks looked at different snapshots, {root.id} among them", hint="load again")
    worst = next((error for _, error in said if error is not None), None)
    if worst is not None:
        raise worst
