"""The cut: members as they are at one moment, copied to a place where nothing changes them while they are saved.

Files are cloned where the file system can (`FICLONE`: XFS, Btrfs, ZFS …; no byte is copied and none is doubled), else
copied. What changes while it is copied is noticed: then the members were not frozen, and nothing is saved.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from holdfast.errors import (
    FailedError,
    NotFoundError,
    PermissionDeniedError,
    SourceChangedError,
    StorageFullError,
    UsageError,
)

__all__ = ["Source", "MemberCut", "cut_member", "check_members", "require_name", "require_space"]

Source = str | os.PathLike[str] | bytes | Callable[[Path], object]
"""A file or folder, the bytes of a file, or a function that writes files into the folder that it is given."""

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_SPARE_BYTES = 64 << 20
_COPY_BYTES = 16 << 20
_RESERVED = ("group.json", "circumstances.json")


class MemberCut(NamedTuple):
    """What became of a member. `cloned`: of its bytes, those that were not copied."""

    name: str
    source: str
    files: int
    bytes: int
    cloned: int


class _Seen(NamedTuple):
    relative: bytes
    path: Path
    status: os.stat_result

    @property
    def stamp(self) -> tuple[bytes, int, int, int, int]:
        return self.relative, self.status.st_mode, self.status.st_ino, self.status.st_size, self.status.st_mtime_ns


def check_members(members: Mapping[str, Source]) -> dict[str, Source]:
    """The members by names that can be folders of a snapshot. Raises UsageError, NotFoundError."""
    if not members:
        raise UsageError("a group without members has nothing to save")
    for name, source in members.items():
        first = PurePosixPath(require_name(name)).parts[0]
        if first in _RESERVED or any(name != other and other.startswith(f"{name}/") for other in members):
            raise UsageError(f"member {name!r} is in the way of another file of the snapshot", hint="another name")
        if not isinstance(source, bytes) and not callable(source) and not os.path.lexists(source):
            raise NotFoundError(f"member {name!r}: there is no {os.fspath(source)}", object_name=name)
    return dict(members)


def require_name(name: str) -> str:
    """The name, if it can be a folder of a snapshot. Raises UsageError."""
    path = PurePosixPath(name)
    if name in ("", ".") or name.startswith("/") or ".." in path.parts or "\0" in name or str(path) != name:
        raise UsageError(f"{name!r} cannot be the name of a member", hint="a relative path, such as tokenizer")
    return name


def require_space(members: Mapping[str, Source], staging: Path) -> None:
    """Look before any hook runs whether the cut will fit. Raises StorageFullError, NotFoundError."""
    needed = 0
    for source in members.values():
        if isinstance(source, bytes):
            needed += len(source)
        elif not callable(source):
            files = [one for one in _walk(Path(source)) if stat.S_ISREG(one.status.st_mode)]
            if files and not _clones(files[0].path, staging):
                needed += sum(one.status.st_size for one in files)
    free = shutil.disk_usage(staging).free
    if needed + _SPARE_BYTES > free:
        raise StorageFullError(
            f"the cut of the group needs {needed:,} bytes at {staging}, where {free:,} are free",
            hint="another staging folder; on the members' own file system nothing is copied, if it can clone files",
        )


def cut_member(name: str, source: Source, staging: Path) -> MemberCut:
    """Put the member as it is now into the folder of its name below `staging`.

    Raises SourceChangedError, NotFoundError, PermissionDeniedError, StorageFullError, FailedError.
    """
    target = staging / name
    with _told(name):
        target.mkdir(parents=True, mode=0o700)
        if isinstance(source, bytes):
            (target / PurePosixPath(name).name).write_bytes(source)
            return MemberCut(name, "bytes", 1, len(source), 0)
        if callable(source):
            return _called(name, source, target)
        return _copied(name, Path(source), target)


def _called(name: str, write: Callable[[Path], object], target: Path) -> MemberCut:
    try:
        write(target)
    except OSError:
        raise
    except Exception as error:
        raise FailedError(f"member {name!r} could not be written: {type(error).__name__}: {error}") from error
    files = [one.status.st_size for one in _walk(target) if stat.S_ISREG(one.status.st_mode)]
    if not files:
        raise FailedError(f"member {name!r}: its function wrote no file")
    return MemberCut(name, "function", len(files), sum(files), 0)


def _copied(name: str, source: Path, target: Path) -> MemberCut:
    before = list(_walk(source))
    files = size = cloned = 0
    for one in before:
        to = target / os.fsdecode(one.relative)
        mode = one.status.st_mode
        if stat.S_ISDIR(mode):
            to.mkdir(exist_ok=True)
        elif stat.S_ISLNK(mode):
            to.symlink_to(one.path.readlink())
        elif stat.S_ISREG(mode):
            files, size = files + 1, size + one.status.st_size
            cloned += one.status.st_size if _copy(one.path, to) else 0
    for one in reversed(before):  # folders last: what is put into them changes their times
        if not stat.S_ISLNK(one.status.st_mode):
            shutil.copystat(one.path, target / os.fsdecode(one.relative), follow_symlinks=False)
    after = list(_walk(source))
    if [one.stamp for one in before] != [one.stamp for one in after]:
        raise SourceChangedError(
            f"member {name!r} changed while it was cut: {_first_change(before, after)}",
            hint="a hook that freezes it, or cut where nobody writes: at the end of a step",
        )
    return MemberCut(name, str(source), files, size, cloned)


def _first_change(before: list[_Seen], after: list[_Seen]) -> str:
    known = {one.stamp for one in before}
    changed = next((one for one in after if one.stamp not in known), before[0])
    return os.fsdecode(changed.relative) or changed.path.name


def _walk(source: Path) -> Iterator[_Seen]:
    """The top first, what lies in a folder after it; a file by itself lies in the member by its name."""
    status = source.lstat() if not source.is_symlink() else source.stat()  # the top may be a link to what is meant
    if not stat.S_ISDIR(status.st_mode):
        yield _Seen(os.fsencode(source.name), source, status)
        return
    pending = [(b"", source, status)]
    while pending:
        relative, path, status = pending.pop()
        yield _Seen(relative, path, status)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                    below = relative + b"/" if relative else b""
                    pending.append(
                        (below + os.fsencode(entry.name), Path(entry.path), entry.stat(follow_symlinks=False))
                    )


def _copy(source: Path, target: Path) -> bool:
    """Clone the file, or copy it; whether it was cloned."""
    with source.open("rb") as reading, target.open("xb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        if _ficlone(reading.fileno(), writing.fileno()):
            return True
        shutil.copyfileobj(reading, writing, _COPY_BYTES)
    return False


def _ficlone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False  # another file system, or one that cannot
    return True


def _clones(source: Path, staging: Path) -> bool:
    trial = staging / f".clone-{os.getpid()}"
    try:
        with source.open("rb") as reading, trial.open("wb") as writing:
            return _ficlone(reading.fileno(), writing.fileno())
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Errors of the operating system in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceChangedError(f"member {name!r}: {error.filename} was there, and is not any more") from error
    except PermissionError as error:
        raise PermissionDeniedError(f"member {name!r}: {error.filename} may not be read", object_name=name) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"member {name!r}: no space is left for the cut", object_name=name) from error
        raise FailedError(f"member {name!r} cannot be cut: {error.strerror}", object_name=name) from error
