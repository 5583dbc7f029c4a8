"""`dcp_fsdp2.py`: trained by two ranks, killed, and gone on with by three."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import holdfast

EXAMPLE = Path(__file__).parents[1] / "dcp_fsdp2.py"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))


def ranks(world: int, vault: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    return subprocess.Popen(
        [*command, str(EXAMPLE), str(vault), "--steps", str(steps)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_it_is_killed_and_goes_on_with_other_ranks(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    first = ranks(2, vault, 1_000_000)
    try:
        for _ in range(600):
            time.sleep(0.1)
            assert first.poll() is None, first.communicate()[0]
            if len(list((vault / "snapshots").glob("*/*"))) >= 2:
                break
    finally:
        workers = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(workers[-1]), signal.SIGKILL)  # one rank, in the middle of something; torchrun ends the other
        first.communicate(timeout=120)
    newest = holdfast.open(str(vault)).find("example")
    said, _ = (second := ranks(3, vault, 5)).communicate(timeout=300)
    assert second.returncode == 0, said
    begun = int(said.partition("began at step ")[2].partition(",")[0])
    assert begun >= (newest.step or 0) + 1 and begun % 5 == 0
    assert (holdfast.open(str(vault)).find("example@validated").step or 0) >= begun
