"""A restore over a Ray cluster on this machine, one node against two; what handing a piece out costs; a model of more.

`python -m benchmarks.bulk_on_ray [--mib 512] [--rounds 3] [--folder F] [--json] [--model [--target GB]]`. The nodes are
raylets with a core each; the two share the machine's memory bus and its disk, and the coordinator shares both cores.
`line_…` are the same with nodes that first wait for each piece as long as a line of 50 MB/s would take: emulated, to
see what the sharing out itself costs where cores are not what bounds it. All is in RAM (/dev/shm) unless --folder says
otherwise. `--model` only computes the tables of docs/bulk.md, from the figures that are given there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from holdfast.control.bulk.spreading import Bulk, piece_bytes
from holdfast.control.bulk.tasks import At
from holdfast.control.vaults.opening import create, open_at
from holdfast.fanout import Fanout, open_fanout
from holdfast.testing.ray_cluster import LoggedFanout, ray_cluster

TASKS = 1_000
LINE = 50e6  # bytes a second, of a node whose line is what bounds it: before each piece it waits for so long
MIB, GB = 1 << 20, 1e9
TARGETS = (1, 2, 4, 8, 16, 32, 64)


def main() -> int:
    parser = argparse.ArgumentParser(description="Bulk work on one node and on two, and a model of more.")
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--target", type=float, default=40.0, help="GB/s that the shared file system takes")
    options = parser.parse_args()
    if options.model:
        print("\n".join(model_lines(Assumptions(target=options.target * GB))))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bulk-", dir=options.folder))
    try:
        found = measure(folder, options.mib * MIB, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found) if options.json else "\n".join(f"{name:24} {value}" for name, value in found.items()))
    return 0


def measure(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    """Medians of the seconds that each way takes, with the shortest and the longest, after one that is not counted."""
    homes = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    os.environ.update(homes)
    vault = create(str(folder / "vault")).vault
    save(folder / "source", size)
    vault.save("run", folder / "source")
    at = At(vault.url)
    found: dict[str, Any] = {"bytes": size, "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    found["threads_s"] = times_of(rounds, lambda target: open_at(at.url).restore("run", target, rehearsal=True), folder)
    with ray_cluster(0, homes) as cluster:
        cores = sorted(os.sched_getaffinity(0))
        cluster.add_node(cores[0])
        began = time.monotonic()
        fanout = open_fanout(f"ray:{cluster.address}")
        found["connect_s"] = round(time.monotonic() - began, 3)

        def spread(target: Path, fanout: Fanout = fanout) -> None:
            opened = open_at(at.url)
            bulk = Bulk(fanout, size=lambda total, width: piece_bytes(total, 2))  # the same pieces on one and on two
            opened.restore("run", target, rehearsal=True, writing=bulk.writing(opened, at))

        began = time.monotonic()
        spread(folder / "first")
        found["first_1_node_s"] = round(time.monotonic() - began, 3)
        found["ray_1_node_s"] = times_of(rounds, spread, folder)
        waiting = LoggedFanout(fanout, folder / "log", piece_bytes(size, 2) / LINE)
        found["line_1_node_s"] = times_of(1, partial(spread, fanout=waiting), folder)
        cluster.add_node(cores[-1])
        spread(folder / "warm")
        found["ray_2_nodes_s"] = times_of(rounds, spread, folder)
        found["line_2_nodes_s"] = times_of(1, partial(spread, fanout=waiting), folder)
        list(fanout.each(abs, range(TASKS)))
        began = time.monotonic()
        list(fanout.each(abs, range(TASKS)))
        found["seconds_per_task"] = round((time.monotonic() - began) / TASKS, 6)
    found["pieces"] = -(-size // piece_bytes(size, 2))
    found["speed_up"] = round(found["ray_1_node_s"][0] / found["ray_2_nodes_s"][0], 2)
    found["line_speed_up"] = round(found["line_1_node_s"][0] / found["line_2_nodes_s"][0], 2)
    return found


def times_of(rounds: int, work: Callable[[Path], object], folder: Path) -> list[float]:
    """Median, least and most."""
    times = []
    for number in range(rounds + 1):
        target = folder / f"target-{number}"
        began = time.monotonic()
        work(target)
        times.append(time.monotonic() - began)
        shutil.rmtree(target)
    counted = times[1:]
    return [round(one, 3) for one in (statistics.median(counted), min(counted), max(counted))]


def save(source: Path, size: int) -> None:
    """Shards of bf16-like weights: noise in the mantissas, and exponents that pack."""
    source.mkdir()
    dice = np.random.default_rng(1)
    for number in range(16):
        weights = dice.standard_normal(size // 16 // 4, dtype=np.float32)
        (source / f"shard-{number:02}.bin").write_bytes(weights.tobytes())


class Assumptions(NamedTuple):
    """Of the model; each is explained in docs/bulk.md. Rates are bytes a second, times seconds."""

    snapshot: float = 1e12
    slots: int = 16  # pieces at a time on a node
    line: float = 3.1 * GB  # of a node: 25 Gbit/s
    slot: float = 0.3 * GB  # one piece, decoded and written
    store: float = 90 * GB
    target: float = 40 * GB
    stored_share: float = 0.7  # of a plaintext byte, that comes over the line
    open_seconds: float = 1.5
    per_task: float = 0.0012
    slow: float = 2.0  # how much longer the slowest piece takes
    finish: float = 2.0  # modes, times, names, at the coordinator


def model(nodes: int, given: Assumptions) -> dict[str, Any]:
    """Seconds of a restore on so many nodes, and what bounds it.

    What is shared out ends within W/m + p (Graham, Bounds for certain multiprocessing anomalies, 1966): the whole work
    by the number of slots, and the longest piece.
    """
    slots = nodes * given.slots
    piece = float(piece_bytes(int(given.snapshot), slots))
    pieces = given.snapshot / piece
    rates = {
        "line": nodes * given.line / given.stored_share,
        "decoding": slots * given.slot,
        "store": given.store / given.stored_share,
        "target": given.target,
        "handing out": piece / given.per_task,
    }
    bound = min(rates, key=lambda name: rates[name])
    work = given.snapshot / rates[bound]
    longest = given.slow * piece * slots / rates[bound]
    total = given.open_seconds + work + longest + given.finish
    return {
        "nodes": nodes,
        "piece": piece,
        "pieces": pieces,
        "work": work,
        "tail": longest,
        "total": total,
        "by": bound,
    }


def model_lines(given: Assumptions, nodes: Sequence[int] = TARGETS) -> list[str]:
    """The table, in Markdown."""
    rows = [model(count, given) for count in nodes]
    lines = [
        "| nodes | pieces of | work | tail | in all | GB/s | speed-up | bound by |",
        "|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['nodes']} | {row['piece'] / MIB:.0f} MiB | {row['work']:.1f} s | {row['tail']:.1f} s "
            f"| {row['total']:.1f} s | {given.snapshot / row['total'] / GB:.1f} "
            f"| {rows[0]['total'] / row['total']:.1f} | {row['by']} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
