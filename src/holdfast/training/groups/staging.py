"""Where cuts lie until they are saved: folders of one process each, removed when it is done, or by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from holdfast.errors import FailedError, PermissionDeniedError
from holdfast.homes import cache_home

__all__ = ["staging_folder", "own_staging"]

_PREFIX = "cut-"
_LOCK = ".lock"


def staging_folder() -> Path:
    """`$XDG_CACHE_HOME/holdfast/groups`. Raises FailedError for a user without a home."""
    home = cache_home(os.environ)
    if home is None:
        raise FailedError("there is no home folder in which a cut could lie", hint="give staging= a folder")
    return home / "holdfast" / "groups"


@contextlib.contextmanager
def own_staging(parent: Path | None = None) -> Iterator[Path]:
    """A new folder that only this user can read, removed at the end; what dead processes left goes first.

    Raises FailedError, PermissionDeniedError.
    """
    place = parent or staging_folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_left(place)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        lock = os.open(folder.with_name(f"{folder.name}{_LOCK}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:
        raise PermissionDeniedError(f"{place} cannot hold a cut: permission denied", object_name=str(place)) from error
    except OSError as error:
        raise FailedError(f"{place} cannot hold a cut: {error.strerror}", object_name=str(place)) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}{_LOCK}").unlink(missing_ok=True)
        os.close(lock)


def _remove_left(place: Path) -> None:
    """Folders whose process is gone: nobody holds their lock."""
    for lock in place.glob(f"{_PREFIX}*{_LOCK}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_name(lock.name.removesuffix(_LOCK)), ignore_errors=True)
                lock.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
