"""The demo as a user plays it: one command, real processes, a real loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.evidence.bundle import verify_evidence
from holdfast.evidence.record_outcome import ArrivalState, CheckResult, MomentKind, Outcome
from holdfast.objectives import State


def play(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli.main", "demo", "--dir", str(folder / "demo"), "--json", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_a_site_is_lost_in_mid_save_and_the_run_ends_bit_identical(tmp_path: Path) -> None:
    done = play(tmp_path, "--rpo", "5m", "--rto", "5m")  # the machine may be busy; the demo's own targets are tighter
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    record = verify_evidence(tmp_path / "demo/evidence").record

    assert told["bit_identical"] is True
    assert told["state"] == "MET"
    assert record.results.outcome is Outcome.PASSED
    assert all(check.result is CheckResult.PASSED for check in record.integrity.checks)
    proof = next(check for check in record.integrity.checks if check.name == "Final state bit-identical")
    assert proof.expected == proof.actual != ""

    # Nothing was promised that was not there: the recovery point had reached a surviving site before the fault.
    point = record.recovery_snapshot()
    fault = record.moment(MomentKind.FAULT)
    assert point is not None
    assert fault is not None
    arrived = {arrival.site: arrival for arrival in point.arrivals}
    assert arrived[record.results.recovery_site].state is ArrivalState.COMPLETE
    assert point.content_offset_seconds < fault.offset_seconds
    assert record.scenario.fault_step > point.step
    assert record.results.work_lost.steps == record.scenario.fault_step - point.step

    # The sites are gone, the evidence stays, and its page stands alone.
    assert not (tmp_path / "demo/sites").exists()
    page = (tmp_path / "demo/evidence/evidence.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
@pytest.mark.slow
def test_a_missed_objective_is_exit_9_and_in_the_evidence(tmp_path: Path) -> None:
    done = play(tmp_path, "--rto", "1ms")
    assert done.returncode == 9, done.stderr
    record = verify_evidence(tmp_path / "demo/evidence").record
    assert record.results.verdict.rto.state is State.MISSED
    assert record.results.outcome is Outcome.FAILED
    assert "MISSED" in json.loads(done.stdout)["headline"]


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/thesis.tex").write_text("precious")
    done = play(tmp_path, "--overwrite")
    assert done.returncode == 5
    assert (tmp_path / "demo/thesis.tex").read_text() == "precious"
    assert "--dir" in json.loads(done.stdout)["error"]["hint"]
