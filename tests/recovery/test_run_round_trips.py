"""What a planned recovery costs over long lines, beside the bare restore: requests one after the other, counted.

The stores are counted by what waits for what (`holdfast.testing.round_trips`), so no machine's load matters.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.authority.guarding import guard
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create, open_at, open_on
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.replication.following.views import SiteStore
from holdfast.stores.lines.terms import USUAL_PRIORITY
from holdfast.stores.local import LocalStore
from holdfast.testing.round_trips import Request, RoundTrips

_SITES = ("home", "away", "third")


class World:
    """Three sites, one asset with one snapshot at all of them, and a plan that somebody else approved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(folder / name)}},
            }
            for name in _SITES
        }
        asset = {"class": "training", "place": {"synchronous": ["home"], "asynchronous": ["away", "third"]}}
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
        (folder / "holdfast.yaml").write_text(json.dumps(file))
        made = create(str(folder / "home"))
        export_keeper(made.vault, "ann", folder / "ann.key")
        saving = declared_save(self.sites(), "run")
        arrays = {"w": default_rng(1).normal(size=1 << 16).astype("<f4")}
        saving.vault.save("run", arrays, committed=saving.committed)
        assert SiteFollower(self.sites(), [self.sites().asset("run")]).run_round().settled

    def sites(self, **more: str) -> DeclaredSites:
        return DeclaredSites(load_config(self.folder / "holdfast.yaml"), dict(os.environ) | more)

    def approved(self) -> PlanFile:
        file = Recoveries(self.sites()).plan(Wanted("run", to="away"))
        Recoveries(self.sites(HOLDFAST_KEY_FILE=str(self.folder / "ann.key"))).approve(file, 600)
        return file

    def restored(self) -> list[Request]:
        """As `holdfast restore` does it."""
        trips = RoundTrips()
        with trips.counting():
            opened = open_on(trips.of(LocalStore(self.folder / "away"), "away"))
            opened.restore(guard(opened, "restore", reference="run").reference, self.folder / "bare")
        return trips.requests

    def recovered(self, file: PlanFile) -> list[Request]:
        """As `holdfast recover run` does it, until it has passed."""
        trips = RoundTrips()
        sites = self.sites()
        for name in _SITES:
            store = trips.of(LocalStore(self.folder / name), name)
            sites._stores[f"{name}/warm", USUAL_PRIORITY] = SiteStore(f"{name}/warm", name, store)
        with trips.counting():
            done = Recoveries(sites).run(file, str(self.folder / "out"), _quiet)
        assert done.state.verdict == "PASSED"
        return trips.requests


def _quiet(plan: Plan, progress: Progress) -> None: ...


class Counted(NamedTuple):
    """What was asked of the stores."""

    bare: list[Request]
    run: list[Request]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp("counted")
    with pytest.MonkeyPatch.context() as patched:
        for kind in ("CONFIG", "STATE", "CACHE"):
            patched.setenv(f"XDG_{kind}_HOME", str(folder / kind))
        world = World(folder)
        file = world.approved()
        yield Counted(world.restored(), world.recovered(file))


def depth(requests: list[Request]) -> int:
    return max(one.tick for one in requests)


def asked(requests: list[Request], method: str, prefix: str) -> Counter[str]:
    """How often each store was asked for it."""
    return Counter(one.store for one in requests if one.method == method and one.key.startswith(prefix))


def ticks(requests: list[Request], method: str, prefix: str) -> list[int]:
    return [one.tick for one in requests if one.method == method and one.key.startswith(prefix)]


def test_a_bare_restore_reads_the_configuration_once(counted: Counted) -> None:
    assert depth(counted.bare) <= 25, sorted(counted.bare)
    assert asked(counted.bare, "list", "config/") == {"away": 1}


def test_a_planned_recovery_takes_some_forty_round_trips_more(counted: Counted) -> None:
    """Eleven entries of the journal are written at two stores, one after the other: that is half of them."""
    assert depth(counted.run) <= 70, sorted(counted.run)
    assert len(counted.run) <= 150
    # At all three: opened to begin with, who was revoked, looked at for the review, told of the fence. At the copy that
    # is restored: opened for that, and once more to verify it.
    assert asked(counted.run, "list", "config/") == {"home": 4, "away": 6, "third": 4}
    assert set(asked(counted.run, "list", "audit/log/").values()) <= {1, 2}


def test_nothing_that_has_to_wait_is_sent_early(counted: Counted) -> None:
    """Fenced before the restore begins; each entry at one store after the other, and after the one before it."""
    fenced = ticks(counted.run, "create", "sites/")
    [read] = ticks(counted.run, "get_ranges", "packs/")
    assert len(fenced) == 3 and any(max(fenced) < tick < read for tick in ticks(counted.run, "create", "runs/"))
    entries: dict[str, list[int]] = {}
    for one in counted.run:
        if one.method == "create" and one.key.startswith("runs/"):
            entries.setdefault(one.key, []).append(one.tick)
    ordered = [entries[key] for key in sorted(entries)]
    assert len(ordered) == 11 and all(len(set(places)) == 2 for places in ordered)
    assert all(max(before) < min(after) for before, after in pairwise(ordered))


def test_a_vault_with_many_generations_opens_in_two_round_trips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "keeper.key"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    vault, trips = create(str(tmp_path / "vault")).vault, RoundTrips()
    for name in ("ann", "bob", "cid", "dan"):
        export_keeper(vault, name, tmp_path / f"{name}.key")
        vault = open_at(str(tmp_path / "vault"))
    with trips.counting():
        open_on(trips.of(LocalStore(tmp_path / "vault")))
    assert (depth(trips.requests), len(trips.requests)) == (2, 6)
