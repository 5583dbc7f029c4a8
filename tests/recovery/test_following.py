"""Several stores kept alike: rounds, quorums, exposure; stores that are away, and come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.errors import ObjectiveMissedError, RefusedError, StoreUnreachableError, UsageError
from holdfast.replication.following.exposing import Protection, exposures
from holdfast.replication.following.quorum import copy_to_quorum
from holdfast.replication.following.rounds import Follower
from holdfast.replication.following.routes import Route, plan_round, wanted_snapshots, watermark
from holdfast.replication.following.series import ExposureSeries
from holdfast.replication.following.views import SiteStore, look
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.vault.vault import Vault


class Line:
    """A store behind a line that can be cut; counts the bytes of packs that are sent over it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cut = False
        self.sent: dict[str, int] = {}

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        if self.cut and name in ("get", "get_ranges", "head", "list", "folders", "delete", "create", "put"):
            raise StoreUnreachableError("the line is cut")
        return getattr(self._store, name)

    def put(self, key: str, data) -> ObjectInfo:  # type: ignore[no-untyped-def]
        if self.cut:
            raise StoreUnreachableError("the line is cut")
        info = self._store.put(key, data)
        self.sent[key] = self.sent.get(key, 0) + 1
        return info


class World:
    """A vault with its home at `use1`, and stores at two other sites."""

    def __init__(self, folder: Path) -> None:
        self.trial: TrialVault = new_trial_vault(LocalStore(folder / "use1"))
        self.lines = {site: Line(LocalStore(folder / site)) for site in ("euw4", "aps1")}
        self.vault: Vault = self.trial.open()
        self.home = Line(self.trial.store)
        self.stores = [
            SiteStore("use1/warm", "use1", self.home),
            *(SiteStore(f"{site}/warm", site, line) for site, line in self.lines.items()),
        ]
        self.route = Route("llama", "use1/warm", ("euw4/warm", "aps1/warm"))
        self._random = default_rng(7)

    def follower(self, **options: object) -> Follower:
        return Follower(self.vault.handle, self.stores, [self.route], patience_s=20, **options)  # type: ignore[arg-type]

    def save(self, step: int) -> str:
        state = {"w": self._random.normal(size=50_000).astype("float32")}
        return self.vault.save("llama", state, step=step).root.id


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "own"):
        yield World(tmp_path)


def test_a_round_copies_what_is_missing_and_the_next_one_nothing(world: World) -> None:
    first, second = world.save(1), world.save(2)
    report = world.follower().run_round()
    assert report.settled
    assert {one.copy.target: set(one.arrived) for one in report.copied} == {
        "euw4/warm": {first, second},
        "aps1/warm": {first, second},
    }
    again = world.follower().run_round()
    assert again.settled
    assert not again.plan.copies
    for site, line in world.lines.items():
        assert all(times == 1 for times in line.sent.values())
        assert world.trial.open(store=LocalStore(Path(line.url))).check(read_data=True).damages == [], site


def test_exposure_grows_while_a_line_is_cut_and_falls_when_it_is_back(world: World) -> None:
    world.save(1)
    follower = world.follower()
    before = {(one.site, one.protection) for one in follower.run_round().exposures}
    assert before == {(site, Protection.VERIFIED) for site in ("use1", "euw4", "aps1")}
    for line in world.lines.values():
        line.cut = True
    newest = world.save(2)
    report = follower.run_round()
    assert not report.settled
    assert any("euw4/warm does not answer" in one for one in report.plan.stuck)
    losing_home = {one.site: one for one in report.exposures}["use1"]
    assert losing_home.protection is Protection.NONE
    assert losing_home.seconds is None
    for line in world.lines.values():
        line.cut = False
    report = follower.run_round()
    assert report.settled
    losing_home = {one.site: one for one in report.exposures}["use1"]
    assert losing_home.protection is Protection.VERIFIED
    assert losing_home.snapshot == newest
    assert losing_home.seconds is not None
    assert losing_home.seconds < 60


def test_what_was_not_read_back_counts_as_arrived_only(world: World) -> None:
    world.save(1)
    report = world.follower(verify=False).run_round()
    losing_home = {one.site: one for one in report.exposures}["use1"]
    assert losing_home.protection is Protection.ARRIVED
    assert losing_home.seconds is None
    assert losing_home.arrived_seconds is not None


