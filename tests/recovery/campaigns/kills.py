"""Kill -9 savers at 200 random moments, and look after each at everything that must hold.

python -m tests.recovery.campaigns.kills [--kills 200] [--seed N] [--folder /tmp]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from ..killing import Tally, kill_savers

_KILLS_PER_VAULT = 25  # each look reads all of the vault


def run(kills: int, seed: int, folder: Path) -> list[Tally]:
    """One vault after the other; raises BrokenInvariant with the folder left in place."""
    tallies = []
    for number in range(0, kills, _KILLS_PER_VAULT):
        work = Path(tempfile.mkdtemp(prefix="holdfast-kills-", dir=folder))
        started = time.monotonic()
        tally = kill_savers(work, kills=min(_KILLS_PER_VAULT, kills - number), seed=seed + number)
        print(f"vault {number // _KILLS_PER_VAULT + 1}: {tally} in {time.monotonic() - started:.0f} s", flush=True)
        tallies.append(tally)
        shutil.rmtree(work)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    run(given.kills, given.seed, given.folder)


if __name__ == "__main__":
    main()
