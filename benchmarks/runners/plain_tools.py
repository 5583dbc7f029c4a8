"""Tools without a history or a key: cp, rclone copy, zstd. They show what copying and compressing alone cost."""

from __future__ import annotations

from pathlib import Path

from ..measuring import Took
from ..setting import Setting
from .base import Command

__all__ = ["Copy", "Rclone", "Zstd"]

_FSYNC = ' && find "$2" -type f -exec sync {} +'


class _Numbered(Command):
    """Keeps each save in a folder of its own, as nothing is shared between them."""

    remembers = False

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._number = 0

    def start(self, folder: Path) -> None:
        super().start(folder)
        self._number = 0

    def _next_place(self) -> Path:
        self._number += 1
        return self._place()

    def _place(self) -> Path:
        return self.repository / str(self._number)


class Copy(_Numbered):
    """`cp -r`, then fsync of every file."""

    tool = "cp"
    name = "cp + fsync"

    def save(self, source: Path) -> Took:
        return self.shell('cp -r "$1" "$2"' + _FSYNC, source, self._next_place())

    def restore(self, target: Path) -> Took:
        return self.shell('cp -r "$1" "$2"' + _FSYNC, self._place(), target)


class Rclone(Command):
    """`rclone copy`, from folder to folder; `rclone sync` of a later state, as copy leaves renamed files behind."""

    tool = "rclone"
    version_arguments = ("version",)
    name = "rclone copy"
    note = "keeps one state (later ones by `rclone sync`); unchanged files are told by size and time, not read"

    def save(self, source: Path) -> Took:
        return self.measure("copy", "--quiet", source, self.repository)

    def save_next(self, source: Path) -> Took:
        return self.measure("sync", "--quiet", source, self.repository)

    def restore(self, target: Path) -> Took:
        return self.measure("copy", "--quiet", self.repository, target)


class Zstd(_Numbered):
    """`zstd -rN -T2`, file by file; a tree of many small files as one tar, as people would."""

    tool = "zstd"

    def __init__(self, setting: Setting, level: int, *, archive: bool = False, fsync: bool = False) -> None:
        super().__init__(setting)
        self.level, self.archive, self.fsync = level, archive, fsync
        self.name = f"tar, zstd -{level}" if archive else f"zstd -{level}" + (" + fsync" if fsync else "")
        self.note = "two threads, not encrypted"

    def save(self, source: Path) -> Took:
        place = self._next_place()
        if self.archive:
            return self.shell(f'tar -C "$1" -I "zstd -q -{self.level} -T2" -cf "$2" .', source, place)
        script = f'cd "$1" && zstd -q -{self.level} -T2 -r . --output-dir-mirror "$2"'
        return self.shell(script + (_FSYNC if self.fsync else ""), source, place)

    def restore(self, target: Path) -> Took:
        if self.archive:
            return self.shell('mkdir "$2" && tar -C "$2" -I "zstd -q" -xf "$1"', self._place(), target)
        return self.shell('cd "$1" && zstd -q -d -r . --output-dir-mirror "$2"', self._place(), target)
