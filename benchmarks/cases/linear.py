"""Saves of growing size: is the time linear in the bytes, and the memory the same?

The states are those of the run, each multiplied by another number just below 1: no two share a chunk, yet their bytes
are as hard to pack as the real ones.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from ..machine import available_memory
from ..measuring import Word, run
from ..runners.holdfast_runners import HoldfastLibrary
from ..setting import say
from ..trees import forget_cached, remove, tree_bytes
from .context import Context

__all__ = ["linear"]

_RESERVE = 4 << 30  # bytes of memory that stay free for everything else
_ROUNDS = 2


def linear(context: Context) -> dict[str, Any]:
    """Seconds and peak memory of a fresh save of each size, in turns."""
    place = _place(context, max(context.sizes))
    if place is None:
        return {"skipped": f"neither memory nor disk has room for {max(context.sizes)} bytes twice"}
    folder = place / "linear"
    try:
        parts = _make(context, folder / "pool", max(context.sizes))
        found: dict[str, Any] = {"in_memory": place == context.setting.ram, "saves": []}
        for number in range(_ROUNDS):
            for size in context.sizes:
                say(f"  round {number + 1} of {_ROUNDS}: {size >> 20} MiB")
                found["saves"].append(_save(context, folder, parts, size))
        return found
    finally:
        remove(folder)


def _place(context: Context, size: int) -> Path | None:
    """Where source and vault both fit: memory if they do, else the disk."""
    if available_memory() > 2 * size + _RESERVE and shutil.disk_usage(context.setting.ram).free > 2 * size:
        return context.setting.ram
    disk = context.setting.disk
    return disk if disk is not None and shutil.disk_usage(disk).free > 2 * size + _RESERVE else None


def _make(context: Context, pool: Path, size: int) -> list[Path]:
    say(f"  making {size >> 20} MiB of states")
    command: list[Word] = [
        sys.executable,
        "-m",
        "benchmarks.workload.scaled",
        context.part("fp32", "first"),
        pool,
        str(size),
    ]
    run(command, env=context.setting.environment())
    return sorted(pool.iterdir())


def _save(context: Context, folder: Path, parts: list[Path], size: int) -> dict[str, Any]:
    """Move the first files of the pool, `size` bytes in all, into a folder, save it, and move them back."""
    source = folder / "source"
    source.mkdir()
    taken: list[Path] = []
    for part in parts:
        if sum(path.stat().st_size for path in source.iterdir()) >= size:
            break
        part.rename(source / part.name)
        taken.append(part)
    forget_cached(source)
    runner = HoldfastLibrary(context.setting)
    try:
        runner.start(folder / "episode")
        took = runner.save(source)
        return {"bytes": tree_bytes(source), "stored": runner.stored_bytes(), "took": took}
    finally:
        remove(folder / "episode")
        for part in taken:
            (source / part.name).rename(part)
        source.rmdir()
