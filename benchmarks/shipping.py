"""Bytes that reach the other site for successive checkpoints of a real run: holdfast, rclone copy, restic copy.

Trains for a while, then keeps a full state (weights and both moments of AdamW) every few steps. After each, every tool
brings what is new to another folder; what counts is by how much that folder grew.

    python -m benchmarks.shipping --checkpoints 20
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import new_trial_vault, own_memory

from .workload.models import make_model
from .workload.plan import PLANS, Plan
from .workload.pretraining import write_full_state
from .workload.text import Batches, help_texts

__all__ = ["measure"]

_WARM_UP = 100


def measure(folder: Path, plan: Plan, checkpoints: int, apart: int, warm: int) -> dict[str, Any]:
    """Tool → bytes that each checkpoint sent, in order; tools that are not installed are named in `absent`."""
    model = make_model(plan, seed=0)
    optimizer = model.optimizer(_WARM_UP)
    batches = Batches(help_texts(), plan.context, plan.batch, seed=0)
    tools: dict[str, Callable[[Path, int], int]] = {"holdfast": _holdfast(folder), "rclone copy": _rclone(folder)}
    tools["restic copy"] = _restic(folder)
    absent = [name for name in tools if shutil.which(name.split(" ", 1)[0]) is None and name != "holdfast"]
    sent: dict[str, list[int]] = {name: [] for name in tools if name not in absent}
    sizes: list[int] = []
    for step in range(1, warm + checkpoints * apart + 1):
        _, gradients = model.loss_and_gradients(*batches.next())
        optimizer.step(gradients)
        if step <= warm or (step - warm) % apart:
            continue
        state = folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        write_full_state(state, model, optimizer, step)
        sizes.append(_size(state))
        for name, bytes_sent in sent.items():
            bytes_sent.append(tools[name](state, step))
        sys.stderr.write(
            f"step {step}: {sizes[-1]:,} bytes; " + ", ".join(f"{k} {v[-1]:,}" for k, v in sent.items()) + "\n"
        )
    return {
        "checkpoints": checkpoints,
        "steps_apart": apart,
        "warm_steps": warm,
        "sizes": sizes,
        "sent": sent,
        "absent": absent,
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _holdfast(folder: Path) -> Callable[[Path, int], int]:
    trial = new_trial_vault(LocalStore(folder / "holdfast-home"))
    vault = trial.open()
    far = folder / "holdfast-far"
    far.mkdir()

    def ship(state: Path, step: int) -> int:
        before = _size(far)
        vault.save("run", state, step=step)
        replicate(vault.handle, LocalStore(far))
        return _size(far) - before

    return ship


def _rclone(folder: Path) -> Callable[[Path, int], int]:
    """As trainers do: each checkpoint in a folder of its own."""
    far = folder / "rclone-far"
    far.mkdir()

    def ship(state: Path, step: int) -> int:
        before = _size(far)
        _run("rclone", "copy", str(state), str(far / f"step-{step}"), HOME=str(folder))
        return _size(far) - before

    return ship


def _restic(folder: Path) -> Callable[[Path, int], int]:
    """Two repositories with the same parameters of chunking, as its manual says for `copy`."""
    home, far = folder / "restic-home", folder / "restic-far"
    own = {"RESTIC_PASSWORD": "x", "RESTIC_FROM_PASSWORD": "x", "RESTIC_CACHE_DIR": str(folder / "restic-cache")}
    begun: list[bool] = []

    def ship(state: Path, step: int) -> int:
        if not begun:
            _run("restic", "-r", str(home), "init", "--quiet", **own)
            _run("restic", "-r", str(far), "init", "--quiet", "--from-repo", str(home), "--copy-chunker-params", **own)
            begun.append(True)
        before = _size(far)
        _run("restic", "-r", str(home), "backup", "--quiet", "--compression", "max", str(state), **own)
        _run("restic", "-r", str(far), "copy", "--quiet", "--from-repo", str(home), **own)
        return _size(far) - before

    return ship


def _run(*command: str, **environment: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shipping", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--plan", choices=sorted(PLANS), default="quick")
    parser.add_argument("--checkpoints", type=int, default=20)
    parser.add_argument("--apart", type=int, default=10, help="steps between two checkpoints")
    parser.add_argument("--warm", type=int, default=100, help="steps before the first one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        with own_memory(folder / "state-home"):
            print(json.dumps(measure(folder, PLANS[options.plan], options.checkpoints, options.apart, options.warm)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
