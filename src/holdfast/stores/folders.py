"""Folders below one root, entered step by step through descriptors, made durably, and never left through a link.

The kernel resolves each name relative to an open folder and refuses symbolic links (`O_NOFOLLOW`), so that no key can
lead out of the root, whatever somebody placed inside. Only the root itself may be a link.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, StorageFullError

__all__ = ["Folders", "sync_folder", "translated_errors"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def translated_errors(what: str, object_name: str) -> Iterator[None]:
    """Turn an OSError into an error of Holdfast: "cannot `what`: reason"."""
    try:
        yield
    except OSError as error:
        raise _translated(error, what, object_name) from error


def _translated(error: OSError, what: str, object_name: str) -> HoldfastError:
    message = f"cannot {what}: {error.strerror or error}"
    if error.errno in _NO_SPACE:
        return StorageFullError(message, object_name=object_name)
    if error.errno in _DENIED:
        return PermissionDeniedError(
            message, hint="see who owns the folder and how it is mounted", object_name=object_name
        )
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        hint = "a file or a symbolic link stands where a folder of the store belongs; move it away"
        return FailedError(message, hint=hint, object_name=object_name)
    if error.errno == errno.EFBIG:
        hint = "a limit on the size of files is in the way (`ulimit -f`)"
        return StorageFullError(message, hint=hint, object_name=object_name)
    if error.errno == errno.EIO:
        hint = "the disk or the mount fails: see the system's log, and use another replica"
        return FailedError(message, hint=hint, object_name=object_name)
    return FailedError(message, object_name=object_name)


def sync_folder(descriptor: int) -> None:
    """Make the names in a folder durable, as far as the file system knows what that means.

    `durable.sync_folder` takes a name. A store holds its folders open, so that a link put in the way leads nowhere.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        # POSIX: EINVAL says that this kind of file has no synchronized I/O (some network and FUSE file systems).
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


class Folders:
    """The folders below `root`. Methods raise OSError; descriptors they return are the caller's to close."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[tuple[str, ...]] = set()  # folders whose name in their parent is known to be on disk

    def enter(self, names: Sequence[str]) -> int:
        """A descriptor of the folder `root/names…`. FileNotFoundError, NotADirectoryError if there is none."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for name in names:
            parent = descriptor
            try:
                descriptor = os.open(name, _FOLDER, dir_fd=parent)
            finally:
                os.close(parent)
        return descriptor

    def make(self, names: Sequence[str]) -> int:
        """Like `enter`, and makes what is missing. Every folder on the way is durable when this returns."""
        descriptor = self._make_root()
        for depth, name in enumerate(names, start=1):
            parent = descriptor
            try:
                descriptor = self._enter_or_make(parent, name, tuple(names[:depth]))
            finally:
                os.close(parent)
        return descriptor

    def _enter_or_make(self, parent: int, name: str, path: tuple[str, ...]) -> int:
        if path in self._durable:
            with suppress(FileNotFoundError):
                return os.open(name, _FOLDER, dir_fd=parent)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        # Also when somebody else has just made it: he may not have come to his own fsync yet.
        sync_folder(parent)
        self._durable.add(path)
        return os.open(name, _FOLDER, dir_fd=parent)

    def _make_root(self) -> int:
        if () in self._durable:
            with suppress(FileNotFoundError):
                return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            _sync_path(folder.parent)
        if not missing:
            with suppress(PermissionError):  # a parent that we may not read is one that we did not write
                _sync_path(self.root.parent)
        self._durable.add(())
        return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)


def _sync_path(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_folder(descriptor)
    finally:
        os.close(descriptor)
