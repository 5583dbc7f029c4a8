"""VERIFY: what lies at the target is read again and compared with the snapshot, byte for byte, by chunk ids."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from holdfast.clock import Clock
from holdfast.control.recovering.places import Places
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import ConflictError, DamageError
from holdfast.recovery.running.actors import Facts, Task, never_over
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.restore import place_of, snapshot_entries
from holdfast.vault.restoring.staging import translate_os_error
from holdfast.vault.snapshots.labels import entry_chunks

__all__ = ["Compared", "Verifying", "compare_tree"]

_HOLE = 3


class Compared(NamedTuple):
    """Files, and their bytes."""

    files: int
    bytes: int


class Verifying:
    """The actor: it only reads."""

    def __init__(
        self,
        sites: DeclaredSites,
        places: Places,
        stores: Mapping[str, tuple[str, str]],
        clock: Clock,
        restored: Callable[[str], tuple[str, str] | None] = lambda asset: None,
    ) -> None:
        """`stores`: asset → the store and the snapshot that the plan restores it from. `restored`: those that it was
        restored from in the end, where that is something newer.
        """
        self._sites, self._places, self._stores, self._clock = sites, places, stores, clock
        self._restored = restored

    def check(self, task: Task) -> str | None:
        store, snapshot = self._stores[task.step.asset]
        self._sites.open_at(store).find(snapshot)
        return None

    def act(self, task: Task) -> Facts:
        """Raises DamageError with the first difference."""
        store, snapshot = self._restored(task.step.asset) or self._stores[task.step.asset]
        vault = self._sites.open_at(store)
        began = self._clock.monotonic()
        found = compare_tree(vault.handle, vault.find(snapshot), self._places.of(task.step.asset), task.over)
        seconds = self._clock.monotonic() - began
        return {"files": found.files, "bytes": found.bytes, "seconds": round(seconds, 6), "snapshot": snapshot}

    def done(self, task: Task) -> Facts | None:
        """It is done again: what was read before a control plane died proves nothing to the next one."""
        return None

    def undo(self, task: Task) -> None:
        """Nothing was changed."""


def compare_tree(handle: Handle, root: Root, target: Path, over: Callable[[], bool] = never_over) -> Compared:
    """Each file, link and folder of the snapshot is at the target as it was saved, and nothing else is.

    Raises DamageError, FailedError; ConflictError once `over` says that nobody waits for it any more.
    """
    entries = snapshot_entries(handle, root)
    place = place_of(root, entries, target)
    files = [entry for entry in entries if entry.type == "file"]
    if root.source != "file":
        for entry in entries:
            _compare_kind(entry, place / os.fsdecode(entry.path))
        expected = {os.fsdecode(entry.path) for entry in entries}
        for extra in _names_below(place):
            if extra not in expected:
                raise DamageError(f"{place / extra} is not of snapshot {root.id}", object_name=str(place / extra))
    else:
        _compare_kind(entries[0], place)

    def one(entry: Entry) -> int:
        path = place / os.fsdecode(entry.path) if root.source != "file" else place
        return _compare_content(handle, entry, path, root.id, over)

    with ThreadPoolExecutor(handle.workers, thread_name_prefix="compare") as pool:
        total = sum(pool.map(one, files))
    return Compared(len(files), total)


def _names_below(place: Path) -> Iterator[str]:
    try:
        for folder, folders, names in os.walk(place, onerror=_raise):
            for name in (*folders, *names):
                yield os.path.relpath(os.path.join(folder, name), place)  # noqa: PTH118 - of bytes that are no text, too
    except OSError as error:
        raise translate_os_error(error, place) from error


def _raise(error: OSError) -> None:
    raise error


_IS = {"file": stat.S_ISREG, "folder": stat.S_ISDIR, "link": stat.S_ISLNK}


def _compare_kind(entry: Entry, path: Path) -> None:
    try:
        found = path.lstat()
        link = os.fsencode(os.readlink(path)) if stat.S_ISLNK(found.st_mode) else b""  # noqa: PTH115 - bytes
    except FileNotFoundError as error:
        raise DamageError(f"{path} is missing", object_name=str(path)) from error
    except OSError as error:
        raise translate_os_error(error, path) from error
    if not _IS[entry.type](found.st_mode):
        raise DamageError(f"{path} is no {entry.type}", object_name=str(path))
    if stat.S_ISLNK(found.st_mode) and link != entry.target:
        raise DamageError(f"{path} leads elsewhere than it did", object_name=str(path))


def _compare_content(handle: Handle, entry: Entry, path: Path, snapshot: str, over: Callable[[], bool]) -> int:
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.size:
                raise DamageError(f"{path} has {size} bytes, and had {entry.size}", object_name=str(path))
            for offset, length, chunk, _ in entry_chunks(entry):
                if over():
                    raise ConflictError("nobody waits any more for what is compared", object_name=str(path))
                data = os.pread(file.fileno(), length, offset)
                if len(data) != length or handle.keys.names.chunk_id(data) != chunk:
                    raise DamageError(
                        f"{path} differs from snapshot {snapshot} in the {length} bytes at {offset}",
                        object_name=str(path),
                    )
            _compare_holes(file.fileno(), entry, path)
            return size
    except OSError as error:
        raise translate_os_error(error, path) from error


def _compare_holes(descriptor: int, entry: Entry, path: Path) -> None:
    """Zeros where the snapshot has holes; what the file system does not store is not read. Raises OSError."""
    start = 0
    for length, kind, _, _ in entry.runs:
        position, end = start, start + length
        start = end
        while kind == _HOLE and position < end:
            try:
                position = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # no data from here to the end
                    raise
                break
            size = min(1 << 20, end - position)
            if size > 0 and os.pread(descriptor, size, position).strip(b"\0"):
                raise DamageError(f"{path} has data at {position}, where zeros were", object_name=str(path))
            position += max(size, 1)
