"""examples/training_loop.py trains, is killed, and ends as if it had not been."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

EXAMPLE = Path(__file__).parents[2] / "examples" / "training_loop.py"


def run_here(vault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--vault", vault])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_the_example_is_killed_and_ends_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    vaults = {}
    for name in ("undisturbed", "killed"):
        monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / f"{name}.key"))
        vaults[name] = holdfast.create(tmp_path / name).url
    killed = subprocess.run(
        [sys.executable, str(EXAMPLE), "--vault", vaults["killed"], "--kill-at", "25"], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    resumed = run_here(vaults["killed"], monkeypatch, capsys)
    assert resumed[0] == "goes on from step 20"
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "undisturbed.key"))
    undisturbed = run_here(vaults["undisturbed"], monkeypatch, capsys)
    assert undisturbed[0] == "begins"
    assert resumed[-1] == undisturbed[-1]
    assert "step 40 is durable" in resumed[-1]
