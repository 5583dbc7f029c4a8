"""A store in a folder of a file system: durable, atomic, and safe against links that lead out of it.

Writing: a temporary file beside the target, fsync, then `link()` (create: the kernel lets exactly one win) or
`rename()` (put), then fsync of the folder. A reader sees the whole object or none; what was acknowledged survives a
power cut. Names of temporary files hold a `~`, which no key may, so nothing ever lists or reads them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.errors import AlreadyExistsError, FailedError, ObjectNotFoundError
from holdfast.stores.buffers import as_views, check_create_size
from holdfast.stores.files import read_at, read_into, write_file
from holdfast.stores.folders import Folders, sync_folder, translated_errors
from holdfast.stores.keys import check_key, is_segment
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo
from holdfast.stores.ranges import check_ranges, ended_early
from holdfast.stores.walking import subfolders, walk

__all__ = ["LocalStore"]

_TEMPORARY = "~"  # how names of temporary files begin; no key may hold it
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # no such name, or only through a file or a link
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class LocalStore:
    """The store in the folder `path`, which is made by the first write. Objects are files with mode 0600 (less umask).

    Symbolic links and special files inside are not objects. One key cannot be another key's folder (`a` and `a/b`).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folders = Folders(Path(path).absolute())
        self._root = self._folders.root

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        return self._root

    @property
    def url(self) -> str:
        return str(self._root)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=True, remote=False)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write(key, data, only_if_absent=False)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return self._write(key, data, only_if_absent=True)

    def get(self, key: str) -> bytes:
        with self._opened(key) as (descriptor, _), open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.readall()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        check_ranges(key, ranges)
        with self._opened(key) as (descriptor, info):
            for start, length in ranges:
                if start + length > info.size:
                    raise ended_early(key, info.size, start, length)
            return [read_at(key, descriptor, start, length) for start, length in ranges]

    def read_ranges_into(self, key: str, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """`get_ranges`, one range after the other, into memory that is there: fresh memory costs more than reading."""
        check_ranges(key, ranges)
        with self._opened(key) as (descriptor, info):
            position = 0
            for start, length in ranges:
                if start + length > info.size:
                    raise ended_early(key, info.size, start, length)
                read_into(key, descriptor, start, out[position : position + length])
                position += length

    def head(self, key: str) -> ObjectInfo:
        with self._opened(key) as (_, info):
            return info

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        folder, slash, beginning = prefix.rpartition("/")
        names = folder.split("/") if slash else []
        if not all(map(is_segment, names)):
            return  # no key begins like that
        with translated_errors(f"list {prefix!r} in {self._root}", prefix):
            descriptor = self._enter(names)
            if descriptor is None:
                return
            try:
                yield from walk(descriptor, folder + slash, beginning, after)
            finally:
                os.close(descriptor)

    def folders(self, prefix: str) -> Sequence[str]:
        names = prefix.split("/")[:-1]
        if not all(map(is_segment, names)) or prefix != "".join(f"{name}/" for name in names):
            return []
        with translated_errors(f"list the folders of {prefix!r} in {self._root}", prefix):
            descriptor = self._enter(names)
            if descriptor is None:
                return []
            try:
                return subfolders(descriptor, prefix)
            finally:
                os.close(descriptor)

    def delete(self, key: str) -> None:
        check_key(key)
        *folders, name = key.split("/")
        with translated_errors(f"delete {key} in {self._root}", key):
            folder = self._enter(folders)
            if folder is None:
                return
            try:
                _unlink_object(folder, name)
            finally:
                os.close(folder)

    def remove_leftovers(self, *, written_before_ns: int) -> int:
        """Delete temporary files that a killed writer left, if last written before that time; says how many bytes.

        `written_before_ns` (ns since the epoch) must lie further back than the longest write takes.
        """
        with translated_errors(f"remove temporary files in {self._root}", ""):
            try:
                root = self._folders.enter([])
            except FileNotFoundError:
                return 0
            try:
                return sum(
                    _removed_size(folder, name, written_before_ns)
                    for _, _, names, folder in os.fwalk(".", dir_fd=root)
                    for name in names
                    if name.startswith(_TEMPORARY)
                )
            finally:
                os.close(root)

    def _write(self, key: str, data: Buffer | Sequence[Buffer], *, only_if_absent: bool) -> ObjectInfo:
        check_key(key)
        views = as_views(data)
        if only_if_absent:
            check_create_size(key, views)
        *folders, name = key.split("/")
        with translated_errors(f"write {key} in {self._root}", key):
            folder = self._folders.make(folders)
            try:
                if only_if_absent and _exists(folder, name):
                    raise _taken(key)  # spares writing the data once more; the link below is what decides
                return self._write_in(folder, name, key, views, only_if_absent=only_if_absent)
            finally:
                os.close(folder)

    def _write_in(
        self, folder: int, name: str, key: str, views: Sequence[memoryview], *, only_if_absent: bool
    ) -> ObjectInfo:
        temporary = f"{_TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}"
        try:
            written = write_file(folder, temporary, views)
            if only_if_absent:
                self._link(folder, temporary, name, key)
            else:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            sync_folder(folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
        return ObjectInfo(key, written.st_size, written.st_mtime_ns)

    def _link(self, folder: int, temporary: str, name: str, key: str) -> None:
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError as error:
            raise _taken(key) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise FailedError(
                f"cannot create {key}: the file system of {self._root} has no hard links",
                hint="use a folder on a POSIX file system, or an object store",
                object_name=key,
            ) from error

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, ObjectInfo]]:
        check_key(key)
        with translated_errors(f"read {key} in {self._root}", key):
            descriptor = self._open(key)
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise _missing(key, self._root)
                yield descriptor, ObjectInfo(key, found.st_size, found.st_mtime_ns)
            finally:
                os.close(descriptor)

    def _enter(self, names: Sequence[str]) -> int | None:
        """A descriptor of the folder, or None when there is none. Raises OSError."""
        try:
            return self._folders.enter(names)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def _open(self, key: str) -> int:
        *folders, name = key.split("/")
        try:
            folder = self._folders.enter(folders)
            try:
                # O_NONBLOCK: a named pipe that somebody put there must not stop us; it means nothing for files.
                return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in _ABSENT:
                raise _missing(key, self._root) from error
            raise


def _missing(key: str, root: Path) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"there is no {key} in {root}", object_name=key)


def _taken(key: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"{key} exists already", object_name=key)


def _removed_size(folder: int, name: str, written_before_ns: int) -> int:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if found.st_mtime_ns >= written_before_ns:
            return 0
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return 0  # its writer has just finished
    return found.st_size


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _unlink_object(folder: int, name: str) -> None:
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    # The order of deletions (roots before what they refer to) must also hold after a power cut.
    sync_folder(folder)