def test_while_the_home_is_away_the_others_help_each_other(world: World) -> None:
    world.lines["aps1"].cut = True
    one = world.save(1)
    world.follower().run_round()
    world.lines["aps1"].cut = False
    world.home.cut = True
    report = world.follower().run_round()
    assert [(copied.copy.target, copied.source, copied.arrived) for copied in report.copied] == [
        ("aps1/warm", "euw4/warm", (one,))
    ]
    assert world.trial.open(store=world.lines["aps1"]._store).check(read_data=True).damages == []


def test_a_source_that_fails_in_the_middle_is_replaced_by_another(world: World) -> None:
    world.lines["aps1"].cut = True
    world.save(1)
    world.follower().run_round()
    world.lines["aps1"].cut = False
    follower = world.follower()
    views = follower.look()
    plan = follower.plan(views)
    assert plan.copies[0].sources == ("use1/warm", "euw4/warm")
    world.home.cut = True
    copied = follower._copy(plan.copies[0])
    assert copied.error is None
    assert copied.source == "euw4/warm"
    assert copied.arrived


def test_what_was_dropped_at_home_does_not_come_back(world: World) -> None:
    first = world.save(1)
    world.save(2)
    follower = world.follower()
    follower.run_round()
    world.vault.apply_drop(world.vault.plan_drop(first))
    assert follower.run_round().plan.copies == ()
    assert first not in {one.root.id for one in world.vault.snapshots("llama") if one.root}


def test_watermark_stops_before_the_oldest_gap(world: World) -> None:
    ids = [world.save(step) for step in (1, 2, 3)]
    follower = world.follower()
    follower.run_round()
    views = follower.look()
    wanted = wanted_snapshots(world.route, views)
    full = watermark(world.route, views["euw4/warm"], wanted)
    assert full == wanted[ids[2]].content
    there = dict(views["euw4/warm"].of("llama"))
    del there[ids[1]]
    gap = watermark(world.route, views["euw4/warm"]._replace(roots={"llama": there}), wanted)
    assert gap is not None
    assert wanted[ids[0]].content <= gap < wanted[ids[1]].content
    assert watermark(world.route, views["euw4/warm"]._replace(roots={}), wanted) is None


def test_a_store_with_another_vault_is_told_and_left_alone(world: World, tmp_path: Path) -> None:
    new_trial_vault(LocalStore(tmp_path / "other"))
    world.save(1)
    world.stores[1] = SiteStore("euw4/warm", "euw4", LocalStore(tmp_path / "other"))
    report = world.follower().run_round()
    assert isinstance(report.views["euw4/warm"].problem, RefusedError)
    assert [one.copy.target for one in report.copied] == ["aps1/warm"]


def test_a_store_that_hangs_is_given_up_after_a_while(world: World) -> None:
    class Hanging(MemoryStore):
        def get(self, key: str) -> bytes:
            import time

            time.sleep(30)
            raise AssertionError

        list = get  # type: ignore[assignment]

    world.save(1)
    stores = [world.stores[0], SiteStore("aps1/warm", "aps1", Hanging("x"))]
    views = look(world.vault.handle, stores, ["llama"], patience_s=1.0)
    assert isinstance(views["aps1/warm"].problem, StoreUnreachableError)
    assert views["use1/warm"].of("llama")


