"""Processes of this machine, named so that nobody takes another one for them. Linux."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["machine_of", "process_of"]

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_PIDS: Final = Path("/proc/self/ns/pid")


def machine_of() -> str:
    """This start of this machine, and the namespace that its pids are of: within it a pid means something."""
    try:
        return f"{_BOOT.read_text().strip()}/{_PIDS.readlink()}"
    except OSError:
        return ""


def process_of(pid: int) -> str:
    """`PID/START` of a process that runs; empty for one that is gone (a zombie is). A pid may be used again, with
    another start.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{pid}/{fields[19]}"
