"""Machines of a real Slurm (slurmctld, slurmd and munged of Debian's packages, one node, this machine): got, started
on, stopped, and adopted when the control plane was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.config.compute_model import Compute
from holdfast.config.finding import load_config
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import encode_plan_file
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.errors import MissingExtraError
from holdfast.infra.compute.port import CapacityError, Launch, Pool
from holdfast.infra.compute.slurm import SlurmMachines
from holdfast.testing.slurm import SlurmCluster

SERVICE = Path(__file__).with_name("small_service.py")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs as other users: it needs root")
    try:
        with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
            yield cluster
    except MissingExtraError as error:
        pytest.fail(f"{error.message}; {error.hint}: tools/setup dev does that")


@pytest.fixture
def environment(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    monkeypatch.setenv("SLURM_CONF", str(cluster.config))
    return dict(os.environ)


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 90
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_node_is_got_used_and_given_back(cluster: SlurmCluster, environment: dict[str, str], tmp_path: Path) -> None:
    declared = Compute(kind="slurm", shape="node", partition="main")
    machines = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, environment, SYSTEM_CLOCK)
    until(lambda: cluster.node_state() == "idle")
    assert machines.probe()[:3] == (0, 1, 0) and machines.probe().getting is not None
    with pytest.raises(CapacityError, match="2 × node at hpc are needed, and 1 are to be had"):
        machines.get(2, "run/many", 5)
    held = machines.get(1, "run/get", 60)
    assert machines.get(1, "run/get", 60) == held == machines.held("run/get")
    assert machines.probe().free == 0
    (tmp_path / "data").mkdir()
    (tmp_path / "data/state").write_text("0")
    given = {name: os.environ[name] for name in ("PATH",)} | {"HOLDFAST_SITE": "hpc"}
    command = (sys.executable, "-S", str(SERVICE), "--data", str(tmp_path / "data"), "--machine", "{machine}")
    launch = Launch(asset="llama", command=command, folder=str(tmp_path), environment=given)
    handle = machines.start(launch, 1, "run/start", held=("run/get",))
    again = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, environment, SYSTEM_CLOCK)
    assert again.start(launch, 1, "run/start", held=("run/get",)).machines == handle.machines == held.machines
    until(lambda: (tmp_path / "starts").exists())
    assert (tmp_path / "starts").read_text() == "hpc 0 of 1\n"
    found = again.find("run/start")
    assert found is not None and again.running(found).at_capacity
    assert [one.key for one in again.services("llama")] == ["run/start"]
    again.stop(found, "stop", 20)  # it writes what it has when it is asked to end
    assert int((tmp_path / "data/state").read_text()) > 0
    assert again.find("run/start") is None and [one.key for one in again.stopped("stop")] == ["run/start"]
    machines.give_back("run/get")
    until(lambda: machines.probe().free == 1)


def test_two_jobs_of_one_key_never_run_both(cluster: SlurmCluster, environment: dict[str, str], tmp_path: Path) -> None:
    """As when a control plane was killed while it submitted, and the next one did not see that yet."""
    declared = Compute(kind="slurm", shape="node", partition="main")
    machines = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, environment, SYSTEM_CLOCK)
    for _ in range(2):
        machines._submit("run/start", 1, f"#!/bin/sh\necho once >> {tmp_path}/runs\nexec sleep 60\n")
    until(lambda: (tmp_path / "runs").exists())
    until(lambda: machines.held("run/start") is not None)
    states = [one.state for one in machines._jobs("run/start")]
    assert sorted(states)[-1] == "RUNNING" and "PENDING" not in [one.state for one in machines._jobs("run/start")]
    machines.give_back("run/start")
    until(lambda: cluster.node_state() == "idle")
    assert (tmp_path / "runs").read_text() == "once\n"


def forgetful(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """As Slurm is when a job ended longer ago than MinJobAge: squeue knows those that wait and run, and no others."""
    real = shutil.which("squeue")
    folder.mkdir()
    (folder / "squeue").write_text(
        f'#!/bin/sh\nfor one; do shift; [ "$one" = --states=all ] || set -- "$@" "$one"; done\nexec {real} "$@"\n'
    )
    (folder / "squeue").chmod(0o755)
    return environment | {"PATH": f"{folder}:{environment['PATH']}"}


@pytest.mark.parametrize(("code", "runs"), [(0, 1), (3, 2)])
def test_what_ended_longer_ago_than_slurm_remembers_is_begun_once(
    cluster: SlurmCluster, environment: dict[str, str], tmp_path: Path, code: int, runs: int
) -> None:
    """What ended well is not begun again by who adopts the run; what failed is."""
    key = f"exits-{code}/start"
    declared = Compute(kind="slurm", shape="node", partition="main")
    until(lambda: cluster.node_state() == "idle")
    given = {name: os.environ[name] for name in ("PATH",)}
    command = ("sh", "-c", f"echo ran >> {tmp_path}/runs; exit {code}")
    launch = Launch(asset="llama", command=command, folder=str(tmp_path), environment=given)
    first = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, environment, SYSTEM_CLOCK)
    first.start(launch, 1, key)
    ended = ("COMPLETED", "FAILED")
    until(lambda: [one.state for one in first._jobs(key) if one.state in ended])
    job = first._jobs(key)[0]
    late = forgetful(environment, tmp_path / "bin")
    machines = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, late, SYSTEM_CLOCK)
    assert machines._jobs(key) == [], "Slurm has forgotten it"
    found = machines.find(key)
    assert (found is not None) == (code == 0)
    known = first._kept(first.services("llama")[0]).handle
    assert machines.running(known).problems == (() if code == 0 else (f"job {job.id} is FAILED",))
    again = machines.start(launch, 1, key)
    until(lambda: (tmp_path / "runs").read_text() == "ran\n" * runs and cluster.node_state() == "idle")
    if code == 0:
        assert again.machines == (f"hpc/node/{job.id}.0",) and machines.running(again).ended_well == 1


def test_the_accounting_tells_what_the_job_did_not_write(
    cluster: SlurmCluster, environment: dict[str, str], tmp_path: Path
) -> None:
    """`sacct` is played by a program that says what that of Slurm 22.05 does: its database needs a server."""
    declared = Compute(kind="slurm", shape="node", partition="main")
    until(lambda: cluster.node_state() == "idle")
    late = forgetful(environment, tmp_path / "bin")
    launch = Launch(asset="llama", command=("true",), folder=str(tmp_path), environment={"PATH": os.environ["PATH"]})
    machines = SlurmMachines(Pool("hpc", "node"), tmp_path / "state", declared, late, SYSTEM_CLOCK)
    machines.start(launch, 1, "accounted/start")
    until(lambda: machines._ended("accounted/start").exists() and cluster.node_state() == "idle")
    machines._ended("accounted/start").unlink()  # a node whose disk was full
    assert machines.find("accounted/start") is None, "no accounting: nobody knows"
    for said, state in (("COMPLETED", True), ("CANCELLED by 0", False), ("NODE_FAIL", False)):
        (tmp_path / "bin/sacct").write_text(f"#!/bin/sh\necho '9|{said}|1|holdfast-x|None'\n")
        (tmp_path / "bin/sacct").chmod(0o755)
        assert (machines.find("accounted/start") is not None) == state, said


def test_a_killed_control_plane_leaves_a_job_that_is_adopted(
    cluster: SlurmCluster, environment: dict[str, str], tmp_path: Path
) -> None:
    until(lambda: cluster.node_state() == "idle")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/state").write_text("0")
    pool = {"kind": "slurm", "shape": "node", "partition": "main"}
    sites = {
        name: {
            "cloud": "onprem",
            "region": name,
            "jurisdiction": "EU",
            "stores": {"warm": {"url": str(tmp_path / name)}},
            "compute": pool,
        }
        for name in ("use1", "hpc")
    }
    service = {
        "command": [sys.executable, "-S", str(SERVICE), "--data", "{target}", "--machine", "{machine}"],
        "shapes": ["node"],
        "health": {"heartbeat": "beat", "times": 2, "every": "200ms", "within": "60s"},
    }
    asset = {
        "class": "training",
        "save_every": "30min",
        "path": str(tmp_path / "data"),
        "place": {"synchronous": ["use1"], "asynchronous": ["hpc"]},
        "service": service,
    }
    file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"llama": asset}}
    (tmp_path / "holdfast.yaml").write_text(json.dumps(file))

    def declared() -> DeclaredSites:
        return DeclaredSites(load_config(tmp_path / "holdfast.yaml"), environment)

    create(str(tmp_path / "use1"), environment=environment)
    saving = declared_save(declared(), "llama")
    saving.vault.save("llama", tmp_path / "data", committed=saving.committed)
    assert SiteFollower(declared(), [declared().asset("llama")]).run_round().settled

    plan = Recoveries(declared()).plan(Wanted("llama", to="hpc", isolated=True, target=str(tmp_path / "back")))
    (tmp_path / "plan.json").write_bytes(encode_plan_file(plan))
    killed = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli.main", "recover", "run", "plan.json", "--yes", "--quiet"],
        cwd=tmp_path,
        env=environment,
    )
    until(lambda: (tmp_path / "starts").exists() or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it was killed while it waited until the service is good"
    done = Recoveries(declared()).adopt(plan.run, "", lambda plan, progress: None)
    assert done.state.verdict == "PASSED" and done.state.taken == 2, done.state
    assert (tmp_path / "starts").read_text() == "hpc 0 of 1\n"
    assert dict(done.state.steps["wait-healthy-llama"].facts)["machines"] == 1
    until(lambda: cluster.node_state() == "idle")  # a rehearsal gives its machines back
