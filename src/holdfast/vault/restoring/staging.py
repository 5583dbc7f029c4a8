"""Putting files back: safely inside the target, resumable, and visible only when whole."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, RefusedError, StorageFullError
from holdfast.vault.restoring.publishing import move_up, replace_by_two_renames, swap_names, sync_names
from holdfast.vault.restoring.staged_files import is_private, is_real_folder, remove_whole

__all__ = ["Staging", "translate_os_error"]

_OLD = ".old"
_NAME_BYTES_MAX = 255  # of one name, on the file systems of Linux


def translate_os_error(error: OSError, path: Path | str) -> HoldfastError:
    """The error of our tree for a failed file operation."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"no space left for {path}", object_name=str(path))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionDeniedError(f"{path} may not be written ({error.strerror})", object_name=str(path))
    message = f"{path} could not be written ({error.strerror or error})"
    if error.errno == errno.EFBIG:
        hint = "a limit on the size of files is in the way (`ulimit -f`)"
        return StorageFullError(message, hint=hint, object_name=str(path))
    if error.errno == errno.EIO:
        return FailedError(message, hint="the disk fails: see the system's log", object_name=str(path))
    return FailedError(message, object_name=str(path))


class Staging:
    """A place beside the target where a restore grows. Only `publish` makes it appear under the target's name.

    The place is named by the snapshot: an interrupted restore of the same snapshot to the same target goes on there.
    An empty folder that cannot be replaced (a mount point, the current folder, a folder in one that we may not write)
    stays: then the place is a hidden folder in it, whose content `publish` moves up.
    """

    def __init__(
        self, target: Path, snapshot: str, *, folder: bool, overwrite: bool, names: Collection[str] = ()
    ) -> None:
        """`names`: what will lie in the target. Raises RefusedError when it is taken and `overwrite` is not set."""
        self.target = target
        self.folder = folder
        self.overwrite = overwrite
        self.inside = folder and _must_stay(target)
        self._names = names
        self._made: list[Path] = []
        if self.inside:
            self.path = target / f".holdfast-{snapshot}.partial"
        else:
            self.path = target.with_name(_staged_name(target.name, snapshot))
        self._moving = self.path.with_suffix(".moving")  # its content is on the way up
        self._refuse_taken()
        self.resumed = os.path.lexists(self.path)

    @property
    def is_taken(self) -> bool:
        """Something is at the target that a restore would have to replace."""
        return os.path.lexists(self.target) and not (self.folder and self._is_empty(self.target))

    def _refuse_taken(self) -> None:
        if not self.is_taken:
            return
        if not self.overwrite:
            raise RefusedError(
                f"{self.target} exists already",
                hint="restore to another place, or give --overwrite to replace it",
                object_name=str(self.target),
            )
        if self.inside:
            raise RefusedError(
                f"{self.target} is not empty, and it is a folder that cannot be replaced",
                hint="empty it, or restore to another place",
                object_name=str(self.target),
            )

    def _is_empty(self, path: Path) -> bool:
        """A real folder without anything in it but what an interrupted restore left."""
        allowed = {self.path.name} if self.inside else set()
        if self.inside and is_real_folder(self._moving):
            allowed |= {self._moving.name, *self._names}
        try:
            return is_real_folder(path) and all(found.name in allowed for found in path.iterdir())
        except OSError:
            return False

    def prepare(self, *, needed_bytes: int) -> None:
        """Make the parent folders and see whether there is space. Raises StorageFullError, PermissionDeniedError,
        RefusedError.
        """
        parent = self.target.parent
        try:
            self._made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
            parent.mkdir(parents=True, exist_ok=True)
            if self.inside and os.path.lexists(self._moving):
                self._take_back()
            free = shutil.disk_usage(self.path.parent).free
            if not self.resumed and needed_bytes > free:
                raise StorageFullError(
                    f"{self.path.parent} has {free} bytes free, the restore needs {needed_bytes}",
                    object_name=str(self.target),
                )
            if self.folder and not os.path.lexists(self.path):
                self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, self.target) from error

    def _take_back(self) -> None:
        """An earlier restore was cut while it moved its content up: it is staged again, and checked again."""
        descriptor = self._hold(self._moving)
        try:
            self._moving.chmod(0o700)
            for name in self._names:
                place = self.target / name
                if os.path.lexists(place) and not os.path.lexists(self._moving / name):
                    if is_real_folder(place):
                        place.chmod(0o700)
                    place.rename(self._moving / name)
            self._moving.rename(self.path)
            self.resumed = True
        finally:
            os.close(descriptor)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts, no other restore works in this place. Call `prepare` before.

        A place that others could write is begun afresh. Raises RefusedError (also for one that somebody else made).
        """
        try:
            descriptor = self._hold(self.path)
            if not is_private(os.fstat(descriptor)):
                try:
                    remove_whole(self.path)
                    if self.folder:
                        self.path.mkdir(mode=0o700)
                finally:
                    os.close(descriptor)
                descriptor = self._hold(self.path)
            # Only now it is known: until we held it, somebody else may have written here.
            os.fchmod(descriptor, 0o700 if self.folder else 0o600)
            self.resumed = any(self.path.iterdir()) if self.folder else bool(os.fstat(descriptor).st_size)
        except OSError as error:
            raise translate_os_error(error, self.target) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def _hold(self, path: Path) -> int:
        """An open and locked descriptor of the staging place, which is ours."""
        self._refuse_strange(path)
        descriptor = self._open(path)
        try:
            held = os.fstat(descriptor).st_uid == os.geteuid() and _locked(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if held:
            return descriptor
        os.close(descriptor)
        raise RefusedError(
            f"another restore to {self.target} is under way",
            hint="wait for it, or restore to another place",
            object_name=str(self.target),
        )

    def _refuse_strange(self, path: Path) -> None:
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        expected = stat.S_ISDIR if self.folder else stat.S_ISREG
        if found.st_uid != os.geteuid() or not expected(found.st_mode):
            raise RefusedError(
                f"{path}, where the restore would grow, was made by somebody else",
                hint="move it away, or restore to another place",
                object_name=str(path),
            )

    def _open(self, path: Path) -> int:
        flags = os.O_DIRECTORY if self.folder else os.O_CREAT
        flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except PermissionError:  # an interrupted restore may have come to the modes already
            if path.is_symlink():
                raise
            path.chmod(0o700 if self.folder else 0o600)
            return os.open(path, flags, 0o600)

    def publish(self) -> Path | None:
        """Give the restored thing its name, durably. What was there before is replaced whole, and only now.

        Returns where the rest of what was replaced lies, if not all of it could be removed.
        """
        try:
            if self.inside:
                self._refuse_appeared()
                self.path.rename(self._moving)
                move_up(self._moving)
                return None
            old = self._rename()
            sync_names([*self._made, self.target.parent, *(folder.parent for folder in self._made)])
        except OSError as error:
            raise translate_os_error(error, self.target) from error
        try:
            if old is not None:
                remove_whole(old)
        except OSError:
            return old
        return None

    def _rename(self) -> Path | None:
        """Returns where is now what was there before, and was not replaced by the renaming itself."""
        if os.path.lexists(self.target):
            self._refuse_appeared()
            if not self._is_replaced_by_rename():
                if swap_names(self.path, self.target):
                    return self.path
                old = self.target.with_name(f"{self.path.name}{_OLD}")
                replace_by_two_renames(self.path, self.target, old)
                return old
        self.path.rename(self.target)
        return None

    def _refuse_appeared(self) -> None:
        replace = self.overwrite and not self.inside
        if not replace and self.is_taken:
            raise RefusedError(
                f"{self.target} appeared while it was restored",
                hint="move it away and restore again: what was fetched is kept",
                object_name=str(self.target),
            )

    def _is_replaced_by_rename(self) -> bool:
        """An empty folder by a folder, a file by a file: the kernel does that in one step."""
        return self._is_empty(self.target) if self.folder else not is_real_folder(self.target)


def _locked(descriptor: int, path: Path) -> bool:
    """Whether we hold the lock of what is called `path` now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
            raise translate_os_error(error, path) from error
    try:
        return path.lstat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False  # the other one has just finished


def _must_stay(target: Path) -> bool:
    """Whether this folder cannot be replaced by another: a mount point, the current one, or one in a closed parent."""
    if not is_real_folder(target):
        return False
    closed = not os.access(target.parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
    return closed or os.path.ismount(target) or _is_current(target)


def _is_current(folder: Path) -> bool:
    try:
        return folder.samefile(Path.cwd())
    except OSError:  # it was removed
        return False


def _staged_name(name: str, snapshot: str) -> str:
    staged = f".{name}.holdfast-{snapshot}.partial"
    if len(os.fsencode(staged)) + len(_OLD) <= _NAME_BYTES_MAX:
        return staged
    return f".holdfast-{blake3(os.fsencode(name)).hexdigest(16)}-{snapshot}.partial"
