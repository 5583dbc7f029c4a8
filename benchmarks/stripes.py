"""Stripes: what they store, how fast packs are cut, read and put together again, and what is read for a part.

`python -m benchmarks.stripes [--packs 8] [--rounds 3] [--folder F] [--json] [--profile]`. Packs of 32 MiB of random
bytes, 2+1 and 4+2, on stores in memory and on folders (each on its own, on one disk; files are synced when written, and
read back from the page cache). With each single site gone, and for 4+2 each pair; what is said of losses is the slowest
of them, at its fastest round. Speeds are bytes of packs in a second, of one caller; the machine's cores are told.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from holdfast.replication.striping import StripedStore, create_stripes, rebuild_site
from holdfast.replication.striping.erasure import parity_of, reconstruct
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Faults

PACK_BYTES = 32 << 20
TENSOR_BYTES = 4 << 20
CODES = ((2, 3), (4, 6))
_memory = bytearray(PACK_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(description="Stripes: bytes stored, speeds, bytes read.")
    parser.add_argument("--packs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the folders are made; default: that of temporary files")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where the time goes when a lost site is read around")
    options = parser.parse_args()
    packs = _packs(options.packs)
    if options.profile:
        profile(packs)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="holdfast-stripes-", dir=options.folder))
    try:
        results = measure(folder, packs, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=1)) if options.json else show(results)
    return 0


def measure(folder: Path, packs: dict[str, bytes], rounds: int) -> dict[str, Any]:
    """Everything, by code and kind of store; speeds in MB/s."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    results: dict[str, Any] = {"cores": cores, "packs": len(packs), "pack_bytes": PACK_BYTES, "codes": {}}
    for k, n in CODES:
        found: dict[str, Any] = {"columns": columns(k, n, rounds)}
        for kind in ("memory", "folders"):
            stores: list[Store] = [
                MemoryStore(name=f"{position}") if kind == "memory" else LocalStore(folder / f"{k}+{n - k}-{position}")
                for position in range(n)
            ]
            found[kind] = on_stores(stores, k, packs, rounds)
            shutil.rmtree(folder / "new", ignore_errors=True)
        results["codes"][f"{k}+{n - k}"] = found
    return results


def columns(k: int, n: int, rounds: int) -> dict[str, float]:
    """The code alone: no store, no hash."""
    width = PACK_BYTES // k
    rng = np.random.default_rng(1)
    data = [rng.integers(0, 256, width, dtype=np.uint8) for _ in range(k)]
    every = dict(enumerate([*data, *parity_of(data, range(n - k))]))
    slowest = 0.0
    for lost in combinations(range(n), n - k):
        left = {number: column for number, column in every.items() if number not in lost}
        slowest = max(slowest, _fastest(rounds, lambda left=left, lost=lost: reconstruct(k, n, left, lost)))
    encoding = _fastest(rounds, lambda: parity_of(data, range(n - k)))
    return {"encode_mb_s": PACK_BYTES / encoding / 1e6, "reconstruct_mb_s": PACK_BYTES / slowest / 1e6}


def on_stores(stores: Sequence[Store], k: int, packs: dict[str, bytes], rounds: int) -> dict[str, Any]:
    """A set of stripes on these stores."""
    n, size = len(stores), sum(map(len, packs.values()))
    store = create_stripes(stores, k)
    began = time.perf_counter()
    for key, data in packs.items():
        store.put(key, data)
    found: dict[str, Any] = {"put_mb_s": size / (time.perf_counter() - began) / 1e6}
    stored = sum(info.size for site in stores for info in site.list(""))
    found["stored_ratio"] = stored / size
    found["get_mb_s"] = size / 1e6 / _fastest(rounds, lambda: read_all(StripedStore(stores), packs))
    for count in range(1, n - k + 1):
        seconds = [
            _fastest(rounds, lambda lost=lost: read_all(StripedStore(without(stores, lost)), packs))
            for lost in combinations(range(n), count)
        ]
        found[f"get_without_{count}_mb_s"] = size / 1e6 / max(seconds)
    found["range"] = range_bytes(stores, packs)
    found["rebuild_mb_s"] = rebuild(stores, size)
    return found


