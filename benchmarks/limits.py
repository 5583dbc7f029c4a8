"""What the machine can do at best: `python -m benchmarks.limits --bytes N --ram DIR [--disk DIR]`, JSON out.

memcpy into warm memory, BLAKE3 on one and two threads, a new file in RAM-backed storage, a new file on disk with fsync.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

ROUNDS = 5
_BLOCK = 8 << 20


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--ram", type=Path, required=True)
    parser.add_argument("--disk", type=Path)
    options = parser.parse_args()
    data = np.random.default_rng(0).integers(0, 1 << 63, options.bytes // 8, np.uint64).view(np.uint8)
    target = np.zeros_like(data)
    work: dict[str, Callable[[], object]] = {
        "memcpy": lambda: np.copyto(target, data),
        "BLAKE3, 1 thread": lambda: blake3(data, max_threads=1).digest(),
        "BLAKE3, 2 threads": lambda: blake3(data, max_threads=2).digest(),
        "write to RAM storage": lambda: write(options.ram / "limit", data, fsync=False),
    }
    if options.disk is not None:
        work["write to disk + fsync"] = lambda: write(options.disk / "limit", data, fsync=True)
    print(json.dumps({"bytes": data.nbytes, "seconds": in_turns(work)}))
    return 0


def in_turns(work: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each in every round; an unmeasured round first."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(ROUNDS + 1):
        for name, call in work.items():
            began = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def write(path: Path, data: NDArray[np.uint8], *, fsync: bool) -> None:
    """Write a new file. The old one goes first: its removal is measured with it, as small as it is."""
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as file:
        for begin in range(0, len(data), _BLOCK):
            file.write(data[begin : begin + _BLOCK].data)
        if fsync:
            os.fsync(file.fileno())


if __name__ == "__main__":
    sys.exit(main())
