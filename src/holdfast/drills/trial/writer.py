"""The work of a trial organisation: a process that counts steps, beats, and writes a state every so many steps.

`python -m holdfast.drills.trial.writer FOLDER --first N --every N --pace SECONDS --size BYTES`. In FOLDER:
`heartbeat.json` (step, UTC in ns), `step-N/` with `weights.bin` (new content each time), `common.bin` (always the same)
and `state.json`. It needs nothing but the standard library: it stands for a trainer, and is no load.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

__all__ = ["HEARTBEAT", "last_step", "main", "write_state"]

HEARTBEAT = "heartbeat.json"


def write_state(folder: Path, step: int, size: int) -> Path:
    """`step-N/`, whole or not there. Returns its path."""
    target, growing = folder / f"step-{step}", folder / f".step-{step}"
    growing.mkdir(parents=True)
    chooser = random.Random(f"holdfast drill {step}")  # noqa: S311 - content, no secret
    (growing / "weights.bin").write_bytes(chooser.randbytes(size))
    (growing / "common.bin").write_bytes(random.Random("holdfast drill").randbytes(size))  # noqa: S311
    (growing / "state.json").write_text(json.dumps({"step": step}))
    growing.rename(target)
    return target


def last_step(folder: Path) -> int | None:
    """The step of the newest heartbeat; None: there is none."""
    try:
        return int(json.loads((folder / HEARTBEAT).read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Until it is killed, its folder is gone, or whoever began it."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.drills.trial.writer")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--pace", type=float, default=0.05)
    parser.add_argument("--size", type=int, default=262_144)
    options = parser.parse_args(arguments)
    step, parent = options.first, os.getppid()
    beside = options.folder / f".{HEARTBEAT}"
    while options.folder.is_dir() and os.getppid() == parent:
        beside.write_text(json.dumps({"step": step, "time_ns": time.time_ns()}))
        beside.replace(options.folder / HEARTBEAT)
        if step % options.every == 0:
            write_state(options.folder, step, options.size)
        step += 1
        time.sleep(options.pace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