def read_all(store: StripedStore, packs: dict[str, bytes]) -> None:
    """Every byte of all packs as a restore reads them: into memory that is used again."""
    out = memoryview(_memory)
    for key, data in packs.items():
        store.read_ranges_into(key, [(0, len(data))], out[: len(data)])


def without(stores: Sequence[Store], lost: Sequence[int]) -> list[Store]:
    """The sites, some of which do not answer."""
    silent = Faults().fail("*")
    return [FaultyStore(store, silent) if position in lost else store for position, store in enumerate(stores)]


def range_bytes(stores: Sequence[Store], packs: dict[str, bytes]) -> dict[str, float]:
    """Bytes read at all sites for 4 MiB in the middle of a lost shard, as a multiple of 4 MiB; by lost site."""
    key, data = next(iter(packs.items()))
    k = StripedStore(stores).layout.k
    found = {}
    for lost in (None, *range(len(stores))):
        start = ((lost if lost is not None and lost < k else 0) * PACK_BYTES // k) + (1 << 20) + 12345
        start = min(start, PACK_BYTES - TENSOR_BYTES)
        sites = [FaultyStore(store, Faults()) for store in without(stores, [] if lost is None else [lost])]
        if StripedStore(sites).get_ranges(key, [(start, TENSOR_BYTES)]) != [data[start : start + TENSOR_BYTES]]:
            raise AssertionError("a range was not read as it was written")
        read = sum(one.size for site in sites for one in site.log if one.key.startswith("shards/") and one.size)
        found["none" if lost is None else str(lost)] = read / TENSOR_BYTES
    return found


def rebuild(stores: Sequence[Store], size: int) -> float:
    """A lost first site onto a new, empty one; each shard is read back."""
    fresh: Store = MemoryStore(name="new")
    if isinstance(stores[0], LocalStore):
        fresh = LocalStore(stores[0].path.with_name("new"))
    began = time.perf_counter()
    done = rebuild_site(StripedStore([fresh, *stores[1:]]), 0)
    if not done.is_complete:
        raise AssertionError(f"the rebuild failed: {done.failed}")
    return size / (time.perf_counter() - began) / 1e6


def profile(packs: dict[str, bytes]) -> None:
    """By function, in one thread, with the first of three sites gone."""
    from holdfast.testing.single_thread import without_pools

    stores = [MemoryStore(name=f"{position}") for position in range(3)]
    with without_pools():
        whole = create_stripes(stores, 2)
        for key, data in packs.items():
            whole.put(key, data)
        store = StripedStore(without(stores, [0]))
        read_all(store, packs)
        profiler = cProfile.Profile()
        profiler.enable()
        read_all(store, packs)
        profiler.disable()
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(12)


def show(results: dict[str, Any]) -> None:
    """The same as lines."""
    print(f"{results['packs']} packs of {PACK_BYTES >> 20} MiB, {results['cores']} cores")
    for code, found in results["codes"].items():
        code_alone = found["columns"]
        print(f"{code}: code {code_alone['encode_mb_s']:.0f} / {code_alone['reconstruct_mb_s']:.0f} MB/s")
        for kind in ("memory", "folders"):
            one = found[kind]
            losses = [f"{one[key]:.0f}" for key in sorted(one) if key.startswith("get_without")]
            worst = max(one["range"].values())
            print(
                f"  {kind}: stored {one['stored_ratio']:.4f}, put {one['put_mb_s']:.0f}, get {one['get_mb_s']:.0f}, "
                f"with losses {', '.join(losses)}, rebuild {one['rebuild_mb_s']:.0f} MB/s; 4 MiB read {worst:.2f} times"
            )


def _packs(count: int) -> dict[str, bytes]:
    made = {}
    for number in range(count):
        data = np.random.default_rng(number).bytes(PACK_BYTES)
        name = blake3(data).hexdigest()
        made[f"packs/{name[:2]}/{name}"] = data
    return made


def _fastest(rounds: int, action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
