"""How much memory may still be taken here. The kernel gives shared memory out until it kills somebody: training, most
likely. So it is asked before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_bytes"]

_UNLIMITED = 1 << 62


def available_bytes(root: Path = Path("/")) -> int:
    """Of the machine, by the kernel's own estimate (MemAvailable), and of the control groups that this process is in,
    whichever is least. `root`: where `proc` and `sys` lie.
    """
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return _UNLIMITED


def _of_groups(root: Path) -> Iterator[int]:
    """What is left in each group from this process's upwards; caches of files in them count as free."""
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        top = base / "memory" if controllers else base
        group = top / place.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is not None and used is not None and limit < _UNLIMITED:
                yield max(0, limit - used + _caches(folder / "memory.stat"))


def _caches(path: Path) -> int:
    """Clean and dirty pages of files that the kernel lets go of when a group is full."""
    found = dict(line.split(maxsplit=1) for line in _read(path).splitlines() if " " in line)
    return sum(int(found.get(name, 0)) for name in ("inactive_file", "active_file"))


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
