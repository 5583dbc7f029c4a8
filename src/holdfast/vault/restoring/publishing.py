"""Giving what is whole its name: in one step where the system can, and on disk when it is said to be there."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from holdfast.stores.folders import sync_folder
from holdfast.vault.restoring.staged_files import is_real_folder, remove_whole

__all__ = ["swap_names", "replace_by_two_renames", "move_up", "seal", "sync_names"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
# Owners are not kept, so what was to run with an owner's rights must not run with those of whoever restores.
_MODE = 0o1777


def swap_names(first: Path, second: Path) -> bool:
    """Exchange two names of one folder in one step (renameat2 of Linux). False where that is not supported.

    Raises OSError.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))


def replace_by_two_renames(new: Path, target: Path, old: Path) -> None:
    """Move `target` to `old`, and `new` to `target`; undone where the second step fails. Raises OSError.

    Between the two nothing is called `target`: a power cut there leaves both beside it, whole.
    """
    remove_whole(old)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        with suppress(OSError):
            old.rename(target)
        raise


def move_up(folder: Path) -> None:
    """Move what lies in `folder` to where it lies itself, and its mode and time to its parent. Raises OSError.

    A parent that belongs to somebody else keeps its own mode and time.
    """
    info = folder.lstat()
    folder.chmod(0o700)
    for child in sorted(folder.iterdir()):
        _move(child, folder.parent / child.name)
    folder.rmdir()
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(info.st_mode))
            os.utime(descriptor, ns=(info.st_mtime_ns, info.st_mtime_ns))
        sync_folder(descriptor)
    finally:
        os.close(descriptor)


def _move(source: Path, place: Path) -> None:
    """A folder that changes its parent must be writable itself: `..` in it changes."""
    if not is_real_folder(source):
        source.rename(place)
        return
    mode = stat.S_IMODE(source.lstat().st_mode)
    if mode & stat.S_IWUSR:
        source.rename(place)
        return
    source.chmod(mode | 0o700)
    source.rename(place)
    seal(place, mode, None)


def seal(path: Path, mode: int, mtime_ns: int | None) -> None:
    """Give a file or folder its mode (without setuid and setgid) and time, and see that all of it is on disk.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, mode & _MODE)
        if mtime_ns is not None:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        sync_folder(descriptor)
    finally:
        os.close(descriptor)


def sync_names(folders: Iterable[Path]) -> None:
    """Make the names in these folders durable. One that we may not read is passed over. Raises OSError."""
    for folder in dict.fromkeys(folders):
        with suppress(PermissionError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sync_folder(descriptor)
            finally:
                os.close(descriptor)
