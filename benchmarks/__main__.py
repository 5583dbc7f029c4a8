"""Measures Holdfast beside other tools: `python -m benchmarks --plan quick`.

Prints each target with what was measured. Results go to benchmarks/results/<plan>.json after each case; `--docs` makes
docs/benchmarks.md of them. Exit code 1 if a tool failed or restored wrong bytes; a missed target is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cases import linear, saving, small
from .cases.context import Context
from .cases.encryption import encryption
from .cases.stripes import stripes
from .machine import machine_facts
from .measuring import CommandFailed, Word, run
from .report import __main__ as reporting
from .report.targets import TARGETS, verdict_lines
from .results import SCHEMA, errors_in, read_results, write_results
from .setting import CHECKOUT, Setting, open_setting, say

_GIB = 1 << 30
CASES: dict[str, Callable[[Context], dict[str, Any]]] = {
    "limits": small.limits,
    "start": small.start,
    "ratios": saving.ratios,
    "speed-fp32": saving.speed_fp32,
    "speed-bf16": saving.speed_bf16,
    "encryption": encryption,
    "durable": saving.durable,
    "lora": saving.lora,
    "dataset": saving.dataset,
    "variants": saving.variants,
    "lazy-reading": small.lazy_reading,
    "many-snapshots": small.many_snapshots,
    "large-index": small.large_index,
    "stripes": stripes,
    "linear": linear.linear,
}
_SIZES = {
    "full": (_GIB, 4 * _GIB, 16 * _GIB),
    "quick": (_GIB >> 5, _GIB >> 3, _GIB >> 1),
    "tiny": (1 << 18, 1 << 19),
}
_ROUNDS = {"full": 3, "quick": 2, "tiny": 1}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # With this set, as some build machines have it, each process would compile its modules anew; no user's does.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    path = options.results or CHECKOUT / f"benchmarks/results/{options.plan}.json"
    try:
        with open_setting(options.folder, options.disk, options.peers.resolve()) as setting:
            results = _measure(options, setting, path)
    except KeyboardInterrupt:
        say(f"stopped; what was measured until then is in {path}")
        return 130
    except CommandFailed as error:
        say(f"error: {error}")
        return 1
    print("\n".join(verdict_lines(TARGETS, results)))
    if options.docs:
        reporting.generate(path, CHECKOUT / "docs", peers=options.peers.resolve())
    errors = errors_in(results["cases"])
    for line in errors:
        say(f"error: {line}")
    return 1 if errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Holdfast beside other tools, in turns.")
    parser.add_argument("--plan", choices=sorted(_ROUNDS), default="quick", help="how large the workload is")
    parser.add_argument("--workload", type=Path, help="keep the workload there, and use it if it is there already")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("HOLDFAST_BENCH_PEERS", CHECKOUT / ".bench-venv")),
        help="a virtual environment with the peers (HOLDFAST_BENCH_PEERS; default .bench-venv); PATH counts, too",
    )
    parser.add_argument("--folder", type=Path, help="RAM-backed storage; default /dev/shm")
    parser.add_argument("--disk", type=Path, help="a folder on a real disk; default: that of temporary files")
    parser.add_argument("--rounds", type=int, help="how often each tool has its turn")
    parser.add_argument("--only", action="append", choices=list(CASES), metavar="CASE", help="repeatable: one case")
    parser.add_argument("--resume", action="store_true", help="leave out the cases that the results file has")
    parser.add_argument("--results", type=Path, help="default: benchmarks/results/PLAN.json")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and its plots")
    return parser


def _measure(options: argparse.Namespace, setting: Setting, path: Path) -> dict[str, Any]:
    workload = options.workload or setting.ram / "workload"
    facts = _workload(setting, workload.absolute(), options.plan)
    rounds = options.rounds or _ROUNDS[options.plan]
    quick = options.plan != "full"
    context = Context(setting, workload.absolute(), rounds, _SIZES[options.plan], quick)
    results = _begin(options, path, facts)
    for name in options.only or CASES:
        if options.resume and name in results["cases"]:
            continue
        say(f"{name}: {(CASES[name].__doc__ or '').splitlines()[0]}")
        began = time.monotonic()
        results["cases"][name] = CASES[name](context)
        results["case_seconds"][name] = time.monotonic() - began
        write_results(path, results)
    return results


def _begin(options: argparse.Namespace, path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """New results, or with --only and --resume those of the file, if they are of the same workload and machine."""
    new = {
        "schema": SCHEMA,
        "plan": options.plan,
        "machine": machine_facts(),
        "workload": facts,
        "case_seconds": {},
        "cases": {},
    }
    if path.exists() and (options.only or options.resume):
        old = read_results(path)
        if all(old.get(key) == json.loads(json.dumps(new[key])) for key in ("plan", "machine")):
            old["workload"] = facts
            return old
        say(f"{path} is of another plan or machine: starting anew")
    return new


def _workload(setting: Setting, folder: Path, plan: str) -> dict[str, Any]:
    """Make the workload if it is not there. With the peers' Python if it has PyTorch."""
    told = folder / "workload.json"
    if not told.exists():
        python = setting.peer_python() if setting.peer_has("torch, numpy") else None
        say(f"workload: training ({plan})")
        maker: list[Word] = [python or sys.executable, "-m", "benchmarks.workload", folder, "--plan", plan]
        run(maker, env=setting.environment(), talking=True)
    facts: dict[str, Any] = json.loads(told.read_text())
    if facts["plan"] != plan:
        raise CommandFailed(f"the workload is of the plan {facts['plan']}: use --plan {facts['plan']}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
