"""What the forwarder costs: bytes per second with and without it, and processor time per byte."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.network.peer import client, running
from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms

GIB = 1 << 30


def costs(seconds: float) -> list[dict[str, Any]]:
    """Over the loopback interface; who sends and who receives are other processes. Processor seconds are of this one:
    the forwarder, and nothing else.
    """
    rows = []
    for connections in (1, 8):
        with running("sink") as peer:
            rows.append(_measured("direct", connections, peer.endpoint, peer.moved, seconds))
            for name, terms in (
                ("line", LineTerms("x")),
                ("line with a limit of 10 GiB/s", LineTerms("x", up=10 * GIB)),
            ):
                with Line(terms) as line:
                    rows.append(_measured(name, connections, line.forward([peer.endpoint], 5), peer.moved, seconds))
    return rows


def _measured(way: str, connections: int, endpoint: str, moved: Any, seconds: float) -> dict[str, Any]:
    with client(int(endpoint.rpartition(":")[2]), connections):
        time.sleep(0.5)
        before, begun, processor = moved(), time.monotonic(), time.process_time()
        time.sleep(seconds)
        after, ended, used = moved(), time.monotonic(), time.process_time() - processor
    rate = (after - before) / (ended - begun)
    row = {"way": way, "connections": connections, "gib_per_s": rate / GIB}
    return row | {"processor_s_per_gib": used / ((after - before) / GIB)}
