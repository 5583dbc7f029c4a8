"""What ran the benchmarks. No names of hosts or users, and no paths."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["machine_facts", "available_memory"]


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


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
