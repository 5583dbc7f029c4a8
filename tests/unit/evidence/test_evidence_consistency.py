"""A record that contradicts itself is found out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from factory import at, example_evidence, unmeasured_evidence

from holdfast.evidence.consistency import contradictions
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import CheckResult, Integrity, MomentKind, Outcome
from holdfast.objectives import Measured, Split, judge

change = msgspec.structs.replace


def with_measured(record: Evidence, **changes: object) -> Evidence:
    """Other measurements, and the verdict that follows from them."""
    measured: Measured = change(record.results.measured, **changes)
    verdict = judge(record.targets.objective, measured)
    return change(record, results=change(record.results, measured=measured, verdict=verdict))


def without_moment(record: Evidence, kind: MomentKind) -> Evidence:
    return change(record, timeline=tuple(moment for moment in record.timeline if moment.kind is not kind))


def with_check(record: Evidence, **changes: object) -> Evidence:
    first, *others = record.integrity.checks
    return change(record, integrity=Integrity(checks=(change(first, **changes), *others)))


def with_recovery_point(record: Evidence, **changes: object) -> Evidence:
    return change(record, snapshots=(*record.snapshots[:-1], change(record.snapshots[-1], **changes)))


CASES: list[tuple[str, Callable[[Evidence], Evidence]]] = [
    ("verdict does not follow", lambda r: change(r, results=change(r.results, measured=Measured()))),
    ("says PASSED, its objective MISSED", lambda r: change(with_measured(r, copies=1), schema_version=1)),
    ("not every check did", lambda r: with_check(r, result=CheckResult.FAILED, actual="0" * 64)),
    ("not every check did", lambda r: change(with_check(r, result=CheckResult.NOT_MEASURED), schema_version=1)),
    ("what it compared differs", lambda r: with_check(r, actual="0" * 64)),
    ("nothing was checked", lambda r: change(r, integrity=Integrity(checks=()))),
    ("goes back in time", lambda r: change(r, timeline=tuple(reversed(r.timeline)))),
    ("part 'verify'", lambda r: without_moment(r, MomentKind.VERIFIED)),
    ("part 'detect'", lambda r: with_measured(r, split=change(r.results.measured.split, detect=0.2))),
    ("part 'decide'", lambda r: with_measured(r, split=Split(detect=1.12, execute=1.592, verify=1.317))),
    ("not counted from the fault", lambda r: with_measured(r, fault_ns=at(9.4))),
    ("but not both", lambda r: without_moment(r, MomentKind.FAULT)),
    ("not among the snapshots", lambda r: change(r, results=change(r.results, recovery_point="x"))),
    ("recorded as rejected", lambda r: with_recovery_point(r, rejected="damaged")),
    ("not counted from the content time", lambda r: with_measured(r, content_ns=at(9.0))),
    ("site Z is not in the scope", lambda r: change(r, results=change(r.results, recovery_site="Z"))),
    ("schema version 7 is unknown", lambda r: change(r, schema_version=7)),
]


def test_the_examples_do_not_contradict_themselves() -> None:
    assert contradictions(example_evidence()) == []
    assert contradictions(unmeasured_evidence()) == []


@pytest.mark.parametrize(("words", "spoil"), CASES, ids=[words for words, _ in CASES])
def test_a_contradiction_is_told(words: str, spoil: Callable[[Evidence], Evidence]) -> None:
    assert any(words in sentence for sentence in contradictions(spoil(example_evidence())))


def test_a_failed_run_may_have_failed_checks() -> None:
    record = with_check(example_evidence(), result=CheckResult.FAILED, actual="0" * 64)
    failed = change(record, results=change(record.results, outcome=Outcome.FAILED))
    assert contradictions(failed) == []
