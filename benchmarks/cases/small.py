"""Limits of the machine, start-up, and the measurements that are programs of their own."""

from __future__ import annotations

import json
import sys
from typing import Any

from ..measuring import CommandFailed, Word, run
from ..runners.base import Command
from ..setting import CHECKOUT, say
from .context import Context
from .entrants import for_speed

__all__ = ["limits", "start", "lazy_reading", "many_snapshots", "large_index"]

_STARTS = 10
_HEAVY = ("torch", "ray", "sqlalchemy", "numpy", "cryptography", "pandas")
_IMPORT = """
import json, sys, time
began = time.perf_counter()
import holdfast
print(json.dumps([time.perf_counter() - began, [name for name in {heavy!r} if name in sys.modules]]))
"""
# What a quick run asks of them: small enough for seconds.
_QUICK = {
    "lazy_reading": ["--gib", "0.25", "--rounds", "3"],
    "many_snapshots": ["--snapshots", "20"],
    "large_index": ["--chunks", "200000"],
}


def limits(context: Context) -> dict[str, Any]:
    """memcpy, BLAKE3, and writing, in bytes and seconds."""
    command: list[Word] = [sys.executable, "-m", "benchmarks.limits", "--ram", context.setting.ram]
    command += ["--bytes", str((1 << 28) if context.quick else (1 << 30))]
    if context.setting.disk is not None:
        command += ["--disk", context.setting.disk]
    found: dict[str, Any] = json.loads(run(command, env=context.setting.environment()).output)
    return found


def start(context: Context) -> dict[str, Any]:
    """Seconds of `import holdfast` and the heavy modules that it loads; what commands take to say their version."""
    environment = context.setting.environment()
    script = _IMPORT.format(heavy=_HEAVY)
    told = [json.loads(run([sys.executable, "-c", script], env=environment).output) for _ in range(_STARTS)]
    commands = {type(runner).__name__: runner for runner in for_speed(context) if isinstance(runner, Command)}
    seconds: dict[str, list[float]] = {}
    for _ in range(_STARTS):
        for runner in commands.values():
            if runner.available():
                took = runner.measure(*runner.version_arguments)
                seconds.setdefault(f"{runner.tool} {runner.version_arguments[0]}", []).append(took["seconds"])
    return {
        "import_seconds": [each[0] for each in told],
        "heavy_modules": sorted({name for each in told for name in each[1]}),
        "commands": seconds,
    }


def lazy_reading(context: Context) -> dict[str, Any]:
    """One tensor out of a large snapshot."""
    return _program(context, "lazy_reading")


def many_snapshots(context: Context) -> dict[str, Any]:
    """A vault with very many snapshots."""
    return _program(context, "many_snapshots")


def large_index(context: Context) -> dict[str, Any]:
    """An index of millions of chunks."""
    return _program(context, "large_index")


def _program(context: Context, name: str) -> dict[str, Any]:
    if not (CHECKOUT / f"benchmarks/{name}.py").exists():
        return {"skipped": f"there is no benchmarks/{name}.py"}
    command: list[Word] = [
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        "--json",
        *(_QUICK[name] if context.quick else []),
    ]
    # In the run's own folder, so that nothing stays behind when it is stopped.
    command += ["--folder", context.setting.ram]
    try:
        found: dict[str, Any] = json.loads(run(command, env=context.setting.environment()).output)
    except (CommandFailed, ValueError) as error:
        say(f"  error: {error}\n{getattr(error, 'details', '')}")
        return {"errors": [f"benchmarks.{name}: {error}"]}
    return found
