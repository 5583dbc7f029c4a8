"""Looking at folders that somebody else is writing, rotating and deleting at the same moment.

Nothing here raises for a file that vanishes between being listed and being looked at: trainers delete old checkpoints
while we read. Symbolic links are never followed into folders (`latest -> step-500` is not a second checkpoint).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import FileStamp

__all__ = [
    "Entry",
    "Glimpse",
    "Tree",
    "glimpse",
    "read_tree",
    "leads_outside",
    "read_entry",
    "read_small_text",
    "SMALL_TEXT_BYTES",
]

SMALL_TEXT_BYTES = 4096  # trackers hold one short word


class Entry(NamedTuple):
    """Size in bytes, and times in ns since the epoch. `changed_ns` is the later of mtime and ctime."""

    size: int
    mtime_ns: int
    changed_ns: int


class Glimpse(NamedTuple):
    """One folder, one level deep: its files, and the names of its folders and of links to files."""

    path: Path
    files: Mapping[str, Entry]
    folders: frozenset[str]
    links: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Tree:
    """Everything below one folder. `trouble` says what could not be looked at, empty when all could.

    `links`: those of the files that are links. They count as links do, with some bytes, whatever they lead to.
    """

    path: Path
    files: Mapping[str, Entry]  # relative POSIX path → entry
    folders: frozenset[str]
    changed_ns: int
    trouble: str = ""
    links: frozenset[str] = frozenset()

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """All files in order of their names."""
        return tuple(FileStamp(name, entry.size, entry.mtime_ns) for name, entry in sorted(self.files.items()))

    @property
    def top_files(self) -> list[str]:
        """Names of the files that lie directly in the folder."""
        return [name for name in self.files if "/" not in name]


def _entry(status: os.stat_result) -> Entry:
    return Entry(status.st_size, status.st_mtime_ns, max(status.st_mtime_ns, status.st_ctime_ns))


def read_entry(path: Path) -> Entry | None:
    """The entry of a regular file, or None when there is none (any more)."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _entry(status) if stat.S_ISREG(status.st_mode) else None


def glimpse(path: Path) -> Glimpse:
    """List one folder. Links to folders and special files are left out.

    Raises OSError when the folder itself cannot be listed.
    """
    files: dict[str, Entry] = {}
    folders: set[str] = set()
    links: set[str] = set()
    with os.scandir(path) as listing:
        for item in listing:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.add(item.name)
            elif stat.S_ISREG(status.st_mode):
                files[item.name] = _entry(status)
            elif item.is_symlink() and item.is_file():
                links.add(item.name)
    return Glimpse(path, files, frozenset(folders), frozenset(links))


def read_tree(path: Path) -> Tree | None:
    """List a whole checkpoint folder; None when it is gone."""
    files: dict[str, Entry] = {}
    links: set[str] = set()
    folders: set[str] = set()
    trouble = ""
    changed_ns = 0
    todo = [""]
    while todo:
        prefix = todo.pop()
        try:
            changed_ns = max(changed_ns, _entry((path / prefix).stat()).changed_ns)
            with os.scandir(path / prefix) as listing:
                items = list(listing)
        except FileNotFoundError:
            if not prefix:
                return None
            trouble = f"{prefix} vanished while it was looked at"
            continue
        except OSError as error:
            trouble = f"{prefix or path.name} cannot be read ({error.strerror})"
            continue
        for item in items:
            name = f"{prefix}/{item.name}" if prefix else item.name
            try:
                if item.is_dir(follow_symlinks=False):
                    folders.add(name)
                    todo.append(name)
                elif not (item.is_symlink() and item.is_dir()):
                    files[name] = _entry(item.stat(follow_symlinks=False))
                    if item.is_symlink():
                        links.add(name)
            except OSError:
                trouble = f"{name} vanished while it was looked at"
    changed_ns = max([changed_ns, *(entry.changed_ns for entry in files.values())])
    return Tree(path, files, frozenset(folders), changed_ns, trouble, frozenset(links))


def leads_outside(tree: Tree, link: str) -> bool:
    """Whether a link of the tree leads to something that is not in the tree itself."""
    return not Path(os.path.realpath(tree.path / link)).is_relative_to(os.path.realpath(tree.path))


def read_small_text(path: Path) -> str | None:
    """The stripped text of a tracker file; None when there is none, when it cannot be read or is no text."""
    try:
        with path.open("rb") as file:
            return file.read(SMALL_TEXT_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
