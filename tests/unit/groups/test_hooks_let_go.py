"""Hooks that get late what nobody waits for any more, and machines without room for a temporary file."""

from __future__ import annotations

import importlib.util
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import FailedError, UsageError
from holdfast.training.groups import hooks
from holdfast.training.groups.barrier import run_of
from holdfast.training.groups.hooks import Hook, held


def test_a_function_that_gets_its_lock_too_late_gives_it_back() -> None:
    lock, events = threading.Lock(), []
    lock.acquire()

    def take() -> None:
        lock.acquire()
        events.append("held")

    def give() -> None:
        if events:
            lock.release()

    with pytest.raises(FailedError, match="cannot be stopped"), held([Hook("db", take, give, 0.1)]):
        pass
    lock.release()
    until = time.monotonic() + 5
    while time.monotonic() < until and (not events or lock.locked()):
        time.sleep(0.01)
    assert events == ["held"]
    assert not lock.locked()


def test_an_after_runs_where_no_temporary_file_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("guardian_alone", hooks._GUARDIAN)
    assert spec is not None and spec.loader is not None
    guardian: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guardian)

    def full(*_: object) -> None:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    one = guardian.Guardian()
    one.hooks = [{"name": "db", "before": [], "after": ["touch", str(tmp_path / "freed")], "seconds": 10}]
    one.one(0, "after")
    assert (tmp_path / "freed").exists()
    assert one.command(["false"], time.monotonic() + 10, None) == "exit code 1"


def test_starts_of_a_job_have_names_of_their_own() -> None:
    with pytest.raises(UsageError, match="nothing tells"):
        run_of({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "MASTER_PORT": "29500"})
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1", "TORCHELASTIC_RUN_ID": "none"}
    names = {
        run_of({**slurm, "SLURM_STEP_ID": step, "HOLDFAST_RESTART": start}) for step in ("0", "1") for start in "01"
    }
    assert len(names) == 4
