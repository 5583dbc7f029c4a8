"""Trends, calibration, findings that a later run closes, drills that are overdue, and what controls are supported."""

from __future__ import annotations

import csv
import io
import math
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest
from runs import SECOND, START, Said, example_drill, example_run, example_setting, instant

from holdfast.clock import to_rfc3339
from holdfast.evidence.controls import CONTROLS, answers_of, controls_csv
from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.findings import closed_by, open_findings
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Outcome, Predicted
from holdfast.evidence.record_setting import CleanUp, Exercise, Finding, Severity
from holdfast.evidence.recording import record_of
from holdfast.evidence.trends import Declared, Point, calibrate, trends_of
from holdfast.evidence.trends_svg import trends_svg
from holdfast.objectives import NOT_MEASURED, judge
from holdfast.recovery.journal.entries import Deed

change = msgspec.structs.replace
DAY = 86_400


def record(day: int, *, rto_target: float = 60.0, outcome: Outcome = Outcome.PASSED, **drill: object) -> Evidence:
    """A drill that ended on that day, with an RTO of 9 s."""
    setting = example_setting(record_id=f"record{day}")
    objective = change(setting.targets.objective, rto_seconds=rto_target)
    setting = change(setting, targets=change(setting.targets, objective=objective))
    made = record_of(example_run(), setting, example_drill(outcome=outcome, **drill))
    ended = to_rfc3339(START + day * DAY * SECOND)
    return change(made, identity=change(made.identity, ended_utc=ended, record_id=f"record{day}"))


def test_a_missed_target_opens_a_finding_and_a_run_that_meets_it_closes_it() -> None:
    missed, again, met = record(0, rto_target=5.0), record(1, rto_target=5.0), record(2)
    [finding] = missed.findings
    assert finding.subject == "rto" and finding.severity is Severity.HIGH and finding.owner == "keeper"
    assert finding.due == to_rfc3339(START + 12 * SECOND + 30 * DAY * SECOND)[:10]
    [opened] = open_findings([again, missed])
    assert (opened.seen, opened.record_id) == (2, "record0")
    assert [one.finding_id for one in closed_by(met, [opened])] == [finding.finding_id]
    assert open_findings([met, again, missed]) == []
    assert [one.seen for one in open_findings([missed, met, record(3, rto_target=5.0)])] == [1]


@pytest.mark.parametrize(
    "later",
    [
        record(1, outcome=Outcome.ERROR),
        record(1, outcome=Outcome.STOPPED),
        record(1, scenario="keys-lost"),
        record(1, detections=()),  # passed, and nobody measured the RTO
    ],
    ids=["error", "stopped", "another scenario", "not measured"],
)
def test_nothing_else_closes_it(later: Evidence) -> None:
    still = {one.finding.finding_id for one in open_findings([record(0, rto_target=5.0), later])}
    assert record(0, rto_target=5.0).findings[0].finding_id in still


def test_the_record_of_the_run_that_closes_it_names_it() -> None:
    earlier = record(0, rto_target=5.0)
    made = record_of(example_run(), example_setting(earlier=(earlier,)), example_drill())
    assert [one.record_id for one in made.closed] == ["record0"]


def test_a_failed_run_and_left_overs_are_findings_of_their_own() -> None:
    bad = record(0, outcome=Outcome.FAILED, clean_up=CleanUp(created=("x",), removed=(), left=("x",)))
    assert {(one.severity, one.subject) for one in bad.findings} == {("critical", "outcome"), ("low", "clean-up")}
    assert open_findings([bad, record(1)]) == []
    noted = change(bad, findings=(Finding(severity=Severity.LOW, text="a remark without an id"),))
    assert open_findings([noted]) == []


def point(took: float, predicted: float, error: float, outcome: str = "PASSED") -> Point:
    [trend] = trends_of([record(0)], [], START).assets
    return change(trend.points[0], took=took, predicted=predicted, predicted_error=error, outcome=outcome)


