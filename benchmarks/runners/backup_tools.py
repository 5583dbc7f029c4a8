"""restic and borg: deduplicating, encrypted backups. The nearest to Holdfast in what they promise."""

from __future__ import annotations

from pathlib import Path

from ..measuring import Took
from ..setting import Setting
from .base import Command

__all__ = ["Restic", "Borg"]


class Restic(Command):
    """`restic backup` and `restic restore`, the cache on, as they come; `compression` is auto (its default) or off."""

    tool = "restic"
    version_arguments = ("version",)

    def __init__(self, setting: Setting, compression: str = "auto") -> None:
        super().__init__(setting)
        self.compression = compression
        self.name = "restic" if compression == "auto" else f"restic, compression {compression}"
        self.note = f"`--compression {compression}`, encrypted; unchanged files are told by their times, not read"

    def start(self, folder: Path) -> None:
        super().start(folder)
        (folder / "home").mkdir()
        self.environment |= {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": self.setting.password,
            "RESTIC_CACHE_DIR": str(folder / "home/restic"),
        }
        self.measure("init", "--quiet")

    def save(self, source: Path) -> Took:
        return self.measure("backup", "--quiet", "--compression", self.compression, ".", cwd=source)

    def restore(self, target: Path) -> Took:
        return self.measure("restore", "latest", "--quiet", "--target", target)


class Borg(Command):
    """`borg create` and `borg extract` with repokey-blake2. Its own default compression is lz4."""

    tool = "borg"

    def __init__(self, setting: Setting, compression: str = "lz4") -> None:
        super().__init__(setting)
        self.compression = compression
        self.name = f"borg, {compression}"
        self.note = f"`--compression {compression}`, repokey-blake2; unchanged files are told by their times, not read"
        self._number = 0

    def start(self, folder: Path) -> None:
        super().start(folder)
        self.repository.rmdir()
        (folder / "home").mkdir()
        self.environment |= {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": self.setting.password,
            "BORG_BASE_DIR": str(folder / "home"),
        }
        self.measure("init", "--encryption", "repokey-blake2")

    def save(self, source: Path) -> Took:
        self._number += 1
        return self.measure("create", "--compression", self.compression, f"::{self._number}", ".", cwd=source)

    def restore(self, target: Path) -> Took:
        target.mkdir()
        return self.measure("extract", f"::{self._number}", cwd=target)
