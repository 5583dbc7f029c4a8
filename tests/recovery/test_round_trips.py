"""What one more snapshot costs over a long line: requests one after the other, counted by what waits for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.following.rounds import Follower
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import Store
from holdfast.testing.round_trips import RoundTrips
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.refs import LATEST, move_ref, read_newest_ref
from holdfast.vault.vault import Vault


class Pair:
    """A vault at two sites, alike but for the snapshot that was saved last."""

    def __init__(self, folder: Path, assets: int = 1) -> None:
        self.trips = RoundTrips()
        self.trial: TrialVault = new_trial_vault(LocalStore(folder / "home"), pack_bytes=1 << 20)
        self.vault: Vault = self.trial.open()
        self.target = self.trips.of(LocalStore(folder / "target"))
        self.far_home = self.trips.of(self.trial.store, "source")
        self._random = default_rng(3)
        for step in range(3):
            self.save(step)
            assert self.follower().run_round().settled
        self.newest = self.save(9)
        self.trips.requests.clear()

    def save(self, step: int) -> str:
        state = {"w": self._random.normal(size=1 << 18).astype("float32")}
        return self.vault.save("llama", state, step=step).root.id

    def follower(self, home: Store | None = None) -> Follower:
        stores = [
            SiteStore("use1/warm", "use1", home or self.trial.store),
            SiteStore("euw4/warm", "euw4", self.target),
        ]
        return Follower(self.vault.handle, stores, [Route("llama", "use1/warm", ("euw4/warm",))])

    def copy(self, *, verify: bool, home: Store | None = None) -> None:
        source = Handle(home or self.trial.store, self.vault.handle.keys)
        with self.trips.counting():
            done = replicate(source, self.target, asset="llama", recheck=False, verify=verify, only={self.newest})
        assert done.arrived == [self.newest]
        assert bool(done.verified) == verify

    def ticks(self, method: str, prefix: str) -> list[int]:
        return [one.tick for one in self.trips.requests if one.method == method and one.key.startswith(prefix)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with own_memory(tmp_path / "own"):
        yield Pair(tmp_path)


def test_one_more_snapshot_takes_ten_round_trips(pair: Pair) -> None:
    pair.copy(verify=False)
    assert pair.trips.depth <= 10, sorted(pair.trips.requests)
    assert len(pair.trips.requests) <= 23


def test_reading_it_back_takes_three_more(pair: Pair) -> None:
    pair.copy(verify=True)
    assert pair.trips.depth <= 13, sorted(pair.trips.requests)


def test_a_source_that_is_far_too_adds_one(pair: Pair) -> None:
    pair.copy(verify=False, home=pair.far_home)
    assert pair.trips.depth <= 11, sorted(pair.trips.requests)
    sources = [one for one in pair.trips.requests if one.store == "source"]
    asked = Counter((one.method, one.key) for one in sources)
    assert set(asked.values()) == {1}, asked  # nothing is asked twice


def test_a_whole_round_looks_before_and_afterwards(pair: Pair) -> None:
    with pair.trips.counting():
        assert pair.follower().run_round().settled
    assert pair.trips.depth <= 17, sorted(pair.trips.requests)
    assert pair.trial.open(store=pair.target).check(read_data=True).damages == []


def test_nothing_that_has_to_wait_is_asked_early(pair: Pair) -> None:
    """The order on which safety rests: lease, what is condemned, what is there; packs, index, root, pointers."""
    pair.copy(verify=False)
    opened, ended = pair.ticks("create", "leases/")
    [condemned] = pair.ticks("list", "trash/")
    [packs], [parts] = pair.ticks("list", "packs/"), pair.ticks("list", "parts/")
    assert opened < condemned < min(packs, parts)
    sent, root = pair.ticks("put", "packs/"), pair.ticks("put", "snapshots/")
    listed, told = pair.ticks("put", "index/"), pair.ticks("put", "parts/")
    assert packs < min(sent) <= max(sent) < min(*listed, *told) <= max(*listed, *told) < min(root)
    moved = pair.ticks("create", "refs/")
    assert max(root) < min(moved) <= max(moved) < ended


def test_a_copy_that_finds_everything_there_writes_nothing(pair: Pair) -> None:
    pair.copy(verify=False)
    pair.trips.requests.clear()
    source = Handle(pair.trial.store, pair.vault.handle.keys)
    with pair.trips.counting():
        replicate(source, pair.target, asset="llama")
    assert {one.method for one in pair.trips.requests} <= {"list", "get"}
    assert len(pair.ticks("get", "snapshots/")) == 4  # each is read there
    assert pair.trips.depth <= 6, sorted(pair.trips.requests)


def test_a_pointer_that_both_sites_moved_is_settled_whatever_its_numbers_say(pair: Pair) -> None:
    """Nothing is to be copied of it, and yet the sites differ: one wrote the same generation, or one more."""
    pair.copy(verify=False)
    here = pair.vault.handle
    there = pair.trial.open(store=LocalStore(Path(pair.target.url))).handle
    older = next(one.root.id for one in pair.vault.snapshots("llama") if one.root and one.root.id != pair.newest)
    move_ref(there, "llama", "release", older, "over there")
    move_ref(here, "llama", "release", pair.newest, "here, and later")
    move_ref(there, "llama", LATEST, older, "back over there")
    replicate(Handle(pair.trial.store, here.keys), pair.target, asset="llama", recheck=False)
    for name in ("release", LATEST):
        found = read_newest_ref(there, "llama", name)
        assert found is not None
        assert found.target == pair.newest, name
