"""Makes a workload: `python -m benchmarks.workload DIR --plan full`. Removes what is half made when it is stopped."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .adapters import fine_tune_adapters
from .dataset import write_dataset
from .models import engine
from .plan import PLANS, Plan
from .pretraining import pretrain
from .variants import write_variants

VERSION = 1


def make(folder: Path, plan: Plan) -> None:
    """Write all parts, and `workload.json` last. The folder must not exist."""
    folder.mkdir(parents=True)
    try:
        began = time.monotonic()
        model, losses = pretrain(folder, plan)
        base = {name: array.copy() for name, array in model.weights.items()}
        fine_tune_adapters(folder, model, plan)
        write_variants(folder, model, base, plan)
        write_dataset(folder, plan)
        facts: dict[str, Any] = {
            "version": VERSION,
            "plan": plan.name,
            "engine": engine(),
            "parameters": sum(array.size for array in base.values()),
            "steps": plan.last_step(),
            "warm_steps": plan.warm,
            "first_loss": losses[0],
            "last_loss": sum(losses[-10:]) / len(losses[-10:]),
            "seconds": time.monotonic() - began,
        }
        (folder / "workload.json").write_text(json.dumps(facts, indent=1))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workload", description="Make the data to measure on.")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--plan", choices=sorted(PLANS), default="full")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.folder.exists():
        parser.error(f"{options.folder} exists already")
    make(options.folder, PLANS[options.plan])
    return 0


if __name__ == "__main__":
    sys.exit(main())