class Stuck(MemoryStore):
    """Listings, and so everything, wait until they are let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.go_on = threading.Event()
        self.asked = 0

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self.asked += 1
        self.go_on.wait()
        return super().list(prefix, after)


def test_a_store_that_hangs_is_not_asked_again_before_it_answered(world: World) -> None:
    world.save(1)
    stuck = Stuck("aps1")
    world.stores[2] = SiteStore("aps1/warm", "aps1", stuck)
    follower = world.follower(verify=False)
    follower.patience_s = 0.3
    for _ in range(5):
        report = follower.run_round()
        assert "did not answer" in str(report.views["aps1/warm"].problem)
    assert stuck.asked <= 2  # the configuration, and the asset's snapshots
    stuck.go_on.set()
    follower.patience_s = 20
    assert follower.run_round().settled


def test_saves_do_not_pile_up_before_a_site_that_hangs(world: World) -> None:
    stuck = Stuck("aps1")
    targets = [world.stores[1], SiteStore("aps1/warm", "aps1", stuck)]
    for step in range(8):
        root = world.vault.save("llama", {"w": default_rng(step).normal(size=900)}, step=step).root
        with pytest.raises(ObjectiveMissedError, match="of the 3 sites"):
            copy_to_quorum(world.vault.handle, "use1", root, targets, 3, within_s=0.5)
    assert copy_to_quorum(world.vault.handle, "use1", root, targets, 2, within_s=30).sites == ("use1", "euw4")
    assert stuck.asked <= 4 * 7  # what each copy lists first
    stuck.go_on.set()
    assert copy_to_quorum(world.vault.handle, "use1", root, targets, 3, within_s=60).sites[0] == "use1"


def test_a_save_returns_when_the_quorum_has_it(world: World) -> None:
    world.lines["aps1"].cut = True
    reached = []

    def committed(root) -> None:  # type: ignore[no-untyped-def]
        reached.append(copy_to_quorum(world.vault.handle, "use1", root, world.stores[1:], 2, within_s=30))

    world.vault.save("llama", {"w": default_rng(1).normal(size=9_000)}, committed=committed)
    assert reached[0].sites == ("use1", "euw4")


def test_below_the_quorum_nothing_points_to_the_snapshot(world: World) -> None:
    before = world.save(1)
    for line in world.lines.values():
        line.cut = True

    def committed(root) -> None:  # type: ignore[no-untyped-def]
        copy_to_quorum(world.vault.handle, "use1", root, world.stores[1:], 2, within_s=30)

    with pytest.raises(ObjectiveMissedError, match="1 of the 2 sites"):
        world.vault.save("llama", {"w": default_rng(1).normal(size=9_000)}, committed=committed)
    assert world.vault.find("llama").id == before
    assert world.vault.find("llama@validated").id == before
    assert len(world.vault.snapshots("llama")) == 2  # it is committed, and the next round carries it on
    for line in world.lines.values():
        line.cut = False
    assert world.follower().run_round().settled


def test_more_sites_than_there_are_cannot_be_asked_for(world: World) -> None:
    root = world.vault.save("llama", {"w": default_rng(1).normal(size=100)}).root
    with pytest.raises(UsageError, match="4 sites are needed"):
        copy_to_quorum(world.vault.handle, "use1", root, world.stores[1:], 4)


def test_the_series_keeps_what_was_measured(world: World, tmp_path: Path) -> None:
    world.save(1)
    series = ExposureSeries(tmp_path / "state/exposure.jsonl")
    for _ in range(2):
        series.append(world.follower().run_round().exposures)
    with series.path.open("ab") as file:
        file.write(b'{"at": 1, "asset": "broken off')
    samples = list(series.read(asset="llama", site="use1"))
    assert [one.protection for one in samples] == ["verified", "verified"]
    assert samples[0].at < samples[1].at
    assert series.path.stat().st_mode & 0o777 == 0o600


def test_plans_copy_what_matters_most_first(world: World) -> None:
    world.save(1)
    views = world.follower().look()
    routes = [
        world.route._replace(urgency=1, targets=("euw4/warm",)),
        world.route._replace(urgency=7, targets=("aps1/warm",)),
    ]
    assert [copy.target for copy in plan_round(routes, views).copies] == ["aps1/warm", "euw4/warm"]
    assert not exposures([], views, 0)


def test_looking_through_what_is_there_reads_no_pack_and_what_it_mended_is_read_back(world: World) -> None:
    world.save(1)
    target = FaultyStore(world.lines["euw4"], Faults())
    world.stores[1] = SiteStore("euw4/warm", "euw4", target)
    follower = world.follower(recheck_every=1)
    follower.run_round()
    before = target.bytes_moved("get", "get_ranges")
    assert follower.run_round().settled
    assert target.bytes_moved("get", "get_ranges") - before < 100_000  # roots, parts, index: no pack of 200 kB
    for info in list(target.list("packs/")):
        target.delete(info.key)
    report = follower.run_round()
    assert [one for one in report.copied if one.copy.target == "euw4/warm" and one.objects]
    losing_home = {one.site: one for one in report.exposures}["use1"]
    assert losing_home.protection is Protection.VERIFIED
    assert world.trial.open(store=target).check(read_data=True).damages == []
