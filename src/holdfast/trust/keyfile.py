"""Files that hold secrets: created once, durable, for their owner alone."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from holdfast.durable import sync_folder
from holdfast.errors import (
    CredentialError,
    FailedError,
    HoldfastError,
    PermissionDeniedError,
    RefusedError,
    StorageFullError,
)

__all__ = ["SIZE_MAX", "read_private_file", "create_private_file"]

SIZE_MAX = 64 << 10  # bytes; a key file has about one thousand

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def read_private_file(path: Path) -> bytes:
    """The content, at most 64 KiB. A symbolic link is followed, and what it points to is judged.

    Raises PermissionDeniedError when it cannot be read, or group or others may use it; CredentialError when it is
    missing, too large, or not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise CredentialError(f"there is no key file {path}", object_name=str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _reading_failed(path, error) from error
    try:
        _check_private(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_MAX)
    except OSError as error:
        raise _reading_failed(path, error) from error
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError(f"the key file {path} is not a regular file", object_name=str(path))
    if status.st_mode & 0o077:
        raise PermissionDeniedError(
            f"the key file {path} is open to others than its owner (mode {stat.S_IMODE(status.st_mode):03o})",
            hint=f"chmod 600 {path}; if somebody may have read it, rotate the keys",
            object_name=str(path),
        )
    if status.st_size > SIZE_MAX:
        raise CredentialError(f"{path} is too large to be a holdfast key file", object_name=str(path))


def _reading_failed(path: Path, error: Exception) -> HoldfastError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"the key file {path} cannot be read", object_name=str(path))
    reason = error.strerror if isinstance(error, OSError) else "the path is not valid"
    return CredentialError(f"the key file {path!s} cannot be read: {reason}", object_name=str(path))


def create_private_file(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600; it and its name are on disk when this returns. Missing folders get mode 0700.

    Raises RefusedError when the name is taken; PermissionDeniedError, StorageFullError and FailedError when it cannot
    be written, and then nothing is left of it.
    """
    try:
        _make_private_folder(path.parent)
    except (OSError, ValueError) as error:
        raise _writing_failed(path, error) from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise RefusedError(
            f"{path} exists, and a key file is never overwritten",
            hint="name another file, or move that one to a safe place yourself",
            object_name=str(path),
        ) from error
    except (OSError, ValueError) as error:
        raise _writing_failed(path, error) from error
    try:
        _write_durably(descriptor, content, path)
    except OSError as error:
        raise _writing_failed(path, error) from error


def _write_durably(descriptor: int, content: bytes, path: Path) -> None:
    complete = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)
        complete = True
    finally:
        if not complete:  # half a key file would be in the way, and looks like a key file
            path.unlink(missing_ok=True)


def _make_private_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _writing_failed(path: Path, error: Exception) -> HoldfastError:
    number = error.errno if isinstance(error, OSError) else None
    if number in _DENIED:
        return PermissionDeniedError(f"the key file {path} cannot be written", object_name=str(path))
    if number in _FULL:
        return StorageFullError(f"there is no space to write the key file {path}", object_name=str(path))
    reason = error.strerror if isinstance(error, OSError) else "the path is not valid"
    return FailedError(f"the key file {path} cannot be written: {reason}", object_name=str(path))
