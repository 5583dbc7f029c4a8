"""Two writers, a replicator and a collector, with SIGKILLs: on a folder, and on SeaweedFS.

python -m tests.recovery.campaigns.traffic [--minutes 10] [--kill-every 2] [--seed N] [--only local|seaweed]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from holdfast.testing.servers import SeaweedServer

from ..traffic import Place, Traffic, let_them_work


def on_a_folder(folder: Path, seconds: float, seed: int, kill_every: float) -> Traffic:
    """On the local store; leases of 20 s."""
    place = Place(folder, str(folder / "vault"), {}, {}, lease_s=20.0)
    return let_them_work(place, seconds=seconds, seed=seed, kill_every=kill_every)


def on_seaweed(folder: Path, seconds: float, seed: int, kill_every: float) -> Traffic:
    """On a real S3 server, with its replica in a folder; leases of 40 s."""
    with SeaweedServer(folder / "seaweed") as server:
        place = Place(folder, f"{server.url}/vault", dict(server.options), dict(server.environment), lease_s=40.0)
        return let_them_work(place, seconds=seconds, seed=seed, kill_every=kill_every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kill-every", type=float, default=2.0, help="seconds, on average")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--only", choices=["local", "seaweed"])
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    for name, run in (("local", on_a_folder), ("seaweed", on_seaweed)):
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="holdfast-traffic-") as folder:
                print(name, run(Path(folder), given.minutes * 60, given.seed, given.kill_every), flush=True)


if __name__ == "__main__":
    main()
