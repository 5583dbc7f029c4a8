"""Findings that demand a retest: opened by a run that missed or failed, closed by a later one that passed. Pure.

A finding is about a recovery, a scenario, and what went wrong (its *subject*). Its id is made of these, so that the
same thing found twice is one finding. It is closed by a later PASSED run of the same recovery and scenario that went at
least as far, and in which that very target was met. A run in which the target was not measured closes nothing: neither
does a plan that was talked through where a failover had failed. What failed in earnest is closed by a failover on
copies, too. A drill in which something was made to go wrong to try the drill itself opens and closes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS, from_rfc3339, to_rfc3339
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import CheckResult, Outcome
from holdfast.evidence.record_setting import ClosedFinding, Exercise, Finding, Severity
from holdfast.objectives import State

__all__ = ["DUE_DAYS", "OpenFinding", "closed_by", "findings_of", "goes_as_far", "open_findings"]

DUE_DAYS: Final = 30  # as long as the credit of a drill lasts
_FAR: Final = {  # declared from the least to the most; a failover on copies is as good as one in earnest
    one: min(place, list(Exercise).index(Exercise.FUNCTIONAL_FAILOVER)) for place, one in enumerate(Exercise)
}
_DUE: Final = round(timedelta(days=DUE_DAYS).total_seconds()) * NANOSECONDS


class OpenFinding(NamedTuple):
    """A finding that no later run has closed. `seen`: how many records have it; `last_utc`: the newest of them;
    `exercise`: how far those went in which it was found, at the most. `assets`: that it was found of.
    """

    finding: Finding
    recovery: str
    scenario: str
    record_id: str
    opened_utc: str
    last_utc: str
    seen: int
    exercise: Exercise
    assets: tuple[str, ...] = ()

    @property
    def credit(self) -> str:
        """What it costs its assets in credit, in words (`holdfast.objectives.credit`)."""
        names = ", ".join(self.assets) or "its assets"
        if self.finding.subject == "outcome" and self.finding.severity is Severity.CRITICAL:
            return f"all of it: no drill or recovery of {names} counts until the retest passes"
        if self.finding.subject == "outcome":
            return "none is taken, and none was given: the drill says nothing"
        if self.finding.subject.startswith("check "):
            return f"all of it, where the drill FAILED for it: none of {names} counts until the retest passes"
        if self.finding.subject in ("rpo", "rto", "copies"):
            return "none is taken: what was measured counts as it is, above its target"
        return "none"


def goes_as_far(exercise: Exercise, wanted: Exercise) -> bool:
    """Whether one shows at least what the other shows."""
    return _FAR[exercise] >= _FAR[wanted]


def subject_of(record: Evidence) -> tuple[str, str]:
    """Recovery (where nobody says which: asset) and scenario."""
    identity = record.identity
    recovery = identity.plan.plan_id if identity.plan is not None else identity.recovery or record.scope.asset
    return recovery, record.scenario.name or str(identity.kind)


def finding_id(recovery: str, scenario: str, subject: str) -> str:
    """12 hex digits."""
    return hashlib.sha256("\0".join(("holdfast finding", recovery, scenario, subject)).encode()).hexdigest()[:12]


def findings_of(record: Evidence, ended_ns: int, owner: str) -> tuple[Finding, ...]:
    """What this run found, besides what its author wrote down. `owner`: who asked for the run."""
    if record.scenario.planted:
        return ()
    recovery, scenario = subject_of(record)
    due = to_rfc3339(ended_ns + _DUE)[:10]

    def finding(severity: Severity, subject: str, text: str) -> Finding:
        any_ = record.identity.exercise is Exercise.FULL_INTERRUPTION
        what = "whatever the scenario" if any_ else f"scenario {scenario}"
        retest = f"a PASSED run of {recovery}, {what}, that goes as far, with this met"
        number = finding_id(recovery, scenario, subject)
        return Finding(
            severity=severity, text=text, owner=owner, due=due, retest=retest, finding_id=number, subject=subject
        )

    return tuple(finding(severity, subject, text) for severity, subject, text in _problems(record))


def _problems(record: Evidence) -> Iterable[tuple[Severity, str, str]]:
    results = record.results
    if results.outcome is Outcome.FAILED:
        yield Severity.CRITICAL, "outcome", f"The recovery FAILED{f': {results.why}' if results.why else ''}."
    if results.outcome is Outcome.ERROR:
        why = f" ({results.why})" if results.why else ""
        yield Severity.HIGH, "outcome", f"The drill broke{why}: nothing is proven about the recovery."
    for name, judgement in (
        ("rpo", results.verdict.rpo),
        ("rto", results.verdict.rto),
        ("copies", results.verdict.copies),
    ):
        if judgement.state is State.MISSED:
            severity = Severity.MEDIUM if judgement.tolerated else Severity.HIGH
            yield severity, name, judgement.reason
    for check in record.integrity.checks:
        if check.result is CheckResult.FAILED:
            yield Severity.CRITICAL, f"check {check.name}", f"The check '{check.name}' FAILED: {check.detail}"
    if record.clean_up.left and record.identity.drill:
        yield Severity.LOW, "clean-up", f"Left over: {', '.join(record.clean_up.left)}"


def open_findings(records: Iterable[Evidence]) -> list[OpenFinding]:
    """Those that are open after these records, the oldest first."""
    found: dict[str, OpenFinding] = {}
    for record in sorted(records, key=_when):
        for one in closed_by(record, tuple(found.values())):
            found.pop(one.finding_id, None)
        for finding in record.findings:
            if not finding.finding_id or record.scenario.planted:
                continue
            recovery, scenario = subject_of(record)
            before = found.get(finding.finding_id)
            when = record.identity.ended_utc or record.identity.started_utc
            if before is None:
                number, exercise = record.identity.record_id, record.identity.exercise
                names = tuple(one.name for one in record.scope.assets)
                before = OpenFinding(finding, recovery, scenario, number, when, when, 0, exercise, names)
            furthest = max(before.exercise, record.identity.exercise, key=_FAR.__getitem__)
            found[finding.finding_id] = before._replace(last_utc=when, seen=before.seen + 1, exercise=furthest)
    return sorted(found.values(), key=lambda one: (one.opened_utc, one.finding.finding_id))


def closed_by(record: Evidence, before: Sequence[OpenFinding]) -> tuple[ClosedFinding, ...]:
    """Which of the findings that were open this run closes."""
    if record.results.outcome is not Outcome.PASSED or record.scenario.planted:
        return ()
    subject = subject_of(record)
    return tuple(
        ClosedFinding(
            finding_id=one.finding.finding_id,
            text=one.finding.text,
            record_id=one.record_id,
            opened_utc=one.opened_utc,
        )
        for one in before
        if _is_retest(one, subject)
        and goes_as_far(record.identity.exercise, one.exercise)
        and _is_met(record, one.finding.subject)
    )


def _is_retest(one: OpenFinding, subject: tuple[str, str]) -> bool:
    """What failed in earnest happens again by chance alone: any failover of that recovery will do."""
    earnest = one.exercise is Exercise.FULL_INTERRUPTION and one.recovery == subject[0]
    return earnest or (one.recovery, one.scenario) == subject


def _is_met(record: Evidence, subject: str) -> bool:
    verdict = record.results.verdict
    targets = {"rpo": verdict.rpo, "rto": verdict.rto, "copies": verdict.copies}
    if subject in targets:
        return targets[subject].state is State.MET
    if subject == "clean-up":
        return not record.clean_up.left and not record.clean_up.later
    if subject.startswith("check "):
        name = subject.removeprefix("check ")
        results = [check.result for check in record.integrity.checks if check.name == name]
        return bool(results) and all(result is CheckResult.PASSED for result in results)
    return True


def _when(record: Evidence) -> tuple[int, str]:
    text = record.identity.ended_utc or record.identity.started_utc
    try:
        return from_rfc3339(text), record.identity.record_id
    except (ValueError, OverflowError):
        return 0, record.identity.record_id
