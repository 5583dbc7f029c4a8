"""Putting files back: safely inside the target, resumable, and visible only when whole."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from blake3 import blake3

from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, RefusedError, StorageFullError

__all__ = ["Staging", "translate_os_error"]

_OLD = ".old"
_NAME_BYTES_MAX = 255  # of one name, on the file systems of Linux


def translate_os_error(error: OSError, path: Path | str) -> HoldfastError:
    """The error of our tree for a failed file operation."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"no space left for {path}", object_name=str(path))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionDeniedError(f"{path} may not be written ({error.strerror})", object_name=str(path))
    return FailedError(f"{path} could not be written ({error.strerror or error})", object_name=str(path))


class Staging:
    """A place beside the target where a restore grows. Only `publish` makes it appear under the target's name.

    The place is named by the snapshot: an interrupted restore of the same snapshot to the same target goes on there.
    """

    def __init__(self, target: Path, snapshot: str, *, overwrite: bool) -> None:
        """Raises RefusedError when the target is taken and `overwrite` is not set."""
        self.target = target
        self.overwrite = overwrite
        taken = os.path.lexists(target)
        if taken and not overwrite and not _is_empty_folder(target):
            raise RefusedError(
                f"{target} exists already",
                hint="restore to another place, or give --overwrite to replace it",
                object_name=str(target),
            )
        self.path = target.with_name(_staged_name(target.name, snapshot))
        self.resumed = os.path.lexists(self.path)

    def prepare(self, *, folder: bool, needed_bytes: int) -> None:
        """Make the parent folders and see whether there is space. Raises StorageFullError, PermissionDeniedError."""
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.target.parent).free
            if not self.resumed and needed_bytes > free:
                raise StorageFullError(
                    f"{self.target.parent} has {free} bytes free, the restore needs {needed_bytes}",
                    object_name=str(self.target),
                )
            if folder:
                self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, self.target) from error

    def publish(self) -> None:
        """Give the restored thing its name. What was there before is replaced whole, and only now."""
        old: Path | None = None
        try:
            if os.path.lexists(self.target):
                if _is_empty_folder(self.target) and self.path.is_dir():
                    self.target.rmdir()
                elif not self.overwrite:
                    raise RefusedError(f"{self.target} appeared while it was restored", object_name=str(self.target))
                elif self.target.is_dir() and not self.target.is_symlink():
                    old = self.target.with_name(f"{self.path.name}{_OLD}")
                    self.target.rename(old)
            self.path.rename(self.target)
        except OSError as error:
            raise translate_os_error(error, self.target) from error
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _staged_name(name: str, snapshot: str) -> str:
    staged = f".{name}.holdfast-{snapshot}.partial"
    if len(os.fsencode(staged)) + len(_OLD) <= _NAME_BYTES_MAX:
        return staged
    return f".holdfast-{blake3(os.fsencode(name)).hexdigest(16)}-{snapshot}.partial"


def _is_empty_folder(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_dir():
            return False
        with os.scandir(path) as found:
            return next(found, None) is None
    except OSError:
        return False
