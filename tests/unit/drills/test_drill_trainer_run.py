"""The trainer as a process: it learns, repeats itself to the bit, resumes, and stops when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from holdfast.drills.trainer import complete_checkpoints, final_digest, read_heartbeat

STEPS = 60


def command(folder: Path, *options: str) -> list[str]:
    fixed = [sys.executable, "-m", "holdfast.drills.trainer", "--dir", str(folder), "--seed", "3"]
    return [*fixed, *options]


def run(folder: Path, *options: str) -> list[dict[str, float]]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}  # the trainer has to pin this itself
    done = subprocess.run(command(folder, *options), capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("reference")
    return folder, run(folder, "--steps", str(STEPS), "--every", "20")


def test_the_loss_falls(reference: tuple[Path, list[dict[str, float]]]) -> None:
    losses = [line["loss"] for line in reference[1]]
    assert len(losses) == STEPS
    assert losses[0] == pytest.approx(5.545, abs=0.01)  # ln 256
    assert sum(losses[-10:]) / 10 < 3.5


def test_lines_and_heartbeat_tell_the_same(reference: tuple[Path, list[dict[str, float]]]) -> None:
    folder, lines = reference
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert all(line["seconds"] > 0 for line in lines)
    beat = read_heartbeat(folder / "heartbeat.json")
    assert (beat.step, beat.loss) == (STEPS, lines[-1]["loss"])


def test_checkpoints_are_complete_and_readable_by_others(reference: tuple[Path, list[dict[str, float]]]) -> None:
    folder, lines = reference
    assert [path.name for path in complete_checkpoints(folder)] == ["step-20", "step-40", "step-60"]
    marker = json.loads((folder / "step-40/trainer_state.json").read_text())
    assert (marker["step"], marker["global_step"], marker["loss"]) == (40, 40, lines[39]["loss"])
    weights = load_file(folder / "step-40/model.safetensors")
    moments = load_file(folder / "step-40/optimizer.safetensors")
    assert set(moments) == {f"{prefix}.{name}" for prefix in ("exp_avg", "exp_avg_sq") for name in weights}
    size = sum(path.stat().st_size for path in (folder / "step-40").iterdir())
    assert 15e6 < size < 25e6


def test_a_resumed_run_ends_with_the_same_bits(reference: tuple[Path, list[dict[str, float]]], tmp_path: Path) -> None:
    folder, lines = reference
    resume = ["--resume", str(folder / "step-40")]
    resumed = run(tmp_path, "--steps", str(STEPS), "--every", "100", *resume)
    assert [(line["step"], line["loss"]) for line in resumed] == [(line["step"], line["loss"]) for line in lines[40:]]
    assert final_digest(tmp_path / f"step-{STEPS}") == final_digest(folder / f"step-{STEPS}")
    assert final_digest(folder / "step-40") != final_digest(folder / "step-60")


def test_a_second_run_repeats_the_first_and_another_seed_does_not(
    reference: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    folder, _ = reference
    run(tmp_path / "same", "--steps", "20", "--every", "20")
    run(tmp_path / "other", "--steps", "20", "--every", "20", "--seed", "4")
    expected = final_digest(folder / "step-20")
    assert final_digest(tmp_path / "same/step-20") == expected
    assert final_digest(tmp_path / "other/step-20") != expected


def test_sigterm_ends_the_step_and_exits_with_zero(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "--steps", "1000", "--every", "1000", "--pace", "30"), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert first["step"] == 1
    assert rest == ""  # it did not wait out its pace, nor begin another step
    assert read_heartbeat(tmp_path / "heartbeat.json").step == 1
    assert complete_checkpoints(tmp_path) == []


def test_pace_is_the_least_time_of_a_step(tmp_path: Path) -> None:
    started = time.monotonic()
    run(tmp_path, "--steps", "3", "--every", "5", "--pace", "0.4")
    assert time.monotonic() - started >= 1.2
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["step-3"]  # the last one is always saved


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--resume", "nowhere/step-1"], 3, "nowhere/step-1/trainer_state.json does not exist"),
        (["--seed", "-1"], 2, "-1 is not a seed"),
        (["--every", "0"], 2, "must be at least 1"),
        (["--pace", "-1"], 2, "between 0 and 3600"),
    ],
)
def test_a_call_that_cannot_work_says_why(tmp_path: Path, options: list[str], code: int, message: str) -> None:
    call = command(tmp_path, "--steps", "2", "--every", "1", *options)
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
