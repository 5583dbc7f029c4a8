"""Restoring: root → parts → chunks, fetched in the order of the packs, checked, and written in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, NotFoundError, RefusedError
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.fallback import FallbackHandle, Taken
from holdfast.vault.restoring.protected_places import absolute_target, refuse_protected
from holdfast.vault.restoring.staging import Staging, translate_os_error
from holdfast.vault.restoring.writing import TreeWriter
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.thinning import tell_given_up

__all__ = [
    "Restored",
    "Prepared",
    "Laid",
    "Wrote",
    "Writing",
    "prepare",
    "restore",
    "place_of",
    "select_entries",
    "snapshot_entries",
]


class Restored(NamedTuple):
    """What a restore did. `from_replicas`: URL → what was read there, because it could not be read soundly here.

    `given_up`: components that retention took from the snapshot before: they were not restored.
    """

    root: Root
    target: Path
    files: int
    bytes: int
    resumed_bytes: int
    from_replicas: Mapping[str, Taken] = {}
    given_up: tuple[str, ...] = ()


def snapshot_entries(handle: Handle, root: Root) -> list[Entry]:
    """All entries of a snapshot in order of their paths. Raises DamageError."""
    entries = [entry for part in read_parts(handle, root) for entry in part.entries]
    entries.sort(key=lambda entry: (entry.path != b".", entry.path))
    for before, entry in pairwise(entries):
        if before.path == entry.path:
            raise DamageError(f"snapshot {root.id} names {entry.path!r} twice", object_name=root.id)
    return entries


def select_entries(entries: list[Entry], only: str | None) -> list[Entry]:
    """Entries whose path matches the glob (or lies below a folder that does), with the folders that lead there."""
    if only is None:
        return entries
    chosen: set[bytes] = set()
    for entry in entries:
        path = os.fsdecode(entry.path)
        folders = [path[:i] for i, character in enumerate(path) if character == "/"]
        if entry.path != b"." and any(fnmatchcase(name, only) for name in (path, *folders)):
            chosen.update(os.fsencode(name) for name in (path, *folders))
    if not chosen:
        raise NotFoundError(f"no file of the snapshot matches {only!r}", hint="`holdfast snapshot show` lists them")
    return [entry for entry in entries if entry.path in chosen or entry.path == b"."]


class Prepared(NamedTuple):
    """What a restore will write, and where: nothing is written yet."""

    target: Path
    entries: list[Entry]
    files: list[Entry]
    bytes: int
    staging: Staging
    given_up: tuple[str, ...] = ()
    all_entries: tuple[Entry, ...] = ()


class Laid(NamedTuple):
    """Files that have their places and sizes, and lack their content. `entries`: all of the snapshot, chosen or not.

    `resumed`: some of the content may be there from an interrupted restore; holes are holes.
    """

    place: Path
    folder: bool
    resumed: bool
    entries: tuple[Entry, ...]
    files: list[Entry]


class Wrote(NamedTuple):
    """What filled them: bytes that were there already, and what was read from replicas (as in `Restored`)."""

    resumed_bytes: int
    from_replicas: Mapping[str, Taken]


Writing = Callable[[Handle, Root, Laid], Wrote]
"""Fills files that have their places: every chunk compared with its id, at its offset, and told to the progress."""


def prepare(handle: Handle, root: Root, target: Path, *, only: str | None, overwrite: bool) -> Prepared:
    """All that can be refused before anything is fetched. Writes nothing.

    Raises UsageError (no name for a target), RefusedError (target taken, or a place that is left alone), NotFoundError
    (nothing matches `only`), DamageError.
    """
    given_up = tell_given_up(handle, root)
    all_entries = snapshot_entries(handle, root)
    entries = select_entries(all_entries, only)
    target = place_of(root, entries, target)
    refuse_protected(target, handle.store.url, overwrite=overwrite)
    # Another selection is another result, and must not grow in the same place.
    mark = root.id if only is None else f"{root.id}-{blake3(only.encode(errors='surrogateescape')).hexdigest(8)}"
    folder = root.source != "file"
    names = [os.fsdecode(entry.path) for entry in entries if b"/" not in entry.path and entry.path != b"."]
    staging = Staging(target, mark, folder=folder, overwrite=overwrite, names=names if folder else ())
    if only is not None and overwrite and folder and staging.is_taken:
        raise RefusedError(
            f"{target} exists, and files that were chosen would replace all of it",
            hint="restore them to a new place; --only cannot be given with --overwrite here",
            object_name=str(target),
        )
    files = [entry for entry in entries if entry.type == "file"]
    return Prepared(target, entries, files, sum(entry.size for entry in files), staging, given_up, tuple(all_entries))


def restore(
    handle: Handle,
    root: Root,
    target: Path,
    *,
    only: str | None = None,
    overwrite: bool = False,
    writing: Writing | None = None,
) -> Restored:
    """Write the snapshot's files into the folder `target`: a folder's content, or the one file that was saved.

    The target appears when everything is there, checked, and on disk. An interrupted restore goes on where it was.
    Setuid and setgid bits are not restored. `writing`: who fills the files, by default threads of this process. Raises
    what `prepare` raises, and StorageFullError, PermissionDeniedError.
    """
    planned = prepare(handle, root, target, only=only, overwrite=overwrite)
    staging, entries, target = planned.staging, planned.entries, planned.target
    stored = sum(length for entry in planned.files for length, kind, _, _ in entry.runs if kind != 3)
    staging.prepare(needed_bytes=stored)
    handle.progress.phase("restoring", planned.bytes)
    with staging.alone():
        writer = TreeWriter(handle, staging.path, folder=staging.folder, resumed=staging.resumed)
        try:
            writer.make_places(entries)
            wrote = None
            if writing is None:
                handle.reader().stream(writer.wanted(planned.files), writer.write, workers=handle.workers)
            else:
                writer.clear_holes(planned.files)
                laid = Laid(staging.path, staging.folder, staging.resumed, planned.all_entries, planned.files)
                wrote = writing(handle, root, laid)
            writer.finish(entries)
        except OSError as error:
            raise translate_os_error(error, target) from error
        finally:
            writer.close()
        left = staging.publish()
    if left is not None:
        handle.progress.note(f"not all of what was replaced could be removed: the rest is in {left}")
    taken = dict(handle.replicas.taken()) if isinstance(handle, FallbackHandle) else {}
    resumed_bytes = writer.resumed_bytes if wrote is None else wrote.resumed_bytes
    for url, there in () if wrote is None else wrote.from_replicas.items():
        here = taken.get(url, Taken(0, 0))
        taken[url] = Taken(here.chunks + there.chunks, here.bytes + there.bytes)
    if only is None and not taken and not resumed_bytes:
        Proofs(handle).credit_snapshot(root.id, "decoded")  # every chunk of it was read here, and compared with its id
    return Restored(root, target, len(planned.files), planned.bytes, resumed_bytes, taken, planned.given_up)


def place_of(root: Root, entries: list[Entry], target: Path) -> Path:
    """Where a restore into `target` puts the snapshot: the folder itself, or the one file in it.

    Raises DamageError, UsageError (no name for a target).
    """
    target = absolute_target(target)
    if root.source != "file":
        return target
    if len(entries) != 1 or entries[0].type != "file" or b"/" in entries[0].path:
        raise DamageError(f"snapshot {root.id} is of one file and holds something else", object_name=root.id)
    return target / os.fsdecode(entries[0].path)
