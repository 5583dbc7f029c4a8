"""One tensor out of a large snapshot, in a fresh process each time: how long it takes, and what is read for it.

`python -m benchmarks.lazy_reading [--gib 10] [--rounds 5] [--folder F] [--keep V] [--json]`. The snapshot is really
saved: distinct tensors of 4 MiB, of which every 64th is noise like trained weights and the others pack well, so that
10 GiB take some hundred MB of disk. The modules are imported before the clock starts; nothing of the vault is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TENSOR_BYTES = 4 << 20
NOISY_EVERY = 64
TARGET_SECONDS, TARGET_BYTES = 0.050, 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description="One tensor out of a large snapshot.")
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--keep", type=Path, help="make the vault in this folder, and use one that is there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=["cold", "profile"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(read_cold(Path.cwd(), profile=options.child == "profile")))
        return 0
    folder = options.keep or Path(tempfile.mkdtemp(prefix="holdfast-lazy-", dir=options.folder))
    try:
        results = measure(folder, options.gib, options.rounds)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=1)) if options.json else show(results)
    return 0


def measure(folder: Path, gib: float, rounds: int) -> dict[str, Any]:
    """Seconds, and bytes and operations at the store. `first`: this machine knows nothing of the vault yet."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in ("CACHE", "CONFIG", "STATE"):
        environment[f"XDG_{name}_HOME"] = str(folder / name.lower())
    environment.pop("HOLDFAST_KEY_FILE", None)
    os.environ.update(environment)
    saved = {} if (folder / "vault").exists() else save(folder / "vault", gib)

    def child() -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.lazy_reading", "--child", "cold"]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    shutil.rmtree(folder / "cache", ignore_errors=True)
    first = child()
    later = [child() for _ in range(rounds)]
    best = min(later, key=lambda one: one["seconds"])
    return {
        "gib": gib,
        "saved": saved,
        "first": first,
        "best": best,
        "median_seconds": statistics.median(one["seconds"] for one in later),
    }


def save(folder: Path, gib: float) -> dict[str, float]:
    import holdfast

    rng = np.random.default_rng(1)
    count, shift = int(gib * (1 << 30)) // TENSOR_BYTES, 1 << 10
    plain = np.zeros(TENSOR_BYTES // 4 + count * shift, "f4")
    plain[:: 1 << 8] = rng.normal(size=len(plain[:: 1 << 8]))
    noise = (rng.normal(size=TENSOR_BYTES // 4 + count * shift) * 0.02).astype("f4")

    def tensor(number: int) -> np.ndarray[Any, Any]:
        """A window of its own: the windows overlap, so they cost next to no memory, and no two are equal."""
        source = noise if number % NOISY_EVERY == 1 else plain
        return source[number * shift : number * shift + TENSOR_BYTES // 4].reshape(1024, 1024)

    tensors = {f"layers.{number}.weight": tensor(number) for number in range(count)}
    vault = holdfast.create(folder)
    begin = time.perf_counter()
    vault.save("llama", tensors, verify=False)
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "bytes": count * TENSOR_BYTES,
        "stored": sum(i.size for i in vault.handle.store.list("")),
    }


def read_cold(folder: Path, *, profile: bool = False) -> dict[str, Any]:
    """Open, find, load, read one tensor. The steps in seconds; what the store was asked for, by verb and folder."""
    import cryptography.hazmat.backends.openssl.backend  # noqa: F401  # which cryptography itself imports when it is used

    from holdfast.control.vaults.opening import open_on
    from holdfast.stores.faulty import FaultyStore
    from holdfast.stores.opening import open_store
    from holdfast.testing.faults import Faults
    from holdfast.vault.tensors import lazy, loading  # noqa: F401

    store = FaultyStore(open_store(str(folder / "vault")), Faults())
    profiler = None
    if profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    marks = [time.perf_counter()]
    vault = open_on(store)
    marks.append(time.perf_counter())
    root = vault.find("llama")
    marks.append(time.perf_counter())
    tensors = loading.load_tensors(vault.handle, root)
    marks.append(time.perf_counter())
    name = f"layers.{(len(tensors) // 2) // NOISY_EVERY * NOISY_EVERY + 1}.weight"
    array = tensors[name][...]
    marks.append(time.perf_counter())
    log = store.log
    tensors[name][...]
    once_more = time.perf_counter() - marks[-1]
    if profiler is not None:
        import pstats

        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(60)
    operations: dict[str, list[int]] = {}
    for operation in log:
        said = operations.setdefault(f"{operation.verb} {operation.key.partition('/')[0]}", [0, 0])
        said[0] += 1
        said[1] += operation.size
    steps = zip(("open", "find", "load", "read"), marks, marks[1:], strict=False)
    return {
        "seconds": marks[-1] - marks[0],
        "steps": {step: after - before for step, before, after in steps},
        "once_more": once_more,
        "tensor_bytes": array.nbytes,
        "bytes_read": sum(operation.size for operation in log if operation.verb.startswith("get")),
        "operations": operations,
    }


def show(results: dict[str, Any]) -> None:
    for name in ("first", "best"):
        one = results[name]
        steps = ", ".join(f"{step} {seconds * 1e3:.1f}" for step, seconds in one["steps"].items())
        print(f"{name:6} {one['seconds'] * 1e3:6.1f} ms ({steps}; once more {one['once_more'] * 1e3:.1f})")
        print(f"       {one['bytes_read'] / one['tensor_bytes']:6.2f} × its size read from the store")
        for operation, (count, size) in sorted(one["operations"].items()):
            print(f"         {operation:24} {count:4} × {size:12,} bytes")
    print(f"median {results['median_seconds'] * 1e3:6.1f} ms")
    print(f"target {TARGET_SECONDS * 1e3:6.1f} ms, {TARGET_BYTES:.0f} × its size")


if __name__ == "__main__":
    sys.exit(main())