def test_calibration_is_the_median_of_log_ratios_and_the_coverage_of_the_error() -> None:
    points = [point(2.0, 1.0, 0.5), point(4.0, 1.0, 0.5), point(1.0, 1.0, 0.0), point(90.0, 1.0, 0.0, "FAILED")]
    found = calibrate([*points, change(points[0], predicted=NOT_MEASURED)])
    assert found.runs == 3
    assert found.median_log_ratio == pytest.approx(math.log(2)) and found.factor == pytest.approx(2.0)
    assert found.coverage == pytest.approx(1 / 3)
    nothing = calibrate([])
    assert (nothing.runs, nothing.factor, nothing.coverage) == (0, NOT_MEASURED, NOT_MEASURED)


def test_trends_go_by_asset_and_time_and_drills_are_overdue_by_their_last_one() -> None:
    declared = [
        Declared(name="monthly", recovery="run-to-b", every_seconds=30.0 * DAY),
        Declared(name="yearly", recovery="run-to-b", every_seconds=365.0 * DAY),
    ]
    failed = record(5, outcome=Outcome.FAILED)
    found = trends_of([failed, record(1), record(3, rto_target=5.0)], declared, START + 40 * DAY * SECOND)
    [asset] = found.assets
    assert [one.outcome for one in asset.points] == ["PASSED", "PASSED", "FAILED"]
    assert [one.rto_state for one in asset.points] == ["MET", "MISSED", "MET"]
    monthly, yearly = found.due
    assert monthly.overdue_seconds == pytest.approx(5.0 * DAY) and monthly.passed_utc[:10] != monthly.last_utc[:10]
    assert yearly.last_utc == "" and yearly.overdue_seconds is NOT_MEASURED
    assert [one.finding.subject for one in found.open] == ["rto", "outcome"] and found.closed == 0


def test_the_chart_is_a_drawing_with_words_for_who_cannot_see_it() -> None:
    hostile = record(2)
    hostile = change(hostile, scope=change(hostile.scope, asset="<script>alert(1)</script>"))
    drawn = trends_svg(trends_of([record(0), record(1, rto_target=5.0), hostile], [], START))
    root = ElementTree.fromstring(drawn)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert "script" not in names and names.count("circle") >= 5 and names.count("path") == 1
    description = next(one.text for one in root.iter() if one.tag.endswith("desc"))
    assert description is not None and "RTO 9.0 s MISSED" in description
    assert "no evidence" in trends_svg(trends_of([], [], START))


def test_controls_are_supported_as_far_as_the_record_goes() -> None:
    whole = {f"{one.control.framework} {one.control.control}": one for one in answers_of(record(0))}
    assert set(whole) == {f"{one.framework} {one.control}" for one in CONTROLS}
    assert {one.extent for one in whole.values()} <= {"supports", "supports in part"}
    bare = record_of(example_run(), example_setting())
    missing = next(one for one in answers_of(bare) if one.control.control == "CP-10").missing
    assert "results.verdict.rto.measured" in missing
    assert all(one.control.open for one in whole.values())
    rows = list(csv.reader(io.StringIO(controls_csv(record(0)))))
    assert len(rows) == len(CONTROLS) + 1 and {len(row) for row in rows} == {8}
    assert not any("compliant" in cell for row in rows for cell in row)


def test_every_field_that_a_control_names_is_one_of_the_record() -> None:
    content = msgspec.to_builtins(record(0, detections=example_drill().detections))
    for control in CONTROLS:
        for field in control.fields:
            value = content
            for name in field.split("."):
                assert name in value, f"{control.control}: {field}"
                value = value[name]


def test_a_prediction_is_kept_with_what_it_was() -> None:
    made = record(0, detections=(change(example_drill().detections[0], at=instant(1.2)),))
    assert made.results.predicted == Predicted(
        seconds=5.0, error_seconds=pytest.approx(1.0), source="measured", compared_seconds=pytest.approx(5.0)
    )
    assert made.results.verdict == judge(made.targets.objective, made.results.measured)


def test_what_goes_less_far_closes_nothing() -> None:
    failed = record(0, outcome=Outcome.FAILED, exercise=Exercise.FUNCTIONAL_FAILOVER)
    for exercise in (Exercise.TABLETOP, Exercise.COMPONENT_RESTORE, Exercise.SIMULATION):
        assert open_findings([failed, record(1, exercise=exercise)])
    assert open_findings([failed, record(1, exercise=Exercise.FUNCTIONAL_FAILOVER)]) == []
    table = record(2, outcome=Outcome.FAILED, exercise=Exercise.TABLETOP)  # the same thing, seen again
    assert open_findings([failed, table, record(3, exercise=Exercise.TABLETOP)])


