"""Is a limit kept, and who goes first?"""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.network.load import rate_of, saturating
from benchmarks.network.peer import running
from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.testing.servers import SeaweedServer

MIB = 1 << 20
LOW, HIGH = 2, 8


def limits(rates: list[int], seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Bytes per second at the receiver, as a share of the limit: raw connections, and objects of SeaweedFS."""
    rows = []
    for rate in rates:
        for down in (False, True):
            for connections in (1, 8):
                rows.append(_raw(rate, down, connections, seconds))
    with SeaweedServer(folder / "weed") as server, server.in_environment():
        for rate in rates:
            for down in (False, True):
                for connections in (1, 8):
                    rows.append(_objects(server, rate, down, connections, seconds))
    return rows


def _row(what: str, rate: int, down: bool, connections: int, measured: float) -> dict[str, Any]:
    direction = "down" if down else "up"
    row = {"what": what, "limit_mib": rate, "direction": direction, "connections": connections}
    return row | {"share_of_limit": measured / (rate * MIB)}


def _raw(rate: int, down: bool, connections: int, seconds: float) -> dict[str, Any]:
    terms = LineTerms("bench", up=rate * MIB, down=rate * MIB)
    with (
        running("source" if down else "sink") as peer,
        Line(terms) as line,
        saturating(line.forward([peer.endpoint], 5), connections, down=down) as moved,
    ):
        time.sleep(0.5)
        return _row("raw", rate, down, connections, rate_of(moved if down else peer.moved, seconds))


def _objects(server: SeaweedServer, rate: int, down: bool, connections: int, seconds: float) -> dict[str, Any]:
    """Objects that take a second, of 25 MiB at most, by one thread or eight, each with up to eight parts at a time."""
    content = os.urandom(min(rate, 25) * MIB)
    terms = LineTerms("bench", up=rate * MIB, down=rate * MIB)
    with Line(terms) as line:
        store = line.open_store(f"{server.url}/{os.urandom(4).hex()}", options=server.options)
        if down:
            with Line(LineTerms("free")) as free:
                free.open_store(store.url, options=server.options).put("0", content)
        ended = threading.Event()

        def work(number: int) -> None:
            while not ended.is_set():
                if down:
                    store.get("0")
                else:
                    store.put(str(number), content)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        measured = rate_of(lambda: (line.snapshot().down if down else line.snapshot().up).bytes, seconds)
        ended.set()
        for thread in threads:
            thread.join()
    return _row("SeaweedFS", rate, down, connections, measured)


def overtaking(rates: list[int], tries: int) -> list[dict[str, Any]]:
    """Milliseconds until a high priority's bytes have arrived, alone, and while eight low ones saturate the line."""
    rows = []
    for rate in rates:
        for size in (1, 256 << 10):
            with running("sink") as peer, running("sink") as urgent, Line(LineTerms("bench", up=rate * MIB)) as line:
                where = line.forward([urgent.endpoint], HIGH)
                alone = [_arrives(where, urgent.moved, size) for _ in range(tries)]
                with saturating(line.forward([peer.endpoint], LOW), 8):
                    time.sleep(1)
                    behind = [_arrives(where, urgent.moved, size) for _ in range(tries)]
                    waiting = sum(count for _, count in line.snapshot().up.waiting)
            row = {"limit_mib": rate, "bytes": size, "alone_ms": statistics.median(alone) * 1000}
            row |= {"saturated_ms": statistics.median(behind) * 1000, "saturated_max_ms": max(behind) * 1000}
            rows.append(row | {"low_waiting_bytes": waiting})
    return rows


def _arrives(endpoint: str, received: Any, size: int) -> float:
    """Seconds from a new connection until the far end has the last byte."""
    where = urlsplit(endpoint)
    before = received()
    begun = time.monotonic()
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall(bytes(size))
        while received() < before + size:
            time.sleep(0.0005)
    took = time.monotonic() - begun
    time.sleep(0.1)  # what was saved for a burst is used up again
    return took
