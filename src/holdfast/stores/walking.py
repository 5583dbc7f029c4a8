"""Listing what lies in a folder of a file system, in the order of keys, and asking the system for little.

Reading the names of 10,000 files takes 2 ms, their sizes and times ten times that: what the caller does not want (names
before `after`, what it stops before) is not looked at. Folders are entered through descriptors, never through a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from holdfast.stores.keys import is_segment
from holdfast.stores.protocol import ObjectInfo

__all__ = ["walk", "subfolders"]


def walk(folder: int, path: str, beginning: str, after: str = "") -> Iterator[ObjectInfo]:
    """Objects below the open folder whose names in it begin so and whose keys come after `after`, in order of keys.

    `path` is the folder's own, "" or with a slash. Raises OSError.
    """
    rest = _rest(path, after)
    if rest is None:
        return
    for name in sorted(_names(folder, beginning, rest)):
        if not is_segment(name.removesuffix("/")):
            continue
        if name.endswith("/"):
            yield from _walk_into(folder, name, path, after)
            continue
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since the folder was read
        if stat.S_ISREG(found.st_mode):
            yield ObjectInfo(path + name, found.st_size, found.st_mtime_ns)


def subfolders(folder: int, path: str) -> list[str]:
    """The folders in the open one, in order, each below `path` and with a slash. Raises OSError."""
    return sorted(path + name for name in _names(folder, "", "") if name.endswith("/") and is_segment(name[:-1]))


def _rest(path: str, after: str) -> str | None:
    """What names in the folder have to be compared with, or None when none of its keys comes after `after`."""
    if after.startswith(path):
        return after[len(path) :]
    return "" if path > after else None


def _walk_into(folder: int, name: str, path: str, after: str) -> Iterator[ObjectInfo]:
    try:
        inside = os.open(name[:-1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        yield from walk(inside, path + name, "", after)
    finally:
        os.close(inside)


def _names(folder: int, beginning: str, rest: str) -> Iterator[str]:
    """Names that begin so and are, or may hold, what comes after `rest`; a folder's with its slash, which makes the
    order of names that of whole keys.
    """
    with os.scandir(folder) as found:
        # Of 10,000 names, all but the last few are usually passed over: that much is done by the fastest loop there is.
        entries = [entry for entry in found if entry.name > rest or rest.startswith(entry.name)] if rest else found
        for entry in entries:
            name = entry.name
            if not name.startswith(beginning):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield f"{name}/"
            elif name > rest:
                yield name
