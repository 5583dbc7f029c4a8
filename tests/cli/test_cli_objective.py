"""`objective status`: the interval of a run explained, restores counted as failures, an RPO that is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

import holdfast
from holdfast.clock import ManualClock
from holdfast.objectives.intervals import daly
from holdfast.training.intervals import Interval, SaveCost, estimate_rate, given_rate

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1}}}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4}}}}
assets:
  llama: {{class: development, rpo: {rpo}, place: {{synchronous: [use1]}}}}
  other: {{class: development, place: {{synchronous: [{other}]}}}}
"""


def _declare(folder: Path, rpo: str = "15min", other: str = "use1") -> None:
    (folder / "holdfast.yaml").write_text(_FILE.format(folder=folder, rpo=rpo, other=other))


@pytest.fixture
def declared(terminal: Terminal) -> Terminal:
    terminal.ok("vault", "create", terminal.folder / "use1")
    _declare(terminal.folder)
    return terminal


def _save(terminal: Terminal, step: int, interval: Interval) -> None:
    """As a saver does: the snapshot holds what the interval was when it was made."""
    write_checkpoint(terminal.folder / "ckpt", step)
    vault = holdfast.open(terminal.folder / "use1")
    vault.save("llama", terminal.folder / "ckpt", step=step, metadata=interval.metadata())


def _one(terminal: Terminal, code: int = 0, *arguments: str) -> dict[str, Any]:
    said = terminal.json("objective-status", "objective", "status", "--asset", "llama", *arguments, code=code)
    [facts] = said["assets"]
    return dict(facts)


def test_a_run_s_interval_is_explained(declared: Terminal) -> None:
    interval = Interval(rpo_seconds=900, mtbf_seconds=86_400, clock=ManualClock())
    interval.saved(SaveCost(stopped_seconds=1.0, slowed_seconds=0.5, durable_seconds=20.0))
    _save(declared, 100, interval)
    facts = _one(declared)
    assert facts["state"] == "MET" and facts["step"] == 100 and facts["decided_by"] == "cost"
    assert facts["interval_seconds"] == pytest.approx(daly(1.5, 86_400) + 1.5)
    assert facts["cost"] == {"stopped_seconds": 1.0, "slowed_seconds": 0.5, "durable_seconds": 20.0, "saves": 1}
    assert facts["planned_with"]["source"] == "given" and facts["observed"]["source"] == "bound"
    _declare(declared.folder, rpo="2min")  # the class became stricter: that counts at once
    tight = _one(declared)
    assert (tight["decided_by"], tight["interval_seconds"]) == ("rpo", 100.0) and tight["overhead"] > facts["overhead"]
    said = declared.ok("objective", "status", "--asset", "llama")
    assert said.fact("interval") == "1 min 40 s, decided by the RPO"
    assert "as the run was told" in said.fact("failures") and "none in" in said.fact("seen here")
    assert max(map(len, said.out.splitlines())) <= 80
    assert said.last.startswith("1 asset: 0 missed, 0 not to be seen, ")


def test_restores_are_failures_and_their_confidence_is_told(declared: Terminal) -> None:
    interval = Interval(at_most=600, clock=ManualClock())
    interval.saved(SaveCost(stopped_seconds=0.001, durable_seconds=0.01))
    _save(declared, 100, interval)
    for _ in range(2):  # the second one is of the same incident
        declared.ok("restore", "llama", "back", "--overwrite")
    declared.ok("restore", "llama", "drill", "--rehearsal")
    facts = _one(declared)
    assert facts["observed"]["source"] == "estimated" and facts["observed"]["failures"] == 1
    assert facts["observed"]["mtbf_low_seconds"] < facts["observed"]["mtbf_seconds"]
    assert facts["observed"]["mtbf_seconds"] < facts["observed"]["mtbf_high_seconds"]
    assert facts["decided_by"] == "cost" and facts["planned_with"] == facts["observed"]
    assert "1 restore in" in declared.ok("objective", "status", "--asset", "llama").fact("failures")


def test_an_rpo_that_cannot_be_kept(declared: Terminal) -> None:
    interval = Interval(rpo_seconds=900, rate=given_rate(86_400), clock=ManualClock())
    interval.saved(SaveCost(stopped_seconds=1.0, durable_seconds=600.0))
    _save(declared, 100, interval)
    facts = _one(declared)
    assert facts["decided_by"] == "saving" and facts["attainable"] is False
    assert "THE RPO CANNOT BE KEPT" in declared.ok("objective", "status", "--asset", "llama").fact("interval")


def test_what_was_not_measured_says_so(declared: Terminal) -> None:
    facts = _one(declared)
    assert facts["state"] == "NOT_MEASURED" and facts["newest"] is None and facts["cost"] is None
    write_checkpoint(declared.folder / "ckpt", 1)
    declared.ok("snapshot", "save", "ckpt", "--asset", "llama", "--meta", "interval={garbage")
    facts = _one(declared)
    assert facts["state"] == "MET" and facts["cost"] is None
    assert "NOT_MEASURED" in declared.ok("objective", "status", "--asset", "llama").fact("a save costs")
    _declare(declared.folder, rpo="1ms")
    assert _one(declared, 9, "--check")["state"] == "MISSED"
    assert _one(declared)["state"] == "MISSED"


def test_a_home_that_is_not_there_hides_no_other_asset(declared: Terminal) -> None:
    _declare(declared.folder, other="euw4")
    said = declared.json("objective-status", "objective", "status", code=8)
    assert [(one["asset"], one["trouble"] is None) for one in said["assets"]] == [("llama", True), ("other", False)]
    assert declared.run("objective", "status", "--asset", "nothing").code == 3


def test_confidence_narrows() -> None:
    few, many = estimate_rate(2, 1e6), estimate_rate(200, 1e8)
    assert few.high is not None and few.low is not None and many.high is not None and many.low is not None
    assert few.high / few.low > 10 > 1.5 > many.high / many.low
