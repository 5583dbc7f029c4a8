"""Requests of a server at a given rate, from one process: sent when they are due, whether or not earlier ones were
answered. What an answer took counts from when its request was due, so that a server that stops for a moment pays for
everybody who would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_IDLE_S = 10.0

__all__ = ["Asking", "ask_at", "shape", "used_cpu"]


class Got(NamedTuple):
    status: int
    tag: str
    age: int


class Asking:
    """Connections to one server that stay open, each for one request at a time."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.head = f"Host: {self.host}:{self.port}\r\nAuthorization: Bearer {key}\r\n"
        self._free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.tags: dict[str, str] = {}

    async def get(self, path: str, tag: str = "") -> Got:
        """Once the whole answer is there. `tag`: what the client has already."""
        reader, writer = self._connection() or await asyncio.open_connection(self.host, self.port)
        known = f"If-None-Match: {tag}\r\n" if tag else ""
        writer.write(f"GET {path} HTTP/1.1\r\n{self.head}{known}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        status = int(head.split(b" ", 2)[1])
        if status != 304:
            await reader.readexactly(int(fields[b"content-length"]))
        self._free.append((time.monotonic(), reader, writer))
        return Got(status, fields.get(b"etag", b"").decode(), int(fields.get(b"age", b"0")))

    def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The one that was used last. What was not used for some seconds is not used again: the server closes it."""
        while self._free:
            used, reader, writer = self._free.pop()
            if time.monotonic() - used < _IDLE_S:
                return reader, writer
            writer.close()
        return None

    async def view(self, run: str, last: str, seen: list[int], end: asyncio.Event) -> None:
        """Numbers of the entries that a viewer of a run is told, until the end."""
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
        for _, _, writer in self._free:
            writer.close()


async def ask_at(
    people: Sequence[Asking], paths: Sequence[str], rate: float, seconds: float, pid: int
) -> dict[str, Any]:
    """Each of these people asks for each path in turns; every second time they say what they have. `late`: how far this
    process itself was behind, at worst. `server_cpu`: of one processor, by the process `pid`.
    """
    for person in people:  # what is made when it is first asked for
        for path in paths:
            got = await person.get(path)
            assert got.status == 200, (path, got)
            person.tags[path] = got.tag
    took: dict[str, list[float]] = {path: [] for path in paths}
    statuses: Counter[str] = Counter()
    oldest = 0
    late = 0.0
    before, begun = used_cpu(pid), time.perf_counter()

    async def one(person: Asking, path: str, due: float, known: bool) -> None:
        nonlocal oldest
        try:
            got = await person.get(path, person.tags[path] if known else "")
        except (OSError, EOFError, KeyError) as error:
            statuses[type(error).__name__] += 1
            return
        took[path].append(1000 * (time.perf_counter() - due))
        statuses[str(got.status)] += 1
        person.tags[path] = got.tag
        oldest = max(oldest, got.age)

    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            late = max(late, 1000 * (time.perf_counter() - due))
            round_, place = divmod(number, len(paths))
            person = people[round_ % len(people)]
            group.create_task(one(person, paths[place], due, bool(round_ // len(people) % 2)))
    lasted = time.perf_counter() - begun
    every = [value for found in took.values() for value in found]
    return {
        "requests": round(rate * seconds),
        "answered_per_s": round(len(every) / lasted, 1),
        "answers": dict(statuses),
        "oldest_answer_s": oldest,
        "asker_late_ms_worst": round(late, 1),
        "server_cpu": round((used_cpu(pid) - before) / lasted, 2),
        "ms": shape(every),
        "ms_by_path": {path: shape(found) for path, found in took.items()},
    }


def shape(found: Sequence[float]) -> dict[str, float]:
    ordered = sorted(found)

    def part(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {
        "median": round(statistics.median(ordered), 1),
        "p99": part(0.99),
        "p99.9": part(0.999),
        "worst": round(ordered[-1], 1),
    }


def used_cpu(pid: int) -> float:
    """Seconds of processor time, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
