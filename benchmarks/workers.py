"""What the queue of work costs: submitting, looking, listing, from submitted to begun, and a worker without work.

    python benchmarks/workers.py [--number 300] [--postgres]

Figures are of this machine; each is a median with the ninth decile beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.working.happenings import Happened
from holdfast.control.working.opening import open_queue
from holdfast.control.working.worker import Worker
from holdfast.testing.postgres import PostgresServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--postgres", action="store_true")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-")))
        for kind in ("CONFIG", "STATE", "CACHE"):
            os.environ[f"XDG_{kind}_HOME"] = str(folder / kind)
        url = ""
        if chosen.postgres:
            server = stack.enter_context(PostgresServer(folder / "postgres", settings={"fsync": "on"}))
            os.environ |= server.environment
            url = server.new_database()
        figures = measure(folder, url, chosen.number)
    print(json.dumps({"database": "postgresql" if url else "sqlite", "number": chosen.number} | figures, indent=2))


def measure(folder: Path, url: str, number: int) -> dict[str, Any]:
    """Milliseconds, but for `idle_cpu_percent` (of one core)."""
    site = {"cloud": "onprem", "region": "r", "jurisdiction": "EU", "stores": {"warm": {"url": str(folder / "a")}}}
    (folder / "holdfast.yaml").write_text(json.dumps({"version": 1, "organisation": "bench", "sites": {"a": site}}))
    sites = DeclaredSites(load_config(folder / "holdfast.yaml"))
    begun: dict[str, float] = {}

    def told(one: Happened) -> None:
        if one.what == "taken":
            begun[one.work] = time.perf_counter()

    with closing(open_queue(sites, url)) as queue:
        later = time.time_ns() + (1 << 60)
        figures: dict[str, Any] = {
            "submit": timed(
                number, lambda n: queue.submit("recover.check", {"name": "x"}, key=f"k{n}", not_before_ns=later)
            ),
            "look": timed(number, lambda n: queue.look(f"k{n}")),
            "list_100": timed(20, lambda _: queue.list()),
        }
        worker = Worker(sites, queue, told=told, schedules=False)
        worker.start()
        try:
            waits = []
            for n in range(min(number, 20)):
                at = time.perf_counter()
                queue.submit("recover.check", {"name": "x"}, key=f"now{n}", queue=f"lane{n}")
                while f"now{n}" not in begun:
                    time.sleep(0.005)
                waits.append(begun[f"now{n}"] - at)
            figures["submitted_to_begun"] = summary(waits)
            time.sleep(2)
            before, at = time.process_time(), time.perf_counter()
            time.sleep(10)
            figures["idle_cpu_percent"] = round(100 * (time.process_time() - before) / (time.perf_counter() - at), 1)
        finally:
            worker.stop(0.0)
    return figures


def timed(number: int, act: Callable[[int], object]) -> dict[str, float]:
    seconds = []
    for n in range(number):
        at = time.perf_counter()
        act(n)
        seconds.append(time.perf_counter() - at)
    return summary(seconds)


def summary(seconds: list[float]) -> dict[str, float]:
    ninth = sorted(seconds)[int(len(seconds) * 0.9)]
    return {"median": round(1000 * statistics.median(seconds), 2), "p90": round(1000 * ninth, 2)}


if __name__ == "__main__":
    main()
