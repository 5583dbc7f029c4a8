"""Writing what is restored: files of the right size, chunks at their offsets, then modes and times."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import DamageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.format.records import Entry
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.publishing import seal
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.restoring.staged_files import clear_strangers
from holdfast.vault.snapshots.labels import entry_chunks

__all__ = ["TreeWriter"]

_OPEN_FILES_MAX = 64


class _Place(NamedTuple):
    path: Path
    offset: int


class TreeWriter:
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
            yield from self._missing(path, entry, 0, entry.size + 1)

    def wanted_spans(self, spans: Iterable[tuple[Entry, int, int]]) -> Iterator[Wanted[_Place]]:
        """The same of parts of files, whose holes are holes already: the chunks that begin in [start, stop)."""
        for entry, start, stop in spans:
            yield from self._missing(self.path_of(entry), entry, start, stop)

    def _missing(self, path: Path, entry: Entry, start: int, stop: int) -> Iterator[Wanted[_Place]]:
        for offset, length, chunk, _ in entry_chunks(entry):
            if not start <= offset < stop:
                continue
            if self._resumed and self._handle.keys.names.chunk_id(self._files.read(path, offset, length)) == chunk:
                self.resumed_bytes += length
                self._handle.progress.advance(length)
                continue
            yield Wanted(chunk, length, _Place(path, offset))

    def clear_holes(self, files: Iterable[Entry]) -> None:
        """Make zeros of whatever an interrupted restore, or somebody else, left where there should be holes."""
        for entry in files if self._resumed else ():
            if any(kind == 3 for _, kind, _, _ in entry.runs):
                self._clear_holes(self.path_of(entry), entry)

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
