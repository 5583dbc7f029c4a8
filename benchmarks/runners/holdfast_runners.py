"""Holdfast itself: its command, and its Python API in a process of its own. Vaults are encrypted, as by default,
unless it is said.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from ..measuring import Took, Word, run
from ..setting import Setting
from .base import Command, Runner, first_line

__all__ = ["HoldfastCommand", "HoldfastLibrary"]

_ASSET = "benchmark"


def _command() -> str:
    """The `holdfast` beside this Python."""
    return shutil.which("holdfast", path=str(Path(sys.executable).parent)) or "holdfast"


class HoldfastCommand(Command):
    """`holdfast snapshot save` and `holdfast restore`."""

    tool = "holdfast"

    def __init__(self, setting: Setting, *, read_back: bool = False) -> None:
        super().__init__(setting)
        self.read_back = read_back
        self.name = "holdfast, reading back" if read_back else "holdfast"
        self.note = "its default: what was saved is read back and checked" if read_back else "`--no-verify`, encrypted"

    @property
    def path(self) -> str:
        return _command()

    def available(self) -> bool:
        return True

    def start(self, folder: Path) -> None:
        super().start(folder)
        self.measure("vault", "create", self.repository, "--quiet")

    def save(self, source: Path) -> Took:
        options = [] if self.read_back else ["--no-verify"]
        where: list[Word] = ["--vault", self.repository, "--asset", _ASSET, "--quiet"]
        return self.measure("snapshot", "save", source, *where, *options)

    def restore(self, target: Path) -> Took:
        return self.measure("restore", _ASSET, target, "--vault", self.repository, "--quiet")


class HoldfastLibrary(Runner):
    """`vault.save` and `vault.restore` in a warm process, the vault open."""

    library = True

    def __init__(self, setting: Setting, *, read_back: bool = False, encrypted: bool = True) -> None:
        super().__init__(setting)
        self.read_back = read_back
        self.encrypted = encrypted
        self.name = "holdfast API" + (", reading back" if read_back else "") + ("" if encrypted else ", no encryption")
        self.note = "its default: what was saved is read back and checked" if read_back else "`verify=False`, encrypted"
        if not encrypted:
            self.note = self.note.replace("encrypted", "`--no-encryption`")

    def available(self) -> bool:
        return True

    def version(self) -> str:
        return first_line(_command(), "--version")

    def start(self, folder: Path) -> None:
        super().start(folder)
        options = [] if self.encrypted else ["--no-encryption"]
        run([_command(), "vault", "create", self.repository, "--quiet", *options], env=self.environment)

    def save(self, source: Path) -> Took:
        return self._work("save", source)

    def restore(self, target: Path) -> Took:
        return self._work("restore", target)

    def _work(self, verb: str, path: Path) -> Took:
        worker: list[Word] = [
            sys.executable,
            "-m",
            "benchmarks.runners.holdfast_worker",
            verb,
            self.repository,
            path,
            _ASSET,
        ]
        if self.read_back:
            worker.append("--read-back")
        ran = run(worker, env=self.environment)
        told = json.loads(ran.output)
        return Took(
            seconds=told["seconds"], cpu_seconds=told["cpu_seconds"], peak_bytes=ran.took["peak_bytes"]
        )  # the process's peak includes its start
