"""Save, verify and restore a checkpoint of 8 GB, and say how long it took and how much memory.

    python -m tests.recovery.campaigns.memory [--gigabytes 8] [--folder /tmp] [--limit-mib 1024]

Needs three times the size on disk. Fails when a verb had more resident memory than the limit.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from ..memory_use import Measured, measure, prepare, write_checkpoint


def run(gigabytes: int, folder: Path, limit_mib: int) -> list[Measured]:
    """The measurements; what was made is removed again."""
    size = gigabytes << 30
    work = Path(tempfile.mkdtemp(prefix="holdfast-memory-", dir=folder))
    try:
        prepare(work, size)
        seen = [_told(work, verb, size) for verb in ("save", "verify", "check", "restore")]
        shutil.rmtree(work / "out")
        write_checkpoint(work / "source" / "model.safetensors", size, step=1)
        seen += [_told(work, verb, size) for verb in ("save", "verify", "restore")]
    finally:
        shutil.rmtree(work)
    assert all(one.mib_most < limit_mib for one in seen), f"more than {limit_mib} MiB: {seen}"
    return seen


def _told(work: Path, verb: str, size: int) -> Measured:
    one = measure(work, verb)
    speed = size / one.seconds / 1e9
    print(f"{verb:8} {one.seconds:7.1f} s  {speed:5.2f} GB/s  {one.mib_most:6.0f} MiB resident at most", flush=True)
    return one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--limit-mib", type=int, default=1024)
    given = parser.parse_args()
    run(given.gigabytes, given.folder, given.limit_mib)


if __name__ == "__main__":
    main()
