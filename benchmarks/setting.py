"""Where a run of the benchmarks finds its tools and puts its files."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .measuring import CommandFailed, run

__all__ = ["CHECKOUT", "Setting", "open_setting", "say", "is_in_memory"]

CHECKOUT = Path(__file__).resolve().parents[1]
_RAM = Path("/dev/shm")
_SINGLE = {"HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE", "HOLDFAST_VAULT", "RESTIC_REPOSITORY", "BORG_REPO"}


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def python_path() -> str:
    """PYTHONPATH for children: the modules here, and whatever was set."""
    return os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))


class Setting(NamedTuple):
    """`ram` and `disk` are folders of this run alone, removed with it. `password` is made up for this run."""

    ram: Path
    disk: Path | None
    peers: Path
    password: str

    def find(self, tool: str) -> str | None:
        """The path of a peer's command: in the peers' environment, else on PATH."""
        return shutil.which(tool, path=str(self.peers / "bin")) or shutil.which(tool)

    def peer_python(self) -> str | None:
        """The Python of the peers' environment."""
        return shutil.which("python", path=str(self.peers / "bin"))

    def peer_has(self, module: str) -> bool:
        """Whether the peers' Python can import `module`."""
        return _can_import(self.peer_python(), module)

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """This process's variables, with every tool's settings, keys and caches below `home` (by default `ram`)."""
        home = home or self.ram
        own = {name: value for name, value in os.environ.items() if name not in _SINGLE}
        for name in ("config", "state", "cache"):
            own[f"XDG_{name.upper()}_HOME"] = str(home / name)
        own |= {"HOME": str(home), "PYTHONPATH": python_path(), "NO_COLOR": "1"}
        return own


@cache
def _can_import(python: str | None, module: str) -> bool:
    if python is None:
        return False
    try:
        run([python, "-c", f"import {module}"])
    except CommandFailed:
        return False
    return True


def is_in_memory(path: Path) -> bool:
    """Whether the folder lies on a file system that the kernel keeps in memory. False where that cannot be told."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        _, mount, system = line.split(" ")[:3]
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, system
    return kind in {"tmpfs", "ramfs"}


@contextmanager
def open_setting(ram: Path | None, disk: Path | None, peers: Path) -> Iterator[Setting]:
    """Make the run's folders and remove them at the end, however it comes.

    `ram`: where RAM-backed storage is, by default /dev/shm, else the folder for temporary files. `disk`: a folder on
    a real disk, by default the one for temporary files if it is not in memory.
    """
    if ram is None:
        ram = _RAM if _RAM.is_dir() else Path(tempfile.gettempdir())
    if disk is None and not is_in_memory(Path(tempfile.gettempdir())):
        disk = Path(tempfile.gettempdir())
    made = [Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=place)) for place in (ram, disk) if place is not None]
    try:
        yield Setting(made[0], made[1] if disk is not None else None, peers, secrets.token_urlsafe(24))
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
