"""A server under load: reads of the API at a given rate, and viewers of a run that is going on.

`python -m benchmarks.server --rate 200 --seconds 30 --viewers 200` makes a small organisation in folders, starts
`holdfast serve` for it (a process with its worker, the refresher and the watch), and asks from this process.
Three people ask for what programs and pages ask for (`_READS`), every second time with the tag of what they have, at
times that are fixed beforehand (`benchmarks.asking`). Beside it: a route that does nothing (`benchmarks.bare_route`).
Viewers follow the events of one run while it makes its steps; each has to see every entry of the journal
once, in order.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.browser.dashboard_world import DashboardWorld, serving

from benchmarks.asking import Asking, ask_at, shape
from benchmarks.machine import machine_facts
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.testing.ports import free_ports

_READS = (
    "/api/v1/objectives",
    "/api/v1/objectives?asset=tokenizer",
    "/api/v1/assets/llama-pretrain",
    "/api/v1/assets/tokenizer",
    "/api/v1/assets/llama-pretrain/snapshots?limit=2",
    "/api/v1/assets/reward-model/snapshots",
    "/api/v1/assets/llama-pretrain/snapshots/latest",
    "/api/v1/catalog",
    "/api/v1/sites",
    "/api/v1/sites/status",
    "/api/v1/runs",
    "/api/v1/incidents",
    "/api/v1/evidence",
    "/api/v1/drills",
    "/api/v1/work",
    "/index.json",
)
_PEOPLE = ("olga", "ada", "ben")


def _steps(world: DashboardWorld, count: int) -> None:
    """A recovery with so many steps of its own, one after the other."""
    program = "import time; time.sleep(0.3)"
    steps = [
        {
            "id": f"stage{number}",
            "kind": "shell",
            "title": f"stage {number} of {{asset}}",
            "after": ["verify" if number == 0 else f"stage{number - 1}"],
            "before": ["promote"],
            "command": [sys.executable, "-S", "-c", program],
            "no_undo": "waiting changes nothing",
            "rehearse": True,
            "timeout": "5m",
            "attempts": 1,
        }
        for number in range(count)
    ]
    (world.folder / "waiting.yaml").write_text(json.dumps({"version": 1, "steps": steps}))


async def watch(world: DashboardWorld, asking: Asking, viewers: int, steps: int) -> dict[str, Any]:
    """Viewers of one run, from before it begins until they were told of its end."""
    _steps(world, steps)
    with mock.patch.dict(os.environ, world.environment, clear=True):
        recoveries = Recoveries(world.sites())
        file = recoveries.plan(Wanted("tokenizer-to-europe", isolated=True, target=str(world.folder / "watched")))
        run = recoveries.propose(file)
    seen: list[list[int]] = [[] for _ in range(viewers)]
    end = asyncio.Event()
    watching = [asyncio.create_task(asking.view(run, "", one, end)) for one in seen]
    while not all(seen):
        await asyncio.sleep(0.1)
        for task in watching:
            if task.done():
                task.result()
    done = threading.Event()

    def play() -> None:
        try:
            with mock.patch.dict(os.environ, world.environment, clear=True):
                recoveries.run(file, "", _quiet)
        finally:
            done.set()

    begun = time.perf_counter()
    playing = threading.Thread(target=play)
    playing.start()
    loaded = asyncio.create_task(_looks(asking, run, done))
    while not done.is_set():
        await asyncio.sleep(0.1)
    playing.join()
    lasted = time.perf_counter() - begun
    with mock.patch.dict(os.environ, world.environment, clear=True):
        entries = len(recoveries.status(run).entries)
    told = time.perf_counter()
    while any(one[-1] < entries - 1 for one in seen) and time.perf_counter() - told < 30:
        await asyncio.sleep(0.02)
    behind = time.perf_counter() - told
    looks = await loaded
    end.set()
    await asyncio.gather(*watching)
    missed = sum(one != list(range(one[0], entries)) for one in seen)
    return {
        "viewers": viewers,
        "run_s": round(lasted, 1),
        "entries": entries,
        "events_told": sum(map(len, seen)),
        "viewers_that_missed_or_saw_twice": missed,
        "last_told_after_s": round(behind, 2),
        "ms_of_its_page_meanwhile": looks,
    }


async def _looks(asking: Asking, run: str, done: threading.Event) -> dict[str, float]:
    found = []
    while not done.is_set():
        begun = time.perf_counter()
        assert (await asking.get(f"/runs/{run}")).status == 200
        found.append(1000 * (time.perf_counter() - begun))
        await asyncio.sleep(0.2)
    return shape(found)


def _quiet(plan: Plan, progress: Progress) -> None: ...


async def measure(world: DashboardWorld, address: str, given: argparse.Namespace) -> dict[str, Any]:
    people = [Asking(address, world.keys[name]) for name in _PEOPLE]
    try:
        reads = await ask_at(people, given.paths, given.rate, given.seconds, _child())
        watched = await watch(world, people[0], given.viewers, given.steps) if given.viewers else None
    finally:
        for one in people:
            one.close()
    return {"rate": given.rate, "reads": reads, "watched": watched}


async def measure_bare(world: DashboardWorld, given: argparse.Namespace) -> dict[str, Any]:
    """A route that does nothing."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.bare_route", str(world.config), str(port)]
    process = subprocess.Popen(command, env=world.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asking = Asking(f"http://127.0.0.1:{port}", world.keys["olga"])
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                await asking.get("/health/live")
                break
            await asyncio.sleep(0.1)
        return await ask_at([asking], ["/api/v1/bare"], given.rate, given.seconds / 3, process.pid)
    finally:
        asking.close()
        process.kill()
        process.wait()


def _child() -> int:
    """The server: the one process that this one has begun."""
    [pid] = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return int(pid)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--viewers", type=int, default=200, help="0: nobody watches")
    parser.add_argument("--steps", type=int, default=20, help="of the run that is watched, besides those it has anyway")
    parser.add_argument("--paths", nargs="+", default=_READS, help="what is read, in turns")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        world = DashboardWorld(Path(folder))
        with serving(world) as address:
            found = asyncio.run(measure(world, address, given))
        found["bare_route"] = asyncio.run(measure_bare(world, given))
    print(json.dumps({"machine": machine_facts(), **found}, indent=2))


if __name__ == "__main__":
    main()
