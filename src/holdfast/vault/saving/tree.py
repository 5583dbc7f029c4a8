"""What is to be saved: a file or a folder, walked in a stable order, and watched for changes while it is read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError, RefusedError, SourceChangedError

__all__ = ["Item", "Tree", "walk_tree", "component_of", "check_unchanged"]

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
    name = path.absolute().name
    if stat.S_ISLNK(top.st_mode):  # a path that the user names is followed, links below it are not
        path = path.resolve()
        top = _lstat(path)
    if stat.S_ISREG(top.st_mode):
        return Tree("file", name, [Item(path, os.fsencode(name), top)], [])
    if not stat.S_ISDIR(top.st_mode):
        raise RefusedError(f"{path} is neither a file nor a folder", object_name=str(path))
    skipped: list[str] = []
    items = [Item(path, b".", top), *_walk(path, b"", skipped)]
    return Tree("folder", name, items, skipped)


def component_of(relative: bytes) -> str:
    """The component that a file belongs to by its path: optimizer, rng, dataloader, weights or other."""
    for component, pattern in _COMPONENTS:
        if pattern.search(relative):
            return component
    return "other"


def check_unchanged(item: Item, now: os.stat_result | None = None) -> None:
    """Raises SourceChangedError when the item is not what it was when the tree was walked."""
    try:
        now = now or item.path.lstat()
    except FileNotFoundError as error:
        raise SourceChangedError(f"{item.path} vanished while it was saved", object_name=str(item.path)) from error
    before = item.stat
    if (now.st_mode, now.st_ino) != (before.st_mode, before.st_ino):
        raise SourceChangedError(f"{item.path} was replaced while it was saved", object_name=str(item.path))
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        what = f"grew from {before.st_size} to {now.st_size} bytes" if now.st_size > before.st_size else "changed"
        raise SourceChangedError(f"{item.path} {what} while it was saved", object_name=str(item.path))


def _walk(folder: Path, prefix: bytes, skipped: list[str]) -> Iterator[Item]:
    try:
        with os.scandir(os.fsencode(folder)) as found:
            names = sorted(entry.name for entry in found)
    except PermissionError as error:
        raise PermissionDeniedError(f"the folder {folder} may not be read", object_name=str(folder)) from error
    except FileNotFoundError as error:
        raise SourceChangedError(f"{folder} vanished while it was saved", object_name=str(folder)) from error
    for name in names:
        path = folder / os.fsdecode(name)
        item = Item(path, prefix + name, _lstat(path))
        mode = item.stat.st_mode
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            yield item
        elif stat.S_ISDIR(mode):
            yield item
            yield from _walk(path, item.relative + b"/", skipped)
        else:
            skipped.append(f"{path} is a socket, pipe or device and was left out")


def _lstat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {path}", object_name=str(path)) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} may not be read", object_name=str(path)) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
