"""What ran the benchmarks. No names of hosts or users, and no paths."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path

__all__ = ["machine_facts", "available_memory", "touch_memory"]


_CHECKOUT = Path(__file__).resolve().parents[1]


def machine_facts() -> dict[str, str | int]:
    """Processor, cores that this process may use, memory in bytes, kernel, Python."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def available_memory() -> int:
    """Bytes that may be taken before the kernel swaps or kills, by its own estimate; 0 if it does not say."""
    text = _field("/proc/meminfo", "MemAvailable")
    return int(text.split()[0]) * 1024 if text else 0


def touch_memory(size: int) -> None:
    """Touch `size` bytes, at most half of what is available, and free them again.

    The host of a virtual machine takes back what is free and gives it out anew at a fraction of memory's speed (0.3
    GB/s were seen). Without this, what a step takes depends on how long ago its memory was last used, not on the tool.
    """
    size = min(size, available_memory() // 2)
    if size and hasattr(mmap, "MAP_POPULATE"):
        # In a child: a command's largest size, as the kernel tells it, begins with that of the process that started it.
        subprocess.run([sys.executable, "-m", "benchmarks.machine", str(size)], check=True, cwd=_CHECKOUT)


def _populate(size: int) -> None:
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


if __name__ == "__main__":
    _populate(int(sys.argv[1]))
