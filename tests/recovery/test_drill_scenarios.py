"""A drill of each scenario, small, in a trial from nothing: what was broken bit, and what came back is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.control.drilling.listing import find_outcome
from holdfast.control.drilling.sandboxes import run_sandbox
from holdfast.drills.lever import drills_home
from holdfast.drills.outcomes import DrillOutcome
from holdfast.drills.scenarios.catalogue import SCENARIOS
from holdfast.evidence.record_outcome import CheckResult, Outcome
from holdfast.objectives import NotMeasured, State

_ALL = bool(os.environ.get("HOLDFAST_ALL_DRILLS"))  # `make drills`
_ELSEWHERE = ("store-lost",)  # `make test` runs it on copies of a declared asset: test_a_declared_drill_on_copies


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def _drilled(scenario: str, home: Path, **options: str) -> DrillOutcome:
    told: list[str] = []
    outcome = run_sandbox(scenario, told=told.append, **options)  # type: ignore[arg-type]
    assert told[-1].startswith(("all that it made is removed", "left over"))
    assert find_outcome(os.environ, outcome.id) == outcome
    return outcome


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if _ALL or one not in _ELSEWHERE])
def test_each_scenario_passes_and_is_measured(scenario: str, home: Path) -> None:
    outcome = _drilled(scenario, home)
    facts = outcome.facts
    assert outcome.state is Outcome.PASSED, facts.why
    assert facts.faults and all(one.bit is True and one.evidence for one in facts.faults)
    assert facts.detections and facts.detections[0].at.at_ns >= facts.faults[0].at.at_ns
    assert all(one.outcome is Outcome.PASSED for one in facts.phases)
    assert facts.checks and all(one.result is CheckResult.PASSED for one in facts.checks)
    assert facts.source_count == facts.compared_count and facts.checks[0].expected == facts.checks[0].actual != ""
    assert outcome.verdict.rto.state is State.MET and not isinstance(outcome.measured.split.total, NotMeasured)
    stale = scenario == "replica-stale"
    assert outcome.verdict.rpo.state is (State.MISSED if stale else State.MET)
    assert outcome.exit_code == (9 if stale else 0)
    assert isinstance(facts.work_lost.steps, int) and facts.work_lost.steps >= (1 if not stale else 2)
    assert outcome.runs and outcome.evidence and not outcome.evidence_problem
    assert not facts.clean_up.left and not (drills_home(os.environ) / outcome.id / "trial").exists()
    _PARTICULAR.get(scenario, lambda found: None)(outcome)


def _round_trip(outcome: DrillOutcome) -> None:
    names = [one.name for one in outcome.facts.phases]
    assert names == ["fault", "failover", "reprotect", "reverse", "reprotect again"]
    assert outcome.measured.copies == 3 and outcome.verdict.copies.state is State.MET


def _walked_back(outcome: DrillOutcome) -> None:
    assert any("quarantined" in one for one in outcome.facts.deviations)
    assert next(one for one in outcome.facts.phases if one.name == "failover").detail.startswith("step 10")


def _refused(outcome: DrillOutcome) -> None:
    refusal = next(one for one in outcome.facts.phases if one.name == "refusal")
    assert "3 intervals" in refusal.detail


def _absent(outcome: DrillOutcome) -> None:
    assert [one.name for one in outcome.facts.absent] == ["approver"]
    assert "approval" in next(one for one in outcome.facts.phases if one.name == "absence").detail


def _adopted(outcome: DrillOutcome) -> None:
    assert [one.what for one in outcome.facts.faults][1].startswith("the control plane is killed")
    assert len(outcome.facts.faults) == 3  # and a site with a third of the journal


def _shares(outcome: DrillOutcome) -> None:
    assert any("2 of 3 shares" in one.name for one in outcome.facts.checks)


def _slow(outcome: DrillOutcome) -> None:
    assert outcome.facts.faults[-1].real == (os.geteuid() == 0)  # a line of its own, or a throttle that stands for it
    split = outcome.measured.split
    assert isinstance(split.execute, float) and split.execute > 0.5


_PARTICULAR = {
    "site-lost": _round_trip,
    "snapshot-corrupt": _walked_back,
    "replica-stale": _refused,
    "person-absent": _absent,
    "control-plane-killed": _adopted,
    "keys-lost": _shares,
    "slow-network": _slow,
}


if _ALL:  # what of it is the drill's own is tried without a recovery in tests/unit/drills/test_drill_ends.py

    def test_content_that_differs_makes_it_fail(home: Path) -> None:
        outcome = _drilled("store-lost", home, plant="wrong-checksum")
        assert outcome.state is Outcome.FAILED and "differs from the undamaged source" in outcome.facts.why
        assert outcome.exit_code == 1 and outcome.verdict.rpo.state is State.NOT_MEASURED
        assert [one.result for one in outcome.facts.checks] == [CheckResult.FAILED]
        assert outcome.facts.findings and not outcome.facts.clean_up.left

    _PLANTED = [("stale-replica", "STALE_REPLICA"), ("missing-capacity", "machines")]
    _PLANTED += [("expired-approval", "approval"), ("approver-is-initiator", "cannot approve it")]

    @pytest.mark.parametrize(("plant", "reason"), _PLANTED)
    def test_what_must_be_refused_is_and_the_drill_fails_with_that_reason(plant: str, reason: str, home: Path) -> None:
        outcome = _drilled("site-lost", home, plant=plant)
        assert outcome.state is Outcome.FAILED and reason in outcome.facts.why
        assert [one.outcome for one in outcome.facts.phases] == [Outcome.PASSED, Outcome.FAILED]
        assert outcome.verdict.rpo.state is State.NOT_MEASURED and not outcome.facts.clean_up.left

    def test_a_drill_that_breaks_nothing_is_an_error_and_says_nothing_of_the_recovery(home: Path) -> None:
        outcome = _drilled("person-absent", home, plant="fault-that-does-not-bite")
        assert outcome.state is Outcome.ERROR and "did not bite" in outcome.facts.why
        assert outcome.facts.faults[0].bit is False and outcome.verdict.rto.state is State.NOT_MEASURED
        assert not outcome.runs and not outcome.facts.clean_up.left

    def test_what_cannot_be_cleared_away_is_an_error_and_said(home: Path) -> None:
        outcome = _drilled("store-lost", home, plant="clean-up-that-fails")
        assert outcome.state is Outcome.ERROR and "not all could be cleared away" in outcome.facts.why
        [left] = outcome.facts.clean_up.left
        assert "does not bear the mark" in left and (drills_home(os.environ) / outcome.id / "trial").exists()
