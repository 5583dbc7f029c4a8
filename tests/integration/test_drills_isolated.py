"""Functional drills in isolation: a group to one moment, stripes without a site, a service on machines of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.drilling.declared import plan_drill, run_drill
from holdfast.control.drilling.leftovers import clear_leftovers, manifests
from holdfast.control.drilling.stopping import release_all, stop_all
from holdfast.control.evidencing.reading import Summary, list_evidence, show, trends
from holdfast.control.recovering.actors.services import Services
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.creating import apply_creation, plan_creation
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.errors import RefusedError
from holdfast.evidence.bundle import VerifiedEvidence, verify_files
from holdfast.evidence.record_outcome import CheckResult, Outcome
from holdfast.objectives import State
from holdfast.trust.suites import Suite

_SERVICE = Path(__file__).with_name("small_service.py")


class World:
    """Three sites in folders: `tok` and `wei` in whole copies, as the group `release`; `web` in stripes."""

    def __init__(self, folder: Path, stripes: bool = False) -> None:
        self.folder = folder
        self.environment = dict(os.environ)
        service = {
            "command": [sys.executable, "-S", str(_SERVICE), "--data", "{target}", "--machine", "{machine}"],
            "shapes": ["small"],
            "stop": {"within": "10s"},
            "health": {"heartbeat": "beat", "times": 2, "every": "50ms", "within": "60s"},
        }
        place = {"synchronous": ["use1"], "asynchronous": ["euw4", "aps1"]}
        common = {"class": "training", "save_every": "30min", "rpo": "2h", "rto": "1h"}
        whole = {
            "tok": common | {"place": place},
            "wei": common | {"place": place, "service": service, "path": str(folder / "data" / "wei")},
        }
        striped = {
            "web": {"class": "dataset", "rto": "1h", "place": {"sites": ["use1", "euw4", "aps1"], "stripes": "2+1"}}
        }
        back: dict[str, Any] = {"strategy": "BACKUP_AND_RESTORE", "to": ["euw4", "aps1"]}
        weekly = {"level": "functional", "every": "7d"}
        self.file: dict[str, Any] = {
            "version": 1,
            "organisation": "acme",
            "sites": {name: self._site(name) for name in ("use1", "euw4", "aps1")},
            "assets": striped if stripes else whole,
            "recoveries": {"web-back": back | {"asset": "web"}}
            if stripes
            else {
                "both": back | {"group": "release"},
                "one": back | {"asset": "wei"},
                "tok-back": back | {"asset": "tok"},
            },
            "drills": {"web": weekly | {"recovery": "web-back"}}
            if stripes
            else {
                "group": weekly | {"recovery": "both"},
                "served": weekly | {"recovery": "one", "machines": True},
                "copies": weekly | {"recovery": "one"},
            },
        }
        if not stripes:
            self.file["groups"] = {"release": {"assets": ["tok", "wei"]}}
        self.declare()

    def _site(self, name: str) -> dict[str, Any]:
        pool = {"kind": "local", "shape": "small", "machines": 2, "getting": "1s"}
        store = {"warm": {"url": str(self.folder / name)}}
        return {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": store, "compute": pool}

    def declare(self) -> None:
        (self.folder / "holdfast.yaml").write_text(json.dumps(self.file))

    def sites(self) -> DeclaredSites:
        return DeclaredSites(load_config(self.folder / "holdfast.yaml"), self.environment)

    def save(self, asset: str, number: int) -> None:
        data = self.folder / "data" / asset
        data.mkdir(parents=True, exist_ok=True)
        (data / "state").write_text(str(number))
        (data / "w.bin").write_bytes(default_rng(number).bytes(1 << 16))
        saving = declared_save(self.sites(), asset)
        saving.vault.save(asset, data, committed=saving.committed)

    def sync(self) -> None:
        sites = self.sites()
        assert SiteFollower(sites, list(sites.assets.values())).run_round().settled

    def prove(self) -> None:
        """Read every snapshot back where a recovery may read it from."""
        vault = self.sites().open_at("euw4/warm")
        for asset in self.file["assets"]:
            for one in vault.snapshots(asset):
                vault.verify(one.root.id)

    def running(self, asset: str = "wei") -> int:
        services = Services(self.sites())
        found = [one for site in self.file["sites"] for one in services.at(site, asset)]
        return sum(pool.running(handle).running for pool, handle in found)

    def free(self, site: str) -> int:
        return Services(self.sites()).machines(site, "small").probe().free


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        yield _made(tmp_path_factory.mktemp("whole"), patch, stripes=False)


def _made(folder: Path, patch: pytest.MonkeyPatch, *, stripes: bool) -> World:
    for kind in ("CONFIG", "STATE", "CACHE"):
        patch.setenv(f"XDG_{kind}_HOME", str(folder / kind))
    for name in ("HOLDFAST_CONFIG", "HOLDFAST_KEY_FILE"):
        patch.delenv(name, raising=False)
    world = World(folder, stripes)
    if stripes:
        sites = world.sites()
        apply_creation(sites, plan_creation(sites, "web"), encryption=True, suite=Suite.HYBRID_1)
        world.save("web", 1)
    else:
        create(str(folder / "use1"), environment=world.environment)
        world.save("tok", 1)
        world.save("wei", 2)
        world.save("tok", 3)  # newer than the newest of the other: the group goes back to the first
        world.sync()
    return world


def _bytes(folder: Path) -> dict[str, bytes]:
    """What lies at a store but for journals, evidence and the log."""
    own = ("runs", "evidence", "audit")
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in found if one.relative_to(folder).parts[0] not in own
    }


def test_a_group_comes_back_to_one_moment(whole: World) -> None:
    whole.prove()
    before = {site: _bytes(whole.folder / site) for site in ("use1", "euw4", "aps1")}
    plan = plan_drill(whole.sites(), "group")
    assert plan.asset == "tok, wei" and plan.isolated.startswith("a group") and not plan.refusals
    done = run_drill(whole.sites(), "group")
    assert done.state is Outcome.PASSED, done.facts.why
    assert [one.name for one in done.facts.phases] == ["fault", "recovery", "services", "comparison", "one moment"]
    assert done.recovery_site == "euw4" and done.verdict.rto.state is State.MET and done.verdict.rpo.state is State.MET
    checks = {one.name: one for one in done.facts.checks}
    assert set(checks) == {
        "services",
        "content of tok against the undamaged source",
        "content of wei against the undamaged source",
        "one moment",
    }
    assert {one.result for one in checks.values()} == {CheckResult.PASSED}
    assert done.facts.fault_site == "use1" and done.facts.faults[0].bit and not done.facts.faults[0].real
    assert done.evidence and not done.evidence_problem and not done.facts.clean_up.left
    files = {Path(one).name: Path(one).read_bytes() for one in done.evidence if Path(one).parent.name == "evidence"}
    record = verify_files(files).record
    assert record.scope.asset == "tok, wei" and record.identity.drill == done.id
    assert {site: _bytes(whole.folder / site) for site in before} == before  # nothing fenced, promoted or copied
    assert whole.running() == 0 and whole.free("euw4") == 2
    assert "NOT_ON_COPIES" in _codes(whole, "group", scenario="keys-lost")


def _codes(world: World, name: str, **wanted: str) -> list[str]:
    return [one.code for one in plan_drill(world.sites(), name, **wanted).refusals]


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_service_begins_on_machines_that_are_given_back(whole: World) -> None:
    unproven = run_drill(whole.sites(), "served")  # what no other site has ever read back is no recovery point
    assert unproven.state is Outcome.FAILED and "it was never read back there" in unproven.facts.why
    whole.prove()
    done = run_drill(whole.sites(), "served", plant="wrong-checksum")
    assert done.state is Outcome.FAILED and "differs from the undamaged source" in done.facts.why
    assert whole.running() == 0 and whole.free("euw4") == 2 and not done.steady
    whole.file["assets"]["wei"]["service"]["health"] |= {"heartbeat": "never", "within": "1s"}
    whole.declare()
    done = run_drill(whole.sites(), "served")
    assert done.state is Outcome.FAILED and "the rehearsal" in done.facts.why
    assert whole.running() == 0 and whole.free("euw4") == 2 and not done.steady
    whole.file["assets"]["wei"]["service"]["health"] |= {"heartbeat": "beat", "within": "60s"}
    whole.file["sites"]["euw4"]["compute"] = {"kind": "slurm", "shape": "small", "partition": "gpu"}
    whole.declare()
    assert "MACHINES_OF_OTHERS" in _codes(whole, "served") and not _codes(whole, "copies")
    whole.file["sites"]["euw4"]["compute"] = {"kind": "local", "shape": "small", "machines": 2, "getting": "1s"}
    whole.declare()
    with pytest.raises(RefusedError, match="expired-approval cannot be planted: machines are of the sites"):
        run_drill(whole.sites(), "served", plant="expired-approval")


def test_what_has_no_service_starts_none(whole: World) -> None:
    plan = plan_drill(whole.sites(), "tok-back", machines=True)
    assert [one.code for one in plan.refusals] == ["NO_SERVICE"]


def test_stripes_are_read_without_one_of_their_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = _made(tmp_path, monkeypatch, stripes=True)
    assert _codes(world, "web", level="simulation") == [] and _codes(world, "web", scenario="keys-lost")
    before = {site: _bytes(tmp_path / site) for site in ("use1", "euw4", "aps1")}
    done = run_drill(world.sites(), "web")
    assert done.state is Outcome.PASSED, done.facts.why
    assert done.facts.fault_site == "use1" and done.verdict.rto.state is State.MET
    assert [one.result for one in done.facts.checks] == [CheckResult.PASSED]
    assert done.evidence and not done.evidence_problem
    assert done.facts.clean_up.removed and not done.facts.clean_up.left
    [shown] = _beside_whole_copies(world)
    assert shown.record.identity.drill == done.id and shown.record.clean_up.later is False
    assert {site: _bytes(tmp_path / site) for site in before} == before
    assert len(stop_all(world.sites(), "wait").places) == 3  # at the single stores of the set
    assert _codes(world, "web") == ["STOPPED"]
    assert release_all(world.sites()).stops == 1 and _codes(world, "web") == []


def _beside_whole_copies(world: World) -> list[VerifiedEvidence]:
    """The evidence there is, as an organisation sees it that has whole copies of another asset, too."""
    whole = World(world.folder)
    both = json.loads(json.dumps(whole.file))
    both["assets"]["web"] = world.file["assets"]["web"]
    both["assets"]["tok"]["place"] = {"synchronous": ["own"], "asynchronous": ["other"]}
    del both["assets"]["wei"], both["groups"], both["recoveries"], both["drills"]
    both["sites"] |= {name: whole._site(name) for name in ("own", "other")}
    (world.folder / "holdfast.yaml").write_text(json.dumps(both))
    create(str(world.folder / "own"), environment=world.environment)
    listed = list_evidence(world.sites(), 10)
    assert all(isinstance(one, Summary) for one in listed), listed
    runs = [one.listed.run for one in listed]
    found = [show(world.sites(), run).verified for run in runs]
    assert trends(world.sites()).records == len(found)
    world.declare()
    return found


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_the_run_of_a_drill_that_was_killed_is_taken_back(whole: World) -> None:
    whole.prove()
    health = whole.file["assets"]["wei"]["service"]["health"]
    health |= {"heartbeat": "never", "within": "300s"}
    whole.declare()
    code = (
        "import os, sys; from holdfast.config.finding import load_config;"
        "from holdfast.control.sites.declared import DeclaredSites;"
        "from holdfast.control.drilling.declared import run_drill;"
        "run_drill(DeclaredSites(load_config(sys.argv[1])), 'served')"
    )
    words = [sys.executable, "-c", code, str(whole.folder / "holdfast.yaml")]
    with subprocess.Popen(words, env=whole.environment, start_new_session=True) as drill:
        until = time.monotonic() + 120
        while not whole.running():
            assert drill.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        drill.kill()
    assert whole.running() == 1 and whole.free("euw4") == 1
    assert _codes(whole, "served") == ["RECOVERY_UNDER_WAY"]
    [manifest] = [one for one in manifests(whole.environment) if one.abandoned]
    removed, left = clear_leftovers(whole.environment, print)  # nobody says whose run it is: what it needs stays
    assert len(left) == 1 and "has ended" in left[0] and not removed and whole.running() == 1
    health |= {"heartbeat": "beat", "within": "60s"}
    whole.declare()
    done = run_drill(whole.sites(), "served")  # takes it back first
    assert done.state is Outcome.PASSED, done.facts.why
    ended = {one.run: one.state.verdict for one in Recoveries(whole.sites()).runs(50)}
    assert ended[next(one.path for one in manifest.made if one.kind == "run")] == "STOPPED"
    assert whole.running() == 0 and whole.free("euw4") == 2
    assert not any(one.abandoned for one in manifests(whole.environment))
