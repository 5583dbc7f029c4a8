"""A server under load: reads of the API at a given rate, and viewers of a run that is going on.

`python -m benchmarks.server --rate 200 --seconds 30 --viewers 200` makes a small organisation in folders, starts
`holdfast serve` for it (a process with its worker, the refresher and the watch), and asks from this process.
Requests are sent when they are due, whether or not earlier ones were answered; what an answer took counts from then.
Viewers follow the events of one run while it makes its steps; each has to see every entry of the journal
once, in order.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from tests.browser.dashboard_world import DashboardWorld, serving

from benchmarks.machine import machine_facts
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress

_READS = (
    "/api/v1/objectives",
    "/api/v1/assets/llama-pretrain",
    "/api/v1/assets/llama-pretrain/snapshots",
    "/api/v1/catalog",
    "/api/v1/sites",
    "/index.json",
)
_STORES = ("/api/v1/runs", "/api/v1/incidents")  # these ask the stores each time


class Asking:
    """Connections to one server that stay open, each for one request at a time."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.head = f"Host: {self.host}:{self.port}\r\nAuthorization: Bearer {key}\r\n"
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> int:
        """The status, once the whole answer is there."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(self.host, self.port)
        writer.write(f"GET {path} HTTP/1.1\r\n{self.head}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        self._free.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    async def view(self, run: str, last: str, seen: list[int], end: asyncio.Event) -> None:
        """Numbers of the entries that a viewer is told, until the end."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        head = f"GET /api/v1/runs/{run}/events HTTP/1.1\r\n{self.head}Accept: text/event-stream\r\n"
        writer.write(f"{head}Last-Event-ID: {last}\r\n\r\n".encode())
        status = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in status.split(b"\r\n")[0], status

        async def read() -> None:
            async for line in reader:
                if line.startswith(b"data: "):
                    seen.append(int(json.loads(line[6:])["number"]))

        reading = asyncio.create_task(read())
        await end.wait()
        reading.cancel()
        writer.close()

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def ask_at(asking: Asking, paths: Sequence[str], rate: float, seconds: float) -> dict[str, Any]:
    """Milliseconds of each path, from when it was due. `late`: how far this process itself was behind, at worst."""
    for path in paths:  # what is made when it is first asked for
        assert await asking.get(path) == 200, path
    took: dict[str, list[float]] = {path: [] for path in paths}
    failed: list[int] = []
    late = 0.0
    begun = time.perf_counter()

    async def one(path: str, due: float) -> None:
        status = await asking.get(path)
        took[path].append(1000 * (time.perf_counter() - due))
        if status != 200:
            failed.append(status)

    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            late = max(late, 1000 * (time.perf_counter() - due))
            group.create_task(one(paths[number % len(paths)], due))
    lasted = time.perf_counter() - begun
    every = [value for found in took.values() for value in found]
    return {
        "requests": len(every),
        "answered_per_s": round(len(every) / lasted, 1),
        "not_200": len(failed),
        "asker_late_ms_worst": round(late, 1),
        "ms": _shape(every),
        "ms_by_path": {path: _shape(found) for path, found in took.items()},
    }


def _shape(found: Sequence[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "median": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
        "worst": round(ordered[-1], 1),
    }


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
        assert await asking.get(f"/runs/{run}") == 200
        found.append(1000 * (time.perf_counter() - begun))
        await asyncio.sleep(0.2)
    return _shape(found)


def _quiet(plan: Plan, progress: Progress) -> None: ...


async def measure(world: DashboardWorld, address: str, given: argparse.Namespace) -> dict[str, Any]:
    asking = Asking(address, world.keys["olga"])
    try:
        reads = await ask_at(asking, given.paths, given.rate, given.seconds)
        stores = await ask_at(asking, _STORES, min(10.0, given.rate), given.seconds / 3)
        watched = await watch(world, asking, given.viewers, given.steps)
    finally:
        asking.close()
    return {"rate": given.rate, "reads": reads, "reads_of_stores": stores, "watched": watched}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20, help="of the run that is watched, besides those it has anyway")
    parser.add_argument("--paths", nargs="+", default=_READS, help="what is read, in turns")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        world = DashboardWorld(Path(folder))
        with serving(world) as address:
            found = asyncio.run(measure(world, address, given))
    print(json.dumps({"machine": machine_facts(), **found}, indent=2))


if __name__ == "__main__":
    main()
