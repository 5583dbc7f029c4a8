"""One more snapshot over a long line: seconds of a round, and what it asks one after the other.

A small snapshot, so that it is answers that are waited for, not bytes. A round looks at both stores, copies, reads
back, and looks again.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from holdfast.replication.following.rounds import Follower
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.networks import HERE, Network
from holdfast.testing.round_trips import RoundTrips
from holdfast.testing.site_servers import SeaweedAt
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.vault import Vault

ROUND_TRIPS_S = (0.0, 0.1, 0.2)


def rounds(folder: Path, times: int) -> list[dict[str, Any]]:
    """For each length of the line the median and worst of so many rounds, each with a new snapshot of 64 KiB."""
    found = []
    with (
        own_memory(folder / "memory"),
        Network("far") as network,
        SeaweedAt(network["far"], folder / "server") as server,
        server.in_environment(),
    ):
        trial = new_trial_vault(LocalStore(folder / "home"))
        vault = trial.open()
        far = open_store(f"s3://{server.bucket}", options=server.options)
        trips = RoundTrips()
        follower = _follower(vault, trial.store, far)
        counted = _follower(vault, trial.store, trips.of(far))
        _round(vault, follower)
        with trips.counting():
            _round(vault, counted)
        for there_and_back in ROUND_TRIPS_S:
            network.link(HERE, "far").set(delay_s=there_and_back / 2)
            seconds = [_round(vault, follower) for _ in range(times)]
            found.append(
                {
                    "round_trip_ms": round(there_and_back * 1000),
                    "round_s": statistics.median(seconds),
                    "round_max_s": max(seconds),
                    "operations": len(trips.requests),
                    "one_after_the_other": trips.depth,
                }
            )
    return found


def _follower(vault: Vault, home: Store, far: Store) -> Follower:
    stores = [SiteStore("here/warm", "here", home), SiteStore("far/warm", "far", far)]
    return Follower(vault.handle, stores, [Route("run", "here/warm", ("far/warm",))])


def _round(vault: Vault, follower: Follower) -> float:
    vault.save("run", {"w": default_rng().normal(size=1 << 14).astype("float32")})
    began = time.perf_counter()
    report = follower.run_round()
    seconds = time.perf_counter() - began
    if not report.settled or not report.copied:
        raise RuntimeError(f"the round did not settle: {report.left}")
    return seconds
