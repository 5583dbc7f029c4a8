"""From a journal to a record: where each figure is from, what nobody measured, and what went otherwise than planned."""

from __future__ import annotations

import msgspec
import pytest
from runs import (
    PLANE,
    RUN,
    SECOND,
    SNAPSHOT,
    START,
    Said,
    example_drill,
    example_plan,
    example_run,
    example_setting,
    instant,
    usual_course,
)

from holdfast.errors import RefusedError
from holdfast.evidence.chain import chain_problems, decode_journal, journal_file
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.encoding import decode_record, encode_record
from holdfast.evidence.headline import headline_of
from holdfast.evidence.record_outcome import CheckResult, ClockKind, Deviation, DeviationKind, MomentKind, Outcome
from holdfast.evidence.record_setting import Disruption, Environment, Exercise, RunKind
from holdfast.evidence.recording import record_of
from holdfast.objectives import NOT_MEASURED, State
from holdfast.recovery.journal.entries import Deed

change = msgspec.structs.replace


def test_a_drill_measures_the_whole_rto_from_its_clock_and_the_journal() -> None:
    record = record_of(example_run(), example_setting(), example_drill())
    assert contradictions(record) == []
    split = record.results.measured.split
    assert [value for _, value in split.parts()] == pytest.approx([0.5, 3.5, 5.0, 0.0])
    assert record.results.verdict.rto.measured == pytest.approx(9.0)
    assert record.results.verdict.rpo.measured == pytest.approx(61.0)
    assert record.results.verdict.state is State.MET and record.results.outcome is Outcome.PASSED
    assert record.results.work_lost.steps == 7  # 87 when the fault struck, 80 in the recovery point
    assert record.identity.kind is RunKind.DRILL and record.identity.drill_name == "monthly"
    assert record.moment(MomentKind.FAULT).clock is ClockKind.MONOTONIC  # type: ignore[union-attr]
    assert record.moment(MomentKind.DECIDED).clock is ClockKind.WALL  # type: ignore[union-attr]
    sources = {one.figure: one.source for one in record.results.origins}
    assert sources["RTO: detect"] == "the monotonic clock of the drill"
    assert sources["RTO: decide"] == "the drill's clock and the journal's wall clock"
    assert headline_of(record).state is State.MET


def test_a_recovery_without_a_time_of_the_fault_measures_neither_rto_nor_rpo() -> None:
    record = record_of(example_run(), example_setting())
    assert contradictions(record) == []
    verdict = record.results.verdict
    assert (verdict.rpo.state, verdict.rto.state, verdict.copies.state) == ("NOT_MEASURED", "NOT_MEASURED", "MET")
    assert record.results.outcome is Outcome.PASSED
    assert record.identity.environment is Environment.PRODUCTION
    assert record.identity.exercise is Exercise.FULL_INTERRUPTION
    assert record.results.recovery_point == SNAPSHOT and record.results.points[0].rejected[0].why.startswith("a pack")
    assert all(moment.clock is ClockKind.WALL for moment in record.timeline)
    people = {person.role: person.name for person in record.people}
    assert people["asked for it"] == "keeper" and people["approved"] == "ann"
    assert record.scenario.disruption is Disruption.SITE


def test_each_step_has_its_times_and_the_hash_of_its_result() -> None:
    record = record_of(example_run(), example_setting())
    restore = record.steps[1]
    assert (restore.step, restore.state, restore.attempts) == ("restore-run", "done", 1)
    assert restore.seconds == pytest.approx(3.0) and restore.estimate_seconds == 3.0
    assert len(restore.result_sha256) == 64 and len({row.result_sha256 for row in record.steps}) == 4
    assert record.results.predicted is not None
    assert record.results.predicted.seconds == pytest.approx(5.0)
    assert record.results.predicted.compared_seconds == pytest.approx(5.0)


def test_a_failed_run_recovers_nothing_and_says_what_it_took_back() -> None:
    said: list[Said] = [
        (5.0, Deed.TAKEN, {"text": "started"}),
        (5.0, Deed.BEGUN, {"step": "fence-run", "attempt": 1}),
        (5.5, Deed.DONE, {"step": "fence-run", "attempt": 1}),
        (5.5, Deed.BEGUN, {"step": "restore-run", "attempt": 1}),
        (6.0, Deed.FAILED, {"step": "restore-run", "attempt": 1, "text": "no answer", "facts": {"retry": True}}),
        (8.0, Deed.BEGUN, {"step": "restore-run", "attempt": 2}),
        (8.5, Deed.FAILED, {"step": "restore-run", "attempt": 2, "text": "damage", "facts": {"retry": False}}),
        (8.6, Deed.UNDOING, {"step": "restore-run"}),
        (8.7, Deed.UNDONE, {"step": "restore-run"}),
        (8.8, Deed.ENDED, {"text": "FAILED", "facts": {"problems": "a is failed", "not_taken_back": ""}}),
    ]
    record = record_of(example_run(said), example_setting())
    assert contradictions(record) == []
    assert record.results.outcome is Outcome.FAILED and record.results.recovery_point == ""
    assert not record.results.measured.restored
    assert record.integrity.checks[0].result is CheckResult.NOT_MEASURED
    kinds = [one.kind for one in record.deviations if isinstance(one, Deviation)]
    assert kinds == [DeviationKind.FAILED, DeviationKind.RETRIED, DeviationKind.FAILED, DeviationKind.UNDONE]
    assert record.clean_up.left == ("a is failed",)
    [finding] = record.findings
    assert finding.severity == "critical" and finding.subject == "outcome" and finding.owner == "keeper"
    assert record.steps[3].state == "not begun" and record.steps[3].seconds is NOT_MEASURED


