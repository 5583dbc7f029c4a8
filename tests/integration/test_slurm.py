"""`train-exec` under a real Slurm (slurmctld, slurmd and munged of Debian's packages, one node, this machine).

The short trial is for every run of the tests; `make drill-slurm` plays the time limit, which Slurm looks at every 30 s,
and the loss of the node, which takes it half a minute to notice.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.control.vaults.opening import create
from holdfast.errors import MissingExtraError
from holdfast.testing.slurm import SlurmCluster
from holdfast.training.executing import events
from holdfast.vault.vault import Vault

TRAINER = Path(__file__).parents[1] / "recovery/tiny_trainer.py"
SECONDS_MAX = 180.0
KEPT = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PATH", "HOME")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SlurmCluster]:
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs as other users: it needs root")
    try:
        with SlurmCluster(tmp_path / "slurm") as cluster:
            yield cluster
    except MissingExtraError as error:
        pytest.fail(f"{error.message}; {error.hint}: tools/setup dev does that")


class Job:
    """A training of many short steps as a job: a folder that every start loses, and a vault that stays."""

    def __init__(self, cluster: SlurmCluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self.folder = folder
        for name in ("STATE", "CACHE", "CONFIG"):
            monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        self.vault: Vault = create(str(folder / "vault")).vault
        self.id = ""

    def submit(self, steps: int, exec_options: list[str], *options: str, trainer: tuple[str, ...] = ()) -> None:
        """Each start of the job finds an empty folder: as on another node, with its own disk."""
        runs = self.folder / "runs-$SLURM_RESTART_COUNT"
        executed = [sys.executable, "-m", "holdfast.cli.main", "train-exec", "--vault", str(self.folder / "vault")]
        executed += [
            "--asset",
            "m",
            "--settle",
            "100ms",
            "--interval",
            "100ms",
            "--events",
            str(self.folder / "events"),
        ]
        trained = [sys.executable, "-S", str(TRAINER), "--steps", str(steps), *trainer]
        script = "#!/bin/sh\n"
        script += "".join(f"export {name}={shlex.quote(os.environ[name])}\n" for name in KEPT if name in os.environ)
        script += f'mkdir -p "{runs}"\n'
        trained += ["--memory", str(self.folder)]
        script += f'exec {shlex.join([*executed, *exec_options])} --checkpoints "{runs}" '
        script += f'-- {shlex.join(trained)} --dir "{runs}"\n'
        output = f"--output={self.folder}/out-%j.txt"
        self.id = self.cluster.submit(script, output, "--open-mode=append", "--requeue", "--export=NONE", *options)

    def events(self, kind: type[Any]) -> list[Any]:
        file = self.folder / "events"
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        decoded = [msgspec.json.decode(line, type=events.ExecEvent) for line in lines if line.endswith(b"\n")]
        return [event for event in decoded if isinstance(event, kind)]

    def said(self) -> str:
        return (self.folder / f"out-{self.id}.txt").read_text()

    def until(self, kind: type[Any], count: int = 1) -> Any:
        """The event of that kind with that number. A job that waits for its turn again is given it at once."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            found = self.events(kind)
            if len(found) >= count:
                return found[count - 1]
            if self.cluster.state(self.id) == "PENDING":
                self.cluster.hurry(self.id)
            time.sleep(0.2)
        raise AssertionError(f"no {kind.__name__} number {count}: {self.said()}")

    def wait_for_start(self, restart: int) -> None:
        """Until the trainer of that start of the job has set up its handlers for signals."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (self.folder / f"runs-{restart}/starts").exists():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)


def _expected(steps: int) -> bytes:
    state = bytes(32)
    for step in range(1, steps + 1):
        state = hashlib.sha256(state + step.to_bytes(8, "big")).digest()
    return state


def _final(job: Job) -> bytes:
    [final] = job.folder.glob("runs-*/final")
    return final.read_bytes()


@pytest.fixture
def job(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(cluster, tmp_path, monkeypatch)


def test_a_job_is_requeued_after_a_death_and_goes_on_from_the_vault(job: Job) -> None:
    """A death that may be recovered from, SIGUSR1 to the batch script as `--signal=B:USR1@N` sends it, and the end."""
    gate = job.folder / "gate"
    trainer = ("--every", "20", "--on-usr1", "--fault=SIGKILL@30", "--wait-at", "50", "--gate", str(gate))
    job.submit(70, ["--requeue-on", "SIGKILL", "--after-notice", "requeue"], trainer=trainer)
    first = job.until(events.Requeued)
    assert first.job == job.id
    job.until(events.Started, 2)
    job.wait_for_start(1)
    job.cluster.command("scancel", "--batch", "--signal=USR1", job.id)
    job.until(events.Requeued, 2)
    gate.touch()
    job.until(events.Started, 3)
    job.cluster.wait_for(job.id, "COMPLETED", seconds=SECONDS_MAX)
    assert job.cluster.fact(job.id, "Restarts") == "2"
    resuming = job.events(events.Resuming)
    assert [one.checkpoint and one.checkpoint.step for one in resuming] == [None, 20, 50]
    assert [one.restored for one in resuming] == [False, True, True]
    assert _final(job) == _expected(70)


@pytest.mark.slow
@pytest.mark.skipif(
    "HOLDFAST_DRILL_SLURM" not in os.environ, reason="make drill-slurm: Slurm's own clocks take minutes"
)
def test_the_time_limit_warns_and_the_job_goes_on_after_it(job: Job) -> None:
    gate = job.folder / "gate"
    trainer = ("--every", "50", "--on-usr1", "--wait-at", "70", "--gate", str(gate))
    job.submit(100, ["--after-notice", "requeue"], "--time=1", "--signal=B:USR1@30", trainer=trainer)
    job.until(events.Requeued)
    gate.touch()
    job.until(events.Started, 2)
    job.cluster.wait_for(job.id, "COMPLETED", seconds=SECONDS_MAX)
    assert [one.checkpoint.step for one in job.events(events.Resuming)[1:]] == [70]
    assert [one.signal for one in job.events(events.Signalled)][:1] == ["SIGUSR1"]
    assert _final(job) == _expected(100)


@pytest.mark.slow
@pytest.mark.skipif(
    "HOLDFAST_DRILL_SLURM" not in os.environ, reason="make drill-slurm: Slurm's own clocks take minutes"
)
def test_a_lost_node_and_a_preemption_lose_no_more_than_what_was_not_saved(job: Job) -> None:
    gate = job.folder / "gate"
    trainer = ("--every", "20", "--on-term", "save", "--wait-at", "50", "--gate", str(gate))
    job.submit(70, ["--requeue-on", "SIGTERM", "--grace", "60s"], trainer=trainer)
    job.until(events.Saved, 2)
    job.cluster.kill_node()
    job.cluster.start_node()
    job.until(events.Started, 2)
    job.wait_for_start(1)
    job.cluster.command("scancel", "--batch", "--signal=TERM", job.id)
    job.until(events.Requeued)
    gate.touch()
    job.until(events.Started, 3)
    job.cluster.wait_for(job.id, "COMPLETED", seconds=SECONDS_MAX)
    assert [one.checkpoint.step for one in job.events(events.Resuming)[1:]] == [40, 50]
    assert _final(job) == _expected(70)


@pytest.mark.slow
@pytest.mark.skipif(
    "HOLDFAST_DRILL_SLURM" not in os.environ, reason="make drill-slurm: Slurm's own clocks take minutes"
)
def test_an_exit_code_that_slurm_knows_requeues_without_a_call(job: Job) -> None:
    job.submit(
        40, ["--requeue-on", "SIGKILL", "--requeue-by", "exit:99"], trainer=("--every", "10", "--fault=SIGKILL@25")
    )
    job.until(events.Requeued)
    job.until(events.Started, 2)
    job.cluster.wait_for(job.id, "COMPLETED", seconds=SECONDS_MAX)
    assert [event.checkpoint.step for event in job.events(events.Resuming)[1:]] == [20]
    assert _final(job) == _expected(40)
