"""The chunk index at scale: resident memory, time of a look-up, size on disk, time to open.

`python -m benchmarks.large_index [--chunks 5000000] [--folder F] [--json]`. Real index objects are written to a vault
in a folder: packs of 1600 chunks, 32 packs to an object, ids at random (5 M chunks of 20 KiB stand for 100 GiB). Then
fresh processes open it: one that has never seen it, one that has. Sizes from a hundredth of `--chunks` up, so that what
grows shows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.ids import ChunkId, PackId
from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.units import format_size
from holdfast.vault.format.records import IndexedPack, PackTable
from holdfast.vault.index import write_index
from holdfast.vault.local_cache import cache_folder
from holdfast.vault.vault import open_vault

CHUNKS_PER_PACK, PACKS_PER_OBJECT = 1600, 32
RAW, STORED = 20 << 10, 17 << 10
LOOK_UPS, PACKS_ADDED = 20_000, 16
TARGET_BYTES = 600 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description="The chunk index at scale.")
    parser.add_argument("--chunks", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="where the files lie for the time of the run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(look(options.folder, options.chunks)))
        return 0
    results = compare([measure(max(1, options.chunks // part), options.folder) for part in (100, 10, 1)])
    print(json.dumps(results, indent=1)) if options.json else show(results)
    return 0


def compare(sizes: list[dict[str, Any]]) -> dict[str, Any]:
    """`resident_bytes`: the most that any process held. `lookup_ratio`: one hit and one miss in the largest index, over
    the same in the smallest.
    """
    pairs = [sum(one["again"]["look_up_microseconds"].values()) for one in sizes]
    return {
        "resident_bytes": max(one[opened]["resident_peak"] for one in sizes for opened in ("first", "again")),
        "lookup_ratio": pairs[-1] / pairs[0],
        "sizes": sizes,
    }


def measure(chunks: int, place: Path | None) -> dict[str, Any]:
    """Bytes, seconds, and microseconds per look-up."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-index-", dir=place))
    try:
        build(folder, chunks)
        first, again = run_child(folder, chunks), run_child(folder, chunks)
        return {"chunks": chunks, "first": first, "again": again}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_child(folder: Path, chunks: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_index", "--child", "--folder", folder, "--chunks", str(chunks)]
    environment = os.environ | {f"XDG_{name}_HOME": str(folder / name) for name in ("CACHE", "CONFIG", "STATE")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def build(folder: Path, chunks: int) -> None:
    """A vault whose index lists so many chunks. There are no packs: nothing reads them here."""
    trial = new_trial_vault(LocalStore(folder / "vault"), encrypted=False)
    keys = trial.open().handle.keys
    for number in range(objects_of(chunks)):
        key, data = write_index(keys, packs(number, chunks), trial.clock.now_ns())
        trial.store.put(key, data)


def objects_of(chunks: int) -> int:
    return -(-chunks // (CHUNKS_PER_PACK * PACKS_PER_OBJECT))


def packs(number: int, chunks: int) -> Iterator[IndexedPack]:
    """What index object `number` lists: the same in every process."""
    rng = np.random.default_rng([1, number])
    begin = number * CHUNKS_PER_PACK * PACKS_PER_OBJECT
    left = min(chunks - begin, CHUNKS_PER_PACK * PACKS_PER_OBJECT)
    while left > 0:
        count = min(CHUNKS_PER_PACK, left)
        table = PackTable(
            ids=rng.bytes(32 * count),
            stored=np.full(count, STORED, "<u4").tobytes(),
            raw=np.full(count, RAW, "<u4").tobytes(),
            codec=b"\1" * count,
            kind=bytes(count),
            width=b"\1" * count,
            based=b"",
            bases=b"",
        )
        yield IndexedPack(rng.bytes(32), count * STORED + 1300, table)
        left -= count


def look(folder: Path, chunks: int) -> dict[str, Any]:
    """Open the vault, look chunks up that are there and that are not, add a pack. In a process of its own."""
    rng = random.Random(2)
    hits = [chunk for _ in range(8) for chunk in some_chunks(rng, chunks)]
    rng.shuffle(hits)
    misses = [ChunkId(rng.randbytes(32)) for _ in range(LOOK_UPS)]
    before = resident()
    vault = open_vault(LocalStore(folder / "vault"), None)
    begin = time.perf_counter()
    index = vault.handle.index
    seconds = time.perf_counter() - begin
    loaded = resident()
    for chunk in hits[: LOOK_UPS // 10]:  # the first ones fill caches
        index.find(chunk)
    found = {"hit": microseconds(index, hits[-LOOK_UPS:], True), "miss": microseconds(index, misses, False)}
    begin = time.perf_counter()
    for pack in packs(0, PACKS_ADDED * CHUNKS_PER_PACK):
        name = PackId(rng.randbytes(32).hex())
        index.add(name, pack.size, pack.table)
    added = (time.perf_counter() - begin) / PACKS_ADDED
    path = cache_folder(vault.handle.keys.vault, vault.handle.store.url)
    return {
        "open_seconds": seconds,
        "look_up_microseconds": found,
        "add_pack_seconds": added,
        "resident_before": before,
        "resident_loaded": loaded,
        "resident": resident(),
        "resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        "on_disk": sum(file.stat().st_size for file in path.iterdir()),
    }


def some_chunks(rng: random.Random, chunks: int) -> list[ChunkId]:
    """Ids out of one index object, at random."""
    ids = b"".join(pack.table.ids for pack in packs(rng.randrange(objects_of(chunks)), chunks))
    count = min(LOOK_UPS // 8, len(ids) // 32)
    return [ChunkId(ids[32 * at : 32 * at + 32]) for at in rng.sample(range(len(ids) // 32), count)]


def microseconds(index: Any, chunks: list[ChunkId], there: bool) -> float:
    """Per look-up; the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        found = sum(index.find(chunk) is not None for chunk in chunks)
        best = min(best, time.perf_counter() - begin)
        assert found == (len(chunks) if there else 0)
    return best / len(chunks) * 1e6


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def show(results: dict[str, Any]) -> None:
    head = ("chunks", "first open", "open", "hit µs", "miss µs", "add pack", "resident", "peak", "on disk")
    print("  ".join(f"{name:>10}" for name in head))
    for one in results["sizes"]:
        first, again = one["first"], one["again"]
        cells = (
            f"{one['chunks']:,}",
            f"{first['open_seconds']:.2f} s",
            f"{1000 * again['open_seconds']:.1f} ms",
            f"{again['look_up_microseconds']['hit']:.1f}",
            f"{again['look_up_microseconds']['miss']:.1f}",
            f"{1000 * again['add_pack_seconds']:.1f} ms",
            format_size(again["resident"]),
            format_size(max(first["resident_peak"], again["resident_peak"])),
            format_size(again["on_disk"]),
        )
        print("  ".join(f"{cell:>10}" for cell in cells))
    print(f"resident at most {format_size(results['resident_bytes'])}; target: less than {format_size(TARGET_BYTES)}")
    print(f"a look-up in the largest index takes {results['lookup_ratio']:.2f} times one in the smallest; target: flat")


if __name__ == "__main__":
    sys.exit(main())
