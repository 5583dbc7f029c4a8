"""The answer that a reader wants first: what was lost, how long it took, and whether that was good enough."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import CheckResult, Outcome
from holdfast.evidence.record_setting import RunKind
from holdfast.objectives import NotMeasured, State
from holdfast.units import format_duration

__all__ = ["Headline", "headline_of"]


class Headline(NamedTuple):
    """Three sentences, and whether the whole is good news."""

    fault: str
    recovery: str
    objective: str
    state: State

    def __str__(self) -> str:
        return " ".join((self.fault, self.recovery, self.objective))


def headline_of(record: Evidence) -> Headline:
    """Pure. `state` is MET only when the objective was met, the run passed and every check did."""
    return Headline(_fault(record), _recovery(record), _objective(record), _state(record))


_RUNS = {
    RunKind.REHEARSAL: "Nothing failed: {what} was rehearsed.",
    RunKind.RECOVERY: "{what} was recovered on request.",
    RunKind.DRILL: "{what} was drilled: {scenario}.",
}


def _fault(record: Evidence) -> str:
    scenario = record.scenario
    if not scenario.fault_site or record.identity.kind is RunKind.REHEARSAL:
        what = record.identity.plan.plan_id if record.identity.plan is not None else record.scope.asset
        text = _RUNS.get(record.identity.kind, "{what}: {scenario}.")
        return text.format(what=what, scenario=scenario.name or scenario.disruption)
    step = "" if isinstance(scenario.fault_step, NotMeasured) else f" at step {scenario.fault_step}"
    return f"Site {scenario.fault_site} was lost{step}."


def _recovery(record: Evidence) -> str:
    results = record.results
    if not results.recovery_site:
        return "It was not recovered."
    if record.identity.kind is RunKind.REHEARSAL:
        point = next(iter(results.points), None)
        old = "" if point is None else f" from a copy of {format_duration(point.age_seconds)} before"
        return f"Restored{old}, at site {results.recovery_site}; how much a fault would have cost was not measured."
    rpo, rto = results.verdict.rpo.measured, results.verdict.rto.measured
    steps = results.work_lost.steps
    lost = "how much training was lost was not measured"
    if not isinstance(rpo, NotMeasured):
        lost = f"lost {format_duration(rpo)} of training"
        if not isinstance(steps, NotMeasured):
            lost += f" ({steps} step{'' if steps == 1 else 's'})"
    back = "how long it took was not measured"
    if not isinstance(rto, NotMeasured):
        back = f"back in {format_duration(rto)}"
    return f"Recovered on site {results.recovery_site}: {lost}, {back}."


def _objective(record: Evidence) -> str:
    results = record.results
    if results.outcome is Outcome.ERROR:
        why = f" ({results.why})" if results.why else ""
        return f"The drill itself broke{why}: it says nothing about the system."
    words = {
        State.MET: "Objective MET.",
        State.MISSED: "Objective MISSED.",
        State.NOT_MEASURED: "Objective NOT_MEASURED: figures are missing.",
        State.INVALID: "Objective INVALID: some figures cannot be.",
    }
    sentence = words[results.verdict.state]
    failed = [check.name for check in record.integrity.checks if check.result is CheckResult.FAILED]
    if failed:
        return f"{sentence} But checks FAILED: {', '.join(failed)}."
    if results.outcome is Outcome.PASSED:
        return sentence
    return f"{sentence} The run {results.outcome}{f': {results.why}' if results.why else ''}."


def _state(record: Evidence) -> State:
    results = record.results
    if results.outcome is Outcome.PASSED:
        return results.verdict.state
    if results.outcome is Outcome.ERROR:
        return State.INVALID
    return State.MISSED if results.verdict.state is State.MET else results.verdict.state
