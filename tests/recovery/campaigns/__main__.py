"""All campaigns, one after the other: `python -m tests.recovery.campaigns`. Takes an hour or more."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from . import damage, kills, memory, repair


def main() -> None:
    folder, seed = Path(tempfile.gettempdir()), time.time_ns() % 1_000_000
    print(f"seed {seed}")
    memory.run(8, folder, 1024)
    kills.run(200, seed, folder)
    print(damage.run(1, 500, seed))
    print(repair.run(1000, seed))


if __name__ == "__main__":
    main()