def test_a_drill_that_failed_before_any_plan_is_closed_by_one_of_the_same_recovery() -> None:
    drill = example_drill(outcome=Outcome.FAILED, recovery="run-to-b")
    unplanned = record_of(None, example_setting(record_id="unplanned"), drill)
    assert [one.recovery for one in open_findings([unplanned])] == ["run-to-b"]
    assert open_findings([unplanned, record(1)]) == []


def test_a_drill_that_broke_or_went_less_far_was_not_held() -> None:
    declared = [
        Declared(name="monthly", recovery="run-to-b", every_seconds=30.0 * DAY, exercise=Exercise.FUNCTIONAL_FAILOVER)
    ]
    less = [record(20, outcome=Outcome.ERROR), record(21, outcome=Outcome.STOPPED)]
    less.append(record(22, exercise=Exercise.TABLETOP))
    [due] = trends_of([record(1), *less], declared, START + 40 * DAY * SECOND).due
    assert due.overdue_seconds == pytest.approx(9.0 * DAY) and due.last_utc == due.passed_utc
    assert trends_of(less, declared, START).due[0].overdue_seconds is NOT_MEASURED


def test_what_is_still_to_be_cleared_away_is_not_said_to_be_gone() -> None:
    later = record(0, clean_up=CleanUp(created=("x",), removed=(), left=(), later=True))
    assert "signed before what the drill had made was cleared away" in render_page(later, Seal("ab", "cd", "suite"))


def test_a_finding_stays_open_until_its_scenario_passes_as_far_and_says_what_it_costs() -> None:
    failed = record_of(example_run(), example_setting(), example_drill(outcome=Outcome.FAILED, why="it differs"))
    [one] = [finding for finding in open_findings([failed]) if finding.finding.subject == "outcome"]
    assert one.assets == ("run",) and one.credit.startswith("all of it: no drill or recovery of run counts")
    assert "it differs" in one.finding.text and "scenario site-lost" in one.finding.retest

    def after(**changes: object) -> list[str]:
        later = example_drill(started=instant(100.0), ended=instant(120.0), **changes)
        passed = record_of(example_run(), example_setting(record_id="01k5e7mzq4w8x2y6z0a3b7c1d9"), later)
        return [found.finding.subject for found in open_findings([failed, passed])]

    assert after() == []
    assert after(scenario="keys-lost") == ["outcome"]
    assert after(exercise=Exercise.COMPONENT_RESTORE) == ["outcome"]
    assert after(planted="stale-replica") == ["outcome"]
    broke = record_of(None, example_setting(), example_drill(outcome=Outcome.ERROR, phases=(), checks=()))
    assert [found.credit for found in open_findings([broke])] == [
        "none is taken, and none was given: the drill says nothing"
    ]


def test_what_failed_in_earnest_is_closed_by_a_failover_on_copies_and_not_by_less() -> None:
    said: list[Said] = [(5.0, Deed.TAKEN, {"text": "started"}), (9.0, Deed.ENDED, {"text": "FAILED", "facts": {}})]
    failed = record_of(example_run(said), example_setting())
    [one] = open_findings([failed])
    assert one.exercise is Exercise.FULL_INTERRUPTION and "whatever the scenario" in one.finding.retest

    def after(**changes: object) -> int:
        later = example_drill(started=instant(100.0), ended=instant(120.0), **changes)
        return len(open_findings([failed, record_of(example_run(), example_setting(), later)]))

    assert after() == 0 and after(scenario="keys-lost") == 0
    assert after(exercise=Exercise.SIMULATION) == 1 and after(outcome=Outcome.STOPPED) == 1


def test_what_was_made_to_go_wrong_opens_no_finding() -> None:
    planted = record_of(
        example_run(), example_setting(), example_drill(outcome=Outcome.FAILED, planted="wrong-checksum")
    )
    assert planted.findings == () and open_findings([planted]) == []
