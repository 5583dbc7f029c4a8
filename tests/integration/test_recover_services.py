"""Recoveries of services: real processes stop at one site, and start at another, on machines that were got for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.config.finding import load_config
from holdfast.control.evidencing.reading import show
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.actors.services import Services
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries, Status
from holdfast.control.recovering.standby import refresh_standby, standing_in
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.drills.trainer import complete_checkpoints, read_heartbeat
from holdfast.errors import RefusedError
from holdfast.evidence.consistency import contradictions
from holdfast.infra.traffic_file import TrafficFile
from holdfast.objectives import NOT_MEASURED
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress

SERVICE = Path(__file__).with_name("small_service.py")


class World:
    """Two or three sites in folders, an asset with a service, and machines of this machine at each site."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        (folder / "data").mkdir()
        self.file: dict[str, Any] = {
            "version": 1,
            "organisation": "acme",
            "sites": {name: self._site(name) for name in ("use1", "euw4")},
            "assets": {
                "llama": {
                    "class": "training",
                    "save_every": "30min",
                    "path": str(folder / "data"),
                    "place": {"synchronous": ["use1"], "asynchronous": ["euw4"]},
                    "service": {
                        "command": [sys.executable, "-S", str(SERVICE), "--data", "{target}", "--machine", "{machine}"],
                        "shapes": ["small"],
                        "stop": {"within": "10s"},
                        "health": {"heartbeat": "beat", "times": 2, "every": "50ms", "within": "60s"},
                        "traffic": {"file": str(folder / "traffic.json")},
                    },
                }
            },
            "recoveries": {"back": {"asset": "llama", "strategy": "BACKUP_AND_RESTORE", "to": ["euw4"]}},
        }

    def _site(self, name: str) -> dict[str, Any]:
        pool = {"kind": "local", "shape": "small", "machines": 2, "getting": "1s"}
        store = {"warm": {"url": str(self.folder / name)}}
        return {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": store, "compute": pool}

    @property
    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.file["assets"]["llama"]["service"]
        return found

    def pool(self, site: str, *pools: dict[str, Any], **changes: Any) -> None:
        """Other machines at a site."""
        self.file["sites"][site]["compute"] = list(pools) or (self.file["sites"][site]["compute"] | changes)

    def declare(self) -> None:
        (self.folder / "holdfast.yaml").write_text(json.dumps(self.file))

    def sites(self, **more: str) -> DeclaredSites:
        return DeclaredSites(load_config(self.folder / "holdfast.yaml"), self.environment | more)

    def make(self) -> None:
        """A vault, a second keeper, a snapshot at both sites, proven."""
        self.declare()
        (self.folder / "data/state").write_text("0")
        made = create(str(self.folder / "use1"), environment=self.environment)
        export_keeper(made.vault, "ann", self.folder / "ann.key")
        self.save()

    def save(self) -> None:
        sites = self.sites()
        saving = declared_save(sites, "llama")
        saving.vault.save("llama", self.folder / "data", committed=saving.committed)
        assert SiteFollower(sites, [sites.asset("llama")]).run_round().settled

    def plan(self, **wanted: Any) -> PlanFile:
        file = Recoveries(self.sites()).plan(Wanted("back", **wanted))
        if not file.plan.intent.isolated:
            Recoveries(self.sites(HOLDFAST_KEY_FILE=str(self.folder / "ann.key"))).approve(file, 600)
        return file

    def run(self, file: PlanFile, watch: Callable[[Plan, Progress], None] = lambda plan, progress: None) -> Status:
        return Recoveries(self.sites()).run(file, str(self.folder / "back"), watch)

    def running(self, site: str) -> int:
        services = Services(self.sites())
        return sum(pool.running(handle).running for pool, handle in services.at(site, "llama"))

    def free(self, site: str, shape: str = "small") -> tuple[int, int]:
        probed = Services(self.sites()).machines(site, shape).probe()
        return probed.ready, probed.free

    def starts(self) -> list[str]:
        """`site machine of machines`, in the order in which services began."""
        path = self.folder / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def start_at_home(self) -> None:
        Services(self.sites()).start_at_home("llama", "home")

    def end(self) -> None:
        services = Services(self.sites())
        for site in self.file["sites"]:
            for pool, handle in services.at(site, "llama"):
                pool.stop(handle, "the end", 0)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    for name in ("HOLDFAST_CONFIG", "HOLDFAST_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = World(tmp_path, dict(os.environ))
    yield made
    made.end()


def kinds(file: PlanFile) -> list[str]:
    return [step.id for step in file.plan.steps]


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def facts_of(status: Status, step: str) -> dict[str, Any]:
    return dict(status.state.steps[step].facts)


def test_a_service_comes_back_on_machines_that_were_got(world: World) -> None:
    world.service["machines"] = 2
    world.make()
    file = world.plan()
    assert kinds(file) == [
        "fence-llama",
        "get-compute-llama",
        "restore-llama",
        "verify-llama",
        "promote-llama",
        "start-llama",
        "wait-healthy-llama",
        "traffic-llama",
    ]
    done = world.run(file)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    assert world.running("euw4") == 2 and world.free("euw4") == (0, 0)
    assert facts_of(done, "wait-healthy-llama")["machines"] == 2
    sent = TrafficFile(world.folder / "traffic.json").read()
    assert sent is not None and sent.site == "euw4"
    assert world.starts() == ["euw4 0 of 2", "euw4 1 of 2"]


def test_the_evidence_counts_the_machines_the_bytes_and_the_time_of_gpus(world: World) -> None:
    world.pool("euw4", gpus=8, price_per_hour=32.0)
    world.pool("use1", gpus=4, price_per_hour=20.0)
    world.make()
    now = time.time_ns()
    file = world.plan(fault_at=now, noticed_at=now + 1)
    assert world.run(file).state.verdict == "PASSED"
    assert Recoveries(world.sites()).write_evidence(file.run) == ""
    record = show(world.sites(), file.run).verified.record
    costs = record.costs
    assert costs is not None and contradictions(record) == []
    [got], [read], [lost] = costs.compute, costs.reading, costs.lost
    assert (got.machines, got.gpus, got.until) == (1, 8.0, "the service was good")
    assert isinstance(got.seconds, float) and got.seconds > 0
    assert got.gpu_hours == pytest.approx(8 * got.seconds / 3600, abs=1e-6)
    assert got.amount == pytest.approx(32 * got.seconds / 3600, abs=1e-6)
    size = sum(path.stat().st_size for path in (world.folder / "euw4/packs").rglob("*") if path.is_file())
    assert isinstance(read.bytes, int) and 0 < read.bytes < 1 << 20 and size > 0
    assert isinstance(read.requests, int) and read.requests >= 3  # a root, a part, a pack at least
    assert read.egress_per_gb == 0.0 and read.amount is NOT_MEASURED  # no price book has a row for our own disks
    assert any("has no row for" in note for note in read.notes)
    assert (lost.site, lost.machines, lost.gpus) == ("use1", 1, 4.0)
    assert lost.idle_seconds == pytest.approx(record.results.verdict.rto.measured, abs=1e-6)
    assert isinstance(lost.idle_seconds, float) and lost.idle_seconds > got.seconds
    assert lost.idle_gpu_hours == pytest.approx(4 * lost.idle_seconds / 3600, abs=1e-6)
    assert lost.gpu_hours is NOT_MEASURED and record.results.work_lost.gpu_hours is NOT_MEASURED
    assert [one for one in lost.notes if "nobody saw at which step" in one]


def test_how_long_it_took_is_known_to_the_next_plan(world: World) -> None:
    world.make()
    first = world.plan(isolated=True, target=str(world.folder / "back"))
    assert str(first.plan.step("get-compute-llama").estimate) == "1.0 s, declared (`getting` of the site's `compute`)"
    assert not first.plan.step("wait-healthy-llama").estimate.known
    done = world.run(first)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    assert world.running("euw4") == 0 and world.free("euw4") == (0, 2)  # a rehearsal gives back what it had
    again = Recoveries(world.sites()).plan(Wanted("back"))
    assert again.plan.step("wait-healthy-llama").estimate.why == "came up once in past runs"
    assert again.plan.step("get-compute-llama").estimate.why == "got once in past runs"


def _take(world: World, site: str, number: int) -> None:
    Services(world.sites()).machines(site, "small").get(number, "somebody else", 1)


def test_machines_that_vanished_before_the_run_are_a_refusal(world: World) -> None:
    world.make()
    file = world.plan()
    _take(world, "euw4", 2)
    with pytest.raises(RefusedError, match="CAPACITY_MISSING: 1 × small are counted on at euw4, and 0 are to be had"):
        world.run(file)
    with pytest.raises(RefusedError, match="no site will do") as raised:
        Recoveries(world.sites()).plan(Wanted("back"))
    assert "no machines for llama (small: 0 to be had of 1)" in raised.value.hint


def test_machines_that_vanish_in_the_run_leave_the_home_at_work(world: World) -> None:
    world.make()
    world.start_at_home()
    file = world.plan(graceful=True)
    taken: list[int] = []

    def vanish(plan: Plan, progress: Progress) -> None:
        if not taken:  # the review has passed
            taken.append(1)
            _take(world, "euw4", 2)

    done = world.run(file, vanish)
    assert done.state.verdict == "FAILED"
    step = done.state.steps["get-compute-llama"]
    assert "0 × small are to be had at euw4, and 1 are needed" in step.text or step.phase == "undone"
    assert set(done.state.steps) == {"get-compute-llama"}
    assert world.running("use1") == 1 and world.starts() == ["use1 0 of 1"]


def test_what_was_stopped_runs_again_when_the_other_site_fails(world: World) -> None:
    world.service["command"] += ["--fail-at", "euw4"]
    world.make()
    world.start_at_home()
    until(lambda: world.starts() == ["use1 0 of 1"])
    done = world.run(world.plan(graceful=True))
    assert done.state.verdict == "FAILED"
    reasons = [entry.text for entry in done.entries if entry.deed is Deed.FAILED]
    assert any("ended with the exit code 3: the licence has run out" in text for text in reasons)
    assert done.state.steps["stop-llama"].phase == "undone"
    until(lambda: world.starts() == ["use1 0 of 1"] * 2)
    assert world.running("use1") == 1 and world.running("euw4") == 0
    assert world.free("euw4") == (0, 2) and not (world.folder / "back").exists()
    assert TrafficFile(world.folder / "traffic.json").read() is None


def test_a_warm_standby_starts_on_few_and_is_good_on_all(world: World) -> None:
    world.service.update({"machines": 2, "least": 1})
    world.pool("euw4", ready=1)
    world.file["recoveries"]["back"]["strategy"] = "WARM_STANDBY"
    world.make()
    file = world.plan()
    assert {"start-llama", "grow-llama", "get-compute-llama"} <= set(kinds(file))
    done = world.run(file)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    assert sorted(world.starts()) == ["euw4 0 of 1", "euw4 1 of 2"] and world.running("euw4") == 2
    assert facts_of(done, "wait-healthy-llama")["machines"] == 2


def test_a_pilot_light_reads_the_copy_that_lies_there(world: World) -> None:
    world.file["recoveries"]["back"]["strategy"] = "PILOT_LIGHT"
    world.make()
    file = world.plan()
    assert file.plan.chosen[0].store == "euw4/warm"
    assert world.run(file).state.verdict == "PASSED" and world.running("euw4") == 1


def test_a_burst_goes_where_machines_are_with_fewer_if_need_be(world: World) -> None:
    """No site has two of the large ones; the second has the smaller shape, and one of it."""
    world.service.update({"machines": 2, "least": 1, "shapes": ["large", "small"]})
    world.pool(
        "euw4", {"kind": "local", "shape": "large", "machines": 1}, {"kind": "local", "shape": "small", "machines": 1}
    )
    world.file["sites"]["apne1"] = world._site("apne1")
    world.pool("apne1", {"kind": "local", "shape": "small", "machines": 1})
    world.file["assets"]["llama"]["place"]["asynchronous"] = ["euw4", "apne1"]
    world.file["recoveries"]["back"] |= {"strategy": "CLOUD_BURST", "to": ["euw4", "apne1"]}
    world.make()
    _machines_of(world, "euw4", "large").get(1, "somebody else", 1)
    _machines_of(world, "euw4", "small").get(1, "somebody else", 1)
    file = world.plan(to="apne1")
    assert file.plan.site == "apne1" and file.plan.machines[0].number == 1
    _machines_of(world, "euw4", "small").give_back("somebody else")
    file = world.plan()
    [machines] = file.plan.machines
    assert (file.plan.site, machines.shape, machines.number, machines.wanted) == ("euw4", "small", 1, 2)
    assert any("it resumes at that world size" in note for note in file.plan.notes)
    assert world.run(file).state.verdict == "PASSED"
    assert world.starts() == ["euw4 0 of 1"]


def _machines_of(world: World, site: str, shape: str) -> Any:
    return Services(world.sites()).machines(site, shape)


class _Dies(BaseException):
    """The control plane is gone at this moment."""


@pytest.mark.parametrize("after", [1, 3, 7])
def test_another_control_plane_goes_on_and_starts_nothing_twice(world: World, after: int) -> None:
    """After the machines were got, after the last save, and after the start."""
    world.make()
    world.start_at_home()
    until(lambda: len(world.starts()) == 1)
    file = world.plan(graceful=True)

    def dies(plan: Plan, progress: Progress) -> None:
        if progress.done == after:
            raise _Dies

    with pytest.raises(_Dies):
        world.run(file, dies)
    done = Recoveries(world.sites()).adopt(file.run, "", lambda plan, progress: None)
    assert done.state.verdict == "PASSED" and done.state.taken == 2, done.state
    assert world.starts() == ["use1 0 of 1", "euw4 0 of 1"]
    assert world.running("use1") == 0 and world.running("euw4") == 1 and world.free("euw4") == (0, 1)
    assert (world.folder / "back/state").read_text() == (world.folder / "data/state").read_text() != "0"
    ids = {str(entry.facts["snapshot"]) for entry in done.entries if entry.deed is Deed.DONE and "save" in entry.step}
    assert len(ids) == 1


def _with_trainer(world: World) -> None:
    """The real trainer of the drills: it saves when it is asked to end, and goes on from what was restored."""
    trainer = [sys.executable, "-m", "holdfast.drills.trainer", "--steps", "100000", "--every", "10"]
    resume = 'exec "$0" "$@" --resume "$HOLDFAST_TARGET"'
    world.file["assets"]["llama"] |= {"watch": str(world.folder / "run")}
    del world.file["assets"]["llama"]["path"]
    world.service["command"] = [
        "/bin/sh",
        "-c",
        resume,
        *trainer,
        "--save-on-stop",
        "--dir",
        str(world.folder / "run-{site}"),
    ]
    world.service["health"] = {
        "heartbeat": str(world.folder / "run-{site}/heartbeat.json"),
        "times": 2,
        "every": "50ms",
    }
    world.service["health"]["within"] = "60s"
    world.file["assets"]["llama"]["watch"] = str(world.folder / "run-use1")


def _train_first(world: World) -> None:
    folder = world.folder / "run-use1"
    command = [sys.executable, "-m", "holdfast.drills.trainer", "--dir", str(folder), "--steps", "3", "--every", "3"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def trained(world: World) -> World:
    """A trainer that runs at its home, some steps after what was saved last."""
    _with_trainer(world)
    _train_first(world)
    world.declare()
    made = create(str(world.folder / "use1"), environment=world.environment)
    export_keeper(made.vault, "ann", world.folder / "ann.key")
    sites = world.sites()
    saving = declared_save(sites, "llama")
    saving.vault.save("llama", world.folder / "run-use1/step-3", step=3, committed=saving.committed)
    assert SiteFollower(sites, [sites.asset("llama")]).run_round().settled
    world.start_at_home()
    beat = world.folder / "run-use1/heartbeat.json"
    until(lambda: beat.exists() and read_heartbeat(beat).step > 5)
    return world


def _last_steps(world: World) -> tuple[int, int]:
    """What was done at the home in the end, and where the recovered one went on from."""
    home = read_heartbeat(world.folder / "run-use1/heartbeat.json").step
    restored = json.loads((world.folder / "back/trainer.json").read_text())
    return home, int(restored["step"])


def test_a_graceful_recovery_loses_no_step(trained: World) -> None:
    file = trained.plan(graceful=True)
    assert kinds(file)[:4] == ["get-compute-llama", "stop-llama", "save-llama", "fence-llama"]
    done = trained.run(file)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    home = read_heartbeat(trained.folder / "run-use1/heartbeat.json").step
    assert facts_of(done, "save-llama")["step"] == home
    assert facts_of(done, "restore-llama")["snapshot"] == facts_of(done, "save-llama")["snapshot"]
    assert Recoveries(trained.sites()).write_evidence(file.run) == ""
    record = show(trained.sites(), file.run).verified.record
    assert record.results.recovery_point == facts_of(done, "save-llama")["snapshot"]
    assert record.results.resumed_step == home and contradictions(record) == []
    assert trained.running("use1") == 0 and trained.running("euw4") == 1
    assert trained.free("use1") == (0, 2)
    assert [path.name for path in complete_checkpoints(trained.folder / "run-use1")][-1] == f"step-{home}"
    assert read_heartbeat(trained.folder / "run-euw4/heartbeat.json").step > home


def test_an_ungraceful_one_loses_what_was_not_saved(trained: World) -> None:
    services = Services(trained.sites())
    [(pool, handle)] = services.at("use1", "llama")
    pool.stop(handle, "the fault", 0, "QUIT")  # power goes: nothing is saved
    lost_at = read_heartbeat(trained.folder / "run-use1/heartbeat.json").step
    done = trained.run(trained.plan())
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    first = read_heartbeat(trained.folder / "run-euw4/heartbeat.json").step
    assert lost_at > 5 and first > 3
    told = [json.loads(line) for line in _log(trained).splitlines() if line.startswith("{")]
    assert told[0]["step"] == 4  # what was done after step 3 is done again


def _log(world: World) -> str:
    [path] = (world.folder / "STATE/holdfast/machines/acme/euw4/small/services").glob("*/0.log")
    return path.read_text()


def test_traffic_is_sent_by_a_command_and_taken_back(world: World) -> None:
    place = world.folder / "now"
    place.write_text("use1")
    send = ["/bin/sh", "-c", f'echo "$1" > {place}', "send", "{site}"]
    world.service["traffic"] = {"command": send, "show": ["cat", str(place)]}
    world.make()
    first = world.run(world.plan())
    assert first.state.verdict == "PASSED" and place.read_text() == "euw4\n"
    assert facts_of(first, "traffic-llama") == {"site": "euw4", "was": "use1"}


def test_traffic_goes_back_when_a_later_step_fails(world: World) -> None:
    (world.folder / "more.yaml").write_text(
        "version: 1\nsteps: [{id: no, kind: shell, title: fails, after: [traffic], command: ['false'], no_undo: x}]"
    )
    world.file["recoveries"]["back"]["steps"] = "more.yaml"
    world.make()
    file = TrafficFile(world.folder / "traffic.json")
    file.send("llama", "use1", "", "by hand")
    done = world.run(world.plan())
    assert done.state.verdict == "FAILED" and done.state.steps["traffic-llama"].phase == "undone"
    now = file.read()
    assert now is not None and (now.site, now.key) == ("use1", "by hand")
    assert world.running("euw4") == 0 and world.free("euw4") == (0, 2)


def test_a_hot_standby_restores_nothing_and_starts(world: World) -> None:
    world.service.update({"standby": {"euw4": str(world.folder / "standby")}})
    world.pool("euw4", ready=1)
    world.file["recoveries"]["back"]["strategy"] = "HOT_STANDBY"
    world.make()
    with pytest.raises(RefusedError, match="no site will do"):
        Recoveries(world.sites()).plan(Wanted("back"))  # nothing stands there
    first, new = refresh_standby(world.sites(), "llama", "euw4")
    assert new and refresh_standby(world.sites(), "llama", "euw4") == (first, False)
    (world.folder / "data/state").write_text("7")
    world.save()
    behind = Wanted("back", target=str(world.folder / "standby"))
    _, _, problems = Recoveries(world.sites()).check(behind)
    assert problems["restore-llama"] == f"{world.folder / 'standby'} is taken"
    second, new = refresh_standby(world.sites(), "llama", "euw4")
    assert new and second.snapshot != first.snapshot and (world.folder / "standby/state").read_text() == "7"
    file = world.plan()
    assert file.plan.step("restore-llama").estimate.seconds == 0 and "get-compute-llama" not in kinds(file)
    inode = (world.folder / "standby/state").stat().st_ino
    done = Recoveries(world.sites()).run(file, str(world.folder / "standby"), lambda plan, progress: None)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    assert facts_of(done, "restore-llama")["standing"] is True
    assert (world.folder / "standby/state").stat().st_ino == inode and world.running("euw4") == 1
    with pytest.raises(RefusedError, match="what runs there is no standby"):
        refresh_standby(world.sites(), "llama", "euw4")


def test_a_standby_is_left_as_it_is_when_a_run_is_taken_back(world: World) -> None:
    world.service["command"] += ["--fail-at", "euw4"]
    world.service.update({"standby": {"euw4": str(world.folder / "standby")}})
    world.pool("euw4", ready=1)
    world.file["recoveries"]["back"]["strategy"] = "HOT_STANDBY"
    world.make()
    (world.folder / "standby").mkdir()
    (world.folder / "standby/of-somebody").touch()
    with pytest.raises(RefusedError, match="nobody vouches that it is a standby"):
        refresh_standby(world.sites(), "llama", "euw4")
    (world.folder / "standby/of-somebody").unlink()
    first, _ = refresh_standby(world.sites(), "llama", "euw4")
    file = world.plan()
    done = Recoveries(world.sites()).run(file, str(world.folder / "standby"), lambda plan, progress: None)
    assert done.state.verdict == "FAILED"
    assert standing_in(world.folder / "standby", "llama") == first
    assert (world.folder / "standby/state").read_text() == "0"
    assert not list(world.folder.glob(".standby.holdfast-run"))


_RUNBOOK = """version: 1
steps:
  - {id: note, kind: python, title: note it, after: [restore], before: [promote], call: "mine:note", no_undo: it stays}
  - {id: book, kind: ansible, title: mark, after: [note], playbook: book.yaml, before: [promote], undo: [rm, %(mark)s]}
  - id: tell
    kind: webhook
    title: tell the registry
    after: [promote]
    url: %(url)s
    secret: ${HOOK_SECRET}
    no_undo: they are told again
"""
_BOOK = """- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {content: "{{ holdfast_run }}", dest: "%s"}
"""
_MODULE = """
import os

def note(run, target, **more):
    assert not [name for name in os.environ if "KEY_FILE" in name or "SECRET" in name]
    return {"saw": sorted(os.listdir(target))[0], "secret": "api_token=abcdef"}
"""


def test_steps_of_a_runbook_are_called_once_and_told_no_keys(world: World, receiver: Any) -> None:
    mark = world.folder / "mark"
    runbook = _RUNBOOK % {"mark": mark, "url": receiver.url}
    (world.folder / "more.yaml").write_text(runbook)
    (world.folder / "book.yaml").write_text(_BOOK % mark)
    (world.folder / "mine.py").write_text(_MODULE)
    world.environment["HOOK_SECRET"] = "shared-between-two"
    world.file["recoveries"]["back"]["steps"] = "more.yaml"
    world.make()
    _, _, problems = Recoveries(world.sites()).check(Wanted("back"))
    assert problems == {} and receiver.got == [] and not mark.exists()
    file = world.plan()
    done = world.run(file)
    assert done.state.verdict == "PASSED", [one.text for one in done.entries if one.deed is Deed.FAILED]
    assert facts_of(done, "python-note") == {"saw": "state", "secret": "api_token=[…]"}
    assert facts_of(done, "ansible-book") == {"ok": 1, "changed": 1} and mark.read_text() == file.run
    [(headers, body)] = receiver.got
    assert headers["webhook-id"] == f"{file.run}/webhook-tell" and b"shared" not in body
    journal = b"".join(path.read_bytes() for path in (world.folder / "euw4/runs").rglob("*") if path.is_file())
    assert b"shared-between-two" not in journal + str(done.entries).encode()


def test_what_could_not_be_done_now_is_said_by_the_check(world: World) -> None:
    (world.folder / "more.yaml").write_text(_RUNBOOK % {"mark": "x", "url": "http://127.0.0.1:1/"})
    world.file["recoveries"]["back"]["steps"] = "more.yaml"
    world.service["command"] = ["no-such-program"]
    world.service["traffic"] = {"file": str(world.folder / "no/where.json")}
    world.make()
    _, _, problems = Recoveries(world.sites()).check(Wanted("back"))
    assert problems == {
        "python-note": "mine:note: ModuleNotFoundError: No module named 'mine'",
        "ansible-book": f"there is no playbook {world.folder / 'book.yaml'}",
        "webhook-tell": "${HOOK_SECRET} is not set, or empty",
        "start-llama": "there is no program no-such-program on this machine",
        "traffic-llama": f"there is no folder {world.folder / 'no'}",
    }
    assert world.free("euw4") == (0, 2)


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A small server that keeps what it gets."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield SimpleNamespace(got=got, url=f"http://127.0.0.1:{server.server_address[1]}/hook")
    server.shutdown()
    thread.join()
    server.server_close()