def test_skipping_adopting_and_clocks_that_go_back_are_deviations() -> None:
    course = usual_course()
    other = "plane:ffeeddccbbaa9988"
    said: list[Said] = [
        *course[:4],
        (5.6, Deed.SKIPPED, {"by": "ann", "step": "promote-run", "text": "it is done by hand"}),
        (5.1, Deed.TAKEN, {"by": other, "text": "adopted"}),
        (5.7, Deed.DONE, {"step": "restore-run", "attempt": 1}),
        (5.8, Deed.ENDED, {"by": other, "text": "STOPPED"}),
    ]
    record = record_of(example_run(said), example_setting())
    assert contradictions(record) == []
    found = {one.kind: one for one in record.deviations if isinstance(one, Deviation)}
    assert {"skipped", "adopted", "clock", "ignored"} <= set(found)
    assert found[DeviationKind.SKIPPED].by == "ann" and "by hand" in found[DeviationKind.SKIPPED].text
    assert found[DeviationKind.IGNORED].by == PLANE


def test_a_fault_after_its_detection_is_invalid_and_never_met() -> None:
    drill = example_drill(detections=(change(example_drill().detections[0], at=instant(0.5)),))
    record = record_of(example_run(), example_setting(), drill)
    assert record.results.verdict.rto.state is State.INVALID


def test_a_rehearsal_says_that_nothing_failed() -> None:
    intent = change(example_plan().intent, isolated=True, approvers=0)
    steps = tuple(step for step in example_plan().steps if step.id in ("restore-run", "verify-run"))
    plan = example_plan(intent=intent, steps=(change(steps[0], after=()), steps[1]), machines=())
    said = [
        one
        for one in usual_course()
        if one[2].get("step", "restore-run") in ("restore-run", "verify-run") and one[1] is not Deed.APPROVED
    ]
    record = record_of(example_run(said, plan), example_setting())
    assert contradictions(record) == []
    assert record.identity.kind is RunKind.REHEARSAL and record.scenario.disruption is Disruption.NONE
    assert "rehearsed" in headline_of(record).fault
    assert record.results.predicted is not None and record.results.predicted.compared_seconds == pytest.approx(4.5)


def test_a_drill_that_ended_before_any_run_is_a_record_of_its_own() -> None:
    drill = example_drill(outcome=Outcome.ERROR, why="the fault did not bite", phases=(), checks=())
    record = record_of(None, example_setting(), drill)
    assert contradictions(record) == []
    assert record.results.outcome is Outcome.ERROR and record.results.verdict.rto.state is State.NOT_MEASURED
    assert [finding.severity for finding in record.findings] == ["high"]
    assert record.trust.journal is None and record.identity.run == drill.drill_id


def test_a_run_that_goes_on_has_no_evidence() -> None:
    with pytest.raises(RefusedError, match="has not ended"):
        record_of(example_run(usual_course()[:-1]), example_setting())
    with pytest.raises(RefusedError, match="neither"):
        record_of(None, example_setting())


def test_the_record_is_read_back_as_it_was() -> None:
    record = record_of(example_run(), example_setting(), example_drill())
    assert decode_record(encode_record(record), "it") == record


def test_the_chain_of_the_journal_is_checked() -> None:
    run = example_run()
    record = record_of(run, example_setting())
    journal = decode_journal(journal_file(run.run, run.stores, run.entries, run.head), "journal.json")
    assert chain_problems(journal, record) == []
    entries = list(journal.entries)
    entries[3] = change(entries[3], stored_sha256="0" * 64)
    assert any("Entry 4" in one for one in chain_problems(change(journal, entries=tuple(entries)), record))
    assert any("names" in one for one in chain_problems(change(journal, entries=journal.entries[:-1]), record))
    assert chain_problems(change(journal, run="f" * 20), record)
    assert START // SECOND == 1_790_000_000 and record.identity.run == RUN
