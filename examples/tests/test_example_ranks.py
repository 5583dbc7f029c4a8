"""The transformers example with two ranks (torchrun, gloo): killed, both resume; one hears a signal, both save."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import holdfast

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts the example with two ranks; what still runs at the end is ended."""
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    holdfast.create(tmp_path / "vault")
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
        example = [str(ROOT / "examples" / "hf_trainer.py"), "--vault", str(tmp_path / "vault")]
        with (tmp_path / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([*launcher, *example, *arguments], stdout=log, stderr=subprocess.STDOUT)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.wait(60)


def told(tmp_path: Path, name: str) -> str:
    return (tmp_path / f"{name}.log").read_text(errors="replace")


def ranks_of(launcher: int) -> dict[int, int]:
    """Rank → process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (place / "environ").read_bytes()
        except OSError:
            continue
        rank = re.search(rb"(?:^|\0)RANK=(\d+)\0", variables)
        if parent == launcher and rank is not None:
            found[int(rank[1])] = int(place.name)
    return found


def test_two_ranks_of_which_one_is_killed_resume_and_end_equal(tmp_path: Path, start) -> None:
    calm = start("calm", "--asset", "calm", "--output", f"{tmp_path}/a", "--result", f"{tmp_path}/calm")
    assert calm.wait(300) == 0, told(tmp_path, "calm")
    killed = start("killed", "--asset", "killed", "--output", f"{tmp_path}/b", "--kill-at", "13")
    assert killed.wait(300) != 0
    shutil.rmtree(tmp_path / "b")
    resumed = start("resumed", "--asset", "killed", "--output", f"{tmp_path}/b", "--result", f"{tmp_path}/resumed")
    assert resumed.wait(300) == 0, told(tmp_path, "resumed")
    before, after = (load_file(tmp_path / run / "model.safetensors") for run in ("calm", "resumed"))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    assert (tmp_path / "resumed/losses.json").read_bytes() == (tmp_path / "calm/losses.json").read_bytes()
    snapshot = holdfast.open(tmp_path / "vault").find("killed@validated")
    names = {os.fsdecode(entry.path) for entry in holdfast.open(tmp_path / "vault").files(snapshot)}
    assert {"rng_state_0.pth", "rng_state_1.pth", "circumstances.json"} <= names


def test_a_signal_that_one_rank_hears_lets_both_save_at_one_step(tmp_path: Path, start) -> None:
    output = tmp_path / "out"
    process = start("run", "--output", str(output), "--steps", "1000000", "--save-every", "1000000")
    deadline = time.monotonic() + 200
    while "'loss'" not in told(tmp_path, "run"):
        assert process.poll() is None and time.monotonic() < deadline, told(tmp_path, "run")
        time.sleep(0.2)
    ranks = ranks_of(process.pid)
    assert sorted(ranks) == [0, 1]
    os.kill(ranks[1], signal.SIGUSR1)
    vault = holdfast.open(tmp_path / "vault")
    while not (found := [one.root for one in vault.snapshots("llm") if one.root is not None]):
        assert process.poll() is None and time.monotonic() < deadline, told(tmp_path, "run")
        time.sleep(0.2)
    assert found[0].step is not None and found[0].step % 1000000
    names = {os.fsdecode(entry.path) for entry in vault.files(found[0])}
    assert {"rng_state_0.pth", "rng_state_1.pth", "trainer_state.json"} <= names
    lines = told(tmp_path, "run").count("'loss'")
    while told(tmp_path, "run").count("'loss'") <= lines:  # training goes on
        assert process.poll() is None and time.monotonic() < deadline, told(tmp_path, "run")
        time.sleep(0.2)
