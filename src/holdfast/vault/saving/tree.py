"""What is to be saved: a file or a folder, walked in a stable order, and watched for changes while it is read."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import (
    FailedError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    SourceChangedError,
    UsageError,
)

__all__ = ["Item", "Tree", "walk_tree", "component_of", "stream_of", "OWN_PART_BYTES", "check_unchanged", "read_link"]

OWN_PART_BYTES = 8 << 20  # a file of that size has a manifest of its own

# Which component of an asset a file belongs to; retention can treat components differently. First match wins.
_COMPONENTS = (
    ("optimizer", re.compile(rb"optim|exp_avg|adam|zero_pp_rank|scheduler|scaler", re.IGNORECASE)),
    ("rng", re.compile(rb"rng|random_states?", re.IGNORECASE)),
    ("dataloader", re.compile(rb"data_?(state|loader)|sampler", re.IGNORECASE)),
    (
        "weights",
        re.compile(rb"\.(safetensors|gguf)$|model|weights|consolidated|\.distcp$|\.pth?$|\.ckpt$", re.IGNORECASE),
    ),
)


class Item(NamedTuple):
    """One thing to save. `relative` is the path in the snapshot (bytes, `/` between names)."""

    path: Path
    relative: bytes
    stat: os.stat_result

    @property
    def type(self) -> str:
        if stat.S_ISREG(self.stat.st_mode):
            return "file"
        return "folder" if stat.S_ISDIR(self.stat.st_mode) else "link"

    @property
    def size(self) -> int:
        return self.stat.st_size if self.type == "file" else 0


class Tree(NamedTuple):
    """All items in order, and whether the top is a `folder` or a `file`."""

    source: str
    name: str
    items: list[Item]
    skipped: list[str]

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.items)

    @property
    def newest_ns(self) -> int:
        """The newest modification time: when the state was complete."""
        return max(item.stat.st_mtime_ns for item in self.items)


def walk_tree(path: Path) -> Tree:
    """Everything below `path`. Sockets, pipes and devices are listed in `skipped`, a sentence each.

    Raises NotFoundError, PermissionDeniedError.
    """
    top = _lstat(path)
    name = path.absolute().name or "root"
    if stat.S_ISLNK(top.st_mode):  # a path that the user names is followed, links below it are not
        path = Path(os.path.realpath(path))  # Path.resolve would fail on a loop
        top = _lstat(path)
    if stat.S_ISREG(top.st_mode):
        return Tree("file", _printable(name), [Item(path, os.fsencode(name), top)], [])
    if not stat.S_ISDIR(top.st_mode):
        raise RefusedError(f"{path} is neither a file nor a folder", object_name=str(path))
    skipped: list[str] = []
    items = [Item(path, b".", top), *_walk(path, skipped)]
    return Tree("folder", _printable(name), items, skipped)


def stream_of(component: str, size: int) -> str:
    """Which packs a file's chunks go to. Large files of different components share none, so that a component can be
    given up without rewriting a pack; small ones are together, for few objects.
    """
    return component if size >= OWN_PART_BYTES else ""


def component_of(relative: bytes) -> str:
    """The component that a file belongs to by its path: optimizer, rng, dataloader, weights or other."""
    for component, pattern in _COMPONENTS:
        if pattern.search(relative):
            return component
    return "other"


def check_unchanged(item: Item, now: os.stat_result | None = None) -> None:
    """Raises SourceChangedError when the item is not what it was when the tree was walked.

    The change time (ctime) counts, too: nobody can set it back. So a new mode, owner or hard link is also a change.
    """
    try:
        now = now or item.path.lstat()
    except FileNotFoundError as error:
        raise SourceChangedError(f"{item.path} vanished while it was saved", object_name=str(item.path)) from error
    before = item.stat
    if (now.st_mode, now.st_ino) != (before.st_mode, before.st_ino):
        raise SourceChangedError(f"{item.path} was replaced while it was saved", object_name=str(item.path))
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (before.st_size, before.st_mtime_ns, before.st_ctime_ns):
        what = f"grew from {before.st_size} to {now.st_size} bytes" if now.st_size > before.st_size else "changed"
        raise SourceChangedError(f"{item.path} {what} while it was saved", object_name=str(item.path))


def _walk(top: Path, skipped: list[str]) -> Iterator[Item]:
    pending = [_below(top, b"")]  # not recursive: folders may be nested deeper than Python calls
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
            continue
        mode = item.stat.st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            skipped.append(f"{item.path} is a socket, pipe or device and was left out")
            continue
        yield item
        if stat.S_ISDIR(mode):
            pending.append(_below(item.path, item.relative + b"/"))


def _below(folder: Path, prefix: bytes) -> Iterator[Item]:
    try:
        with os.scandir(os.fsencode(folder)) as found:
            names = sorted(entry.name for entry in found)
    except OSError as error:
        raise _lost(folder, error) from error
    for name in names:
        path = folder / os.fsdecode(name)
        try:
            item = Item(path, prefix + name, path.lstat())
        except OSError as error:
            raise _lost(path, error) from error
        yield item


def read_link(item: Item) -> bytes:
    """The target of a link, as it is written there. Raises SourceChangedError, PermissionDeniedError."""
    try:
        return os.readlink(os.fsencode(item.path))  # noqa: PTH115 - a Path would turn `./a//b` into `a/b`
    except OSError as error:
        raise _lost(item.path, error) from error


def _printable(name: str) -> str:
    """A name as text that any record can hold: bytes that are no UTF-8 as `\\xff`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _lstat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"there is no {path}", hint="name what is to be saved", object_name=str(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is no path") from error


def _lost(path: Path, error: OSError) -> HoldfastError:
    """For what was there a moment ago."""
    if isinstance(error, PermissionError):
        return _unreadable(path, error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):  # EINVAL: a link that is none any more
        return SourceChangedError(f"{path} vanished while it was saved", object_name=str(path))
    return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> HoldfastError:
    if isinstance(error, PermissionError):
        hint = "see who owns it, or leave it out"
        return PermissionDeniedError(f"{path} may not be read", hint=hint, object_name=str(path))
    return FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path))
