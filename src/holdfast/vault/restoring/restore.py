"""Restoring: root → parts → chunks, fetched in the order of the packs, checked, and written in place."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, NotFoundError, RefusedError
from holdfast.stores.protocol import Buffer
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.fallback import FallbackHandle, Taken
from holdfast.vault.restoring.protected_places import absolute_target, refuse_protected
from holdfast.vault.restoring.publishing import seal
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.restoring.staged_files import clear_strangers
from holdfast.vault.restoring.staging import Staging, translate_os_error
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.thinning import tell_given_up

__all__ = ["Restored", "Prepared", "prepare", "restore", "place_of", "select_entries", "snapshot_entries"]

_OPEN_FILES_MAX = 64


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


def prepare(handle: Handle, root: Root, target: Path, *, only: str | None, overwrite: bool) -> Prepared:
    """All that can be refused before anything is fetched. Writes nothing.

    Raises UsageError (no name for a target), RefusedError (target taken, or a place that is left alone), NotFoundError
    (nothing matches `only`), DamageError.
    """
    given_up = tell_given_up(handle, root)
    entries = select_entries(snapshot_entries(handle, root), only)
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
    return Prepared(target, entries, files, sum(entry.size for entry in files), staging, given_up)


def restore(handle: Handle, root: Root, target: Path, *, only: str | None = None, overwrite: bool = False) -> Restored:
    """Write the snapshot's files into the folder `target`: a folder's content, or the one file that was saved.

    The target appears when everything is there, checked, and on disk. An interrupted restore goes on where it was.
    Setuid and setgid bits are not restored. Raises what `prepare` raises, and StorageFullError, PermissionDeniedError.
    """
    planned = prepare(handle, root, target, only=only, overwrite=overwrite)
    staging, entries, target = planned.staging, planned.entries, planned.target
    stored = sum(length for entry in planned.files for length, kind, _, _ in entry.runs if kind != 3)
    staging.prepare(needed_bytes=stored)
    handle.progress.phase("restoring", planned.bytes)
    with staging.alone():
        writer = _Writer(handle, staging.path, folder=staging.folder, resumed=staging.resumed)
        try:
            writer.make_places(entries)
            reader = handle.reader()
            reader.stream(writer.wanted(planned.files), writer.write, workers=handle.workers)
            writer.finish(entries)
        except OSError as error:
            raise translate_os_error(error, target) from error
        finally:
            writer.close()
        left = staging.publish()
    if left is not None:
        handle.progress.note(f"not all of what was replaced could be removed: the rest is in {left}")
    taken = dict(handle.replicas.taken) if isinstance(handle, FallbackHandle) else {}
    if only is None and not taken and not writer.resumed_bytes:
        Proofs(handle).credit_snapshot(root.id, "decoded")  # every chunk of it was read here, and compared with its id
    return Restored(root, target, len(planned.files), planned.bytes, writer.resumed_bytes, taken, planned.given_up)


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


class _Place(NamedTuple):
    path: Path
    offset: int


class _Writer:
    """Creates files, writes chunks at their offsets, then sets modes and times."""

    def __init__(self, handle: Handle, top: Path, *, folder: bool, resumed: bool) -> None:
        self._handle = handle
        self._top = top
        self._folder = folder
        self._resumed = resumed
        self._files = _OpenFiles()
        self.resumed_bytes = 0

    def path_of(self, entry: Entry) -> Path:
        if not self._folder:
            return self._top
        return self._top if entry.path == b"." else self._top / os.fsdecode(entry.path)

    def make_places(self, entries: list[Entry]) -> None:
        """Folders, links, and files of the right size.

        Nothing is followed out of the staging place: it is ours alone.
        """
        folders = {entry.path for entry in entries if entry.type == "folder"} | {b"."}
        if self._resumed and self._folder:
            clear_strangers(self._top, {self.path_of(entry): entry.type for entry in entries})
        for entry in entries:
            path = self.path_of(entry)
            parent = entry.path.rpartition(b"/")[0] or b"."
            if self._folder and parent not in folders:
                raise DamageError(
                    f"{entry.path!r} lies in no folder of the snapshot", object_name=os.fsdecode(entry.path)
                )
            if entry.type == "folder":
                path.mkdir(mode=0o700, exist_ok=True)
            elif entry.type == "link":
                path.unlink(missing_ok=True)
                path.symlink_to(os.fsdecode(entry.target))
            else:
                self._make_file(path, entry)

    def _make_file(self, path: Path, entry: Entry) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        if self._resumed and path.is_file() and not path.is_symlink():
            path.chmod(0o600)
        descriptor = os.open(path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            if os.fstat(descriptor).st_size != entry.size:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, entry.size)  # holes stay holes
        finally:
            os.close(descriptor)

    def wanted(self, files: list[Entry]) -> Iterator[Wanted[_Place]]:
        """The chunks to fetch: all, or those that an interrupted restore has not written yet."""
        for entry in files:
            path = self.path_of(entry)
            holes = sum(length for length, kind, _, _ in entry.runs if kind == 3)
            if holes:
                self._handle.progress.advance(holes)
            if self._resumed and holes:
                self._clear_holes(path, entry)
            for offset, length, chunk, _ in entry_chunks(entry):
                if self._resumed and self._handle.keys.names.chunk_id(self._files.read(path, offset, length)) == chunk:
                    self.resumed_bytes += length
                    self._handle.progress.advance(length)
                    continue
                yield Wanted(chunk, length, _Place(path, offset))

    def _clear_holes(self, path: Path, entry: Entry) -> None:
        # Somebody may have written into the staged file: what should be zeros is made zeros again.
        with path.open("rb+") as file:
            offset = 0
            for length, kind, _, _ in entry.runs:
                for position in range(offset, offset + length, 1 << 20) if kind == 3 else ():
                    size = min(1 << 20, offset + length - position)
                    if os.pread(file.fileno(), size, position).strip(b"\0"):
                        os.pwrite(file.fileno(), bytes(size), position)
                offset += length

    def write(self, wanted: Wanted[_Place], data: Buffer) -> None:
        self._files.write(wanted.purpose.path, wanted.purpose.offset, data)
        self._handle.progress.advance(len(data))

    def finish(self, entries: list[Entry]) -> None:
        """Modes and times, and all of it on disk. Folders come last, the deepest first: what is put into one sets its
        time. The top is the very last: until then it is ours alone.
        """
        self._files.close()
        files = [entry for entry in entries if entry.type == "file"]
        with ThreadPoolExecutor(self._handle.workers) as pool:  # a disk syncs several files faster than one by one
            for _ in pool.map(self._seal, files):
                pass
        for entry in reversed(entries):
            if entry.type == "link":
                os.utime(self.path_of(entry), ns=(entry.mtime, entry.mtime), follow_symlinks=False)
            elif entry.type == "folder":
                self._seal(entry)

    def _seal(self, entry: Entry) -> None:
        seal(self.path_of(entry), entry.mode, entry.mtime)

    def close(self) -> None:
        self._files.close()


class _OpenFiles:
    """A bounded number of open descriptors, shared by the writing threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[int, list[int]]] = {}

    def write(self, path: Path, offset: int, data: Buffer) -> None:
        view = memoryview(data)

        def put(descriptor: int) -> None:
            done = 0
            while done < len(view):
                done += os.pwrite(descriptor, view[done:], offset + done)

        self._with(path, put)

    def read(self, path: Path, offset: int, length: int) -> bytes:
        found: list[bytes] = []
        self._with(path, lambda descriptor: found.append(os.pread(descriptor, length, offset)))
        return found[0]

    def _with(self, path: Path, use: Callable[[int], None]) -> None:
        with self._lock:
            if path not in self._open:
                self._make_room()
                self._open[path] = (os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), [0])
            descriptor, users = self._open[path]
            users[0] += 1
        try:
            use(descriptor)
        finally:
            with self._lock:
                users[0] -= 1

    def _make_room(self) -> None:
        if len(self._open) >= _OPEN_FILES_MAX:
            for path, (descriptor, users) in list(self._open.items()):
                if not users[0]:
                    os.close(descriptor)
                    del self._open[path]

    def close(self) -> None:
        with self._lock:
            for descriptor, _ in self._open.values():
                os.close(descriptor)
            self._open.clear()
