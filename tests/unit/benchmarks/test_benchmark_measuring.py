"""What measures, compares and tidies up; and one run of everything on a tiny workload, without peers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from benchmarks.entropy import folder_bounds, plane_bound
from benchmarks.measuring import CommandFailed, run
from benchmarks.trees import differences
from benchmarks.workload.tensors import read_safetensors, to_bfloat16, write_safetensors
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[3]


def test_a_run_is_timed_and_its_memory_seen() -> None:
    ran = run([sys.executable, "-c", "import time; x = b'x' * (300 << 20); time.sleep(0.2); print(len(x))"])
    assert ran.output.strip() == str(300 << 20)
    assert 0.2 <= ran.took["seconds"] < 30
    assert 300 << 20 <= ran.took["peak_bytes"] < 3 << 30


def test_a_failure_is_told_with_its_last_words() -> None:
    with pytest.raises(CommandFailed, match=r"python.* ended with 3: too bad"):
        run([sys.executable, "-c", "import sys; sys.stderr.write('too bad'); sys.exit(3)"])
    with pytest.raises(CommandFailed, match="cannot be run"):
        run(["/no/such/tool"])


def test_every_difference_between_trees_is_found(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        (root / "deep").mkdir(parents=True)
        (root / "deep/same").write_bytes(b"x" * 3_000_000)
        (root / "changed").write_bytes(b"y" * 3_000_000)
    assert differences(one, other) == []
    content = bytearray(b"y" * 3_000_000)
    content[-1] ^= 1
    (other / "changed").write_bytes(content)
    assert differences(one, other) == ["changed differs"]
    (one / "only").write_bytes(b"")
    assert differences(one, other) == ["only is missing", "changed differs"]
    assert differences(other, one) == ["only is too many", "changed differs"]


def test_bfloat16_is_rounded_as_the_format_says() -> None:
    import ml_dtypes

    values = np.random.default_rng(0).standard_normal(10_000, np.float32)
    values[:4] = [0.0, -0.0, np.float32(1 + 2**-8), np.inf]  # the third lies in the middle: ties to even
    assert (to_bfloat16(values) == values.astype(ml_dtypes.bfloat16).view(np.uint16)).all()


def test_files_of_tensors_are_readable_by_others(tmp_path: Path) -> None:
    arrays = {"a.weight": np.arange(12, dtype="f4").reshape(3, 4), "b": np.arange(5, dtype="i1")}
    write_safetensors(tmp_path / "x.safetensors", arrays)
    for found in (load_file(tmp_path / "x.safetensors"), read_safetensors(tmp_path / "x.safetensors")):
        assert all((found[name] == array).all() for name, array in arrays.items())


def test_the_entropy_bound_of_known_planes(tmp_path: Path) -> None:
    """One plane of one value, one of two values alike often: none and one bit each."""
    piece = np.zeros((800, 2), np.uint8)
    piece[::2, 1] = 7
    assert plane_bound(piece.reshape(-1), 2) == pytest.approx(100)
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
    assert plane_bound(noise, 4) == pytest.approx(noise.size, rel=0.001)
    write_safetensors(tmp_path / "x.safetensors", {"w": piece.reshape(-1).view("u2"), "exp_avg.w": noise.view("f4")})
    found = folder_bounds(tmp_path)
    assert found["groups"]["weights"] == {"bytes": 1600, "bound": pytest.approx(100)}
    assert found["bytes"] == (tmp_path / "x.safetensors").stat().st_size


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No peers: neither an environment of theirs, nor anything on PATH but what the system's own tools need."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cp", "find", "sync"):
        path = next(Path(folder) / name for folder in ("/bin", "/usr/bin") if (Path(folder) / name).exists())
        (tools / name).symlink_to(path)
    (tmp_path / "ram").mkdir()
    (tmp_path / "disk").mkdir()
    return {**os.environ, "PATH": str(tools), "HOLDFAST_BENCH_PEERS": str(tmp_path / "nobody")}


def benchmarks(tmp_path: Path) -> list[str]:
    places = ["--folder", str(tmp_path / "ram"), "--disk", str(tmp_path / "disk")]
    return [sys.executable, "-m", "benchmarks", "--plan", "tiny", "--results", str(tmp_path / "results.json"), *places]


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_whole_run_without_peers(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [*benchmarks(tmp_path), "--only", "lora", "--only", "durable", "--workload", str(tmp_path / "workload")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    lora = results["cases"]["lora"]
    assert set(lora["tools"]) == {"holdfast", "cp + fsync"}
    assert "restic" in lora["absent"]
    own = lora["tools"]["holdfast"]
    assert own["errors"] == []
    assert 0 < own["stored_next"][0] < lora["next_bytes"]
    assert all(took[0]["seconds"] > 0 for took in own["operations"].values())
    assert "cp + fsync" in done.stdout
    assert str(tmp_path) not in json.dumps(results)
    assert list((tmp_path / "ram").iterdir()) == list((tmp_path / "disk").iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, environment: dict[str, str]) -> None:
    # A session of its own: like Ctrl-C in a terminal, the signal goes to all of its processes.
    process = subprocess.Popen(
        benchmarks(tmp_path), cwd=ROOT, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "ram").glob("*/workload")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=180)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 130, errors
    assert list((tmp_path / "ram").iterdir()) == list((tmp_path / "disk").iterdir()) == []
