"""What Slurm says, and what it is told: scripts are run by a shell here, on nodes that are variables."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from holdfast.infra.compute.port import Launch
from holdfast.infra.compute.slurm_texts import (
    Job,
    ended_of,
    jobs_of,
    nodes_of,
    service_script,
    start_of,
    waiting_script,
)


@pytest.mark.parametrize(
    ("text", "gres", "found"),
    [
        ("idle|3|(null)\nmix|1|(null)\n", "", (3, 1)),
        ("idle~|2|gpu:h100:8(S:0-1)\nidle|4|(null)\n", "gpu:h100:8", (2, 0)),
        ("idle|2|gpu:h100:8\n", "gpu:h100", (2, 0)),
        ("idle|2|gpu:h1000:8\n", "gpu:h100", (0, 0)),
        ("idle*|5|(null)\ndrained|1|(null)\n", "", (0, 6)),
        ("garbage\nidle|-1|x\nidle|9999999999|x\n", "", (0, 0)),
    ],
)
def test_nodes_that_are_idle_count(text: str, gres: str, found: tuple[int, int]) -> None:
    assert nodes_of(text, gres) == found


def test_jobs_are_read_and_garbage_is_left_out() -> None:
    text = "7|RUNNING|2|holdfast-ab|None\nx|RUNNING|2|a|b\n8|PENDING|1|a|b|c\n\n9|FAILED\n"
    assert jobs_of(text) == [Job(7, "RUNNING", 2, "holdfast-ab", "None"), Job(8, "PENDING", 1, "a", "b|c")]


def test_the_start_that_is_foreseen_is_read() -> None:
    assert start_of("sbatch: Job 9 to start at 1970-01-03T00:00:00 using 2", 10**18) == 0
    assert start_of("to start at 2026-99-99T00:00:00", 0) is None and start_of("allocation failure", 0) is None


def _run(script: str, **more: str) -> str:
    given = {name: os.environ[name] for name in ("PATH",)} | more
    done = subprocess.run(["/bin/sh", "-c", script], env=given, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


def test_the_script_runs_exactly_the_command(tmp_path: Path) -> None:
    awkward = ("printf", "%s\\n", "it's {machine}", "$HOME `id`", "{machine}{machine}", "")
    given = {"TEXT": "a 'b' $c", "SLURM_JOB_ID": "7", "not-a-name": "x"}
    launch = Launch(asset="llama", command=awkward, folder=str(tmp_path), environment=given, first=2, of=4)
    assert _run(service_script(launch, 1, tmp_path / "ended")) == "it's 2\n$HOME `id`\n22\n\n"
    shown = Launch(asset="llama", command=("env",), folder=str(tmp_path), environment=given, first=2, of=4)
    lines = _run(service_script(shown, 1, tmp_path / "ended")).splitlines()
    assert "TEXT=a 'b' $c" in lines and {"HOLDFAST_MACHINE=2", "HOLDFAST_MACHINES=4"} <= set(lines)
    assert not [line for line in lines if line.startswith("SLURM_JOB_ID")]


@pytest.mark.parametrize(("command", "state"), [(("true",), "COMPLETED"), (("sh", "-c", "exit 3"), "FAILED")])
def test_a_job_writes_how_it_ended(tmp_path: Path, command: tuple[str, ...], state: str) -> None:
    launch = Launch(asset="llama", command=command, folder=str(tmp_path), environment={})
    script = service_script(launch, 1, tmp_path / "it's ended")
    done = subprocess.run(["/bin/sh", "-c", script], env={**os.environ, "SLURM_JOB_ID": "42"}, check=False, timeout=20)
    noted = ended_of((tmp_path / "it's ended").read_text(), 2)
    assert noted is not None and (noted.id, noted.state, noted.nodes) == (42, state, 2)
    assert done.returncode == (0 if state == "COMPLETED" else 3)
    for garbage in ("", "42", "x 0", "42 0 1", "42 -1", "9" * 40 + " 0"):
        assert ended_of(garbage, 1) is None


def test_a_signal_reaches_the_command_and_the_shell_notes_its_end(tmp_path: Path) -> None:
    """As `scancel --full` sends it: to all of the job. The command does what it does with it, also with INT."""
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        ended, ready = tmp_path / f"ended {name}", tmp_path / f"ready {name}"
        text = f"trap 'exit 7' {int(name)}; : > '{ready}'; while :; do sleep 0.05; done"
        launch = Launch(asset="llama", command=("sh", "-c", text), folder=str(tmp_path), environment={})
        script = service_script(launch, 1, ended)
        given = {**os.environ, "SLURM_JOB_ID": "7"}
        process = subprocess.Popen(["/bin/sh", "-c", script], env=given, start_new_session=True)
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, name)
        assert process.wait(20) == 7 and ended.read_text() == "7 7\n"


def test_on_several_nodes_each_knows_its_number(tmp_path: Path) -> None:
    """`srun` is played by a shell that runs what it gets on two nodes."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nshift 2\nfor SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done\n')
    srun.chmod(0o700)
    command = ("printf", "%s\\n", "it's {machine} of", "$HOLDFAST_MACHINES", "{machine}")
    launch = Launch(asset="llama", command=command, folder=str(tmp_path), first=1, of=3)
    said = _run(f"PATH={tmp_path}:$PATH; export PATH\n{service_script(launch, 2, tmp_path / 'ended')}")
    assert said.splitlines() == ["it's 1 of", "$HOLDFAST_MACHINES", "1", "it's 2 of", "$HOLDFAST_MACHINES", "2"]


def test_a_script_waits_until_it_is_told(tmp_path: Path) -> None:
    go = tmp_path / "it's/go.sh"
    go.parent.mkdir()
    process = subprocess.Popen(["/bin/sh", "-c", waiting_script(go)], stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    go.write_text("echo gone\n")
    assert process.communicate(timeout=20)[0] == b"gone\n"
