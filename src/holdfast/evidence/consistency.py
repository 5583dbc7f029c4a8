"""Whether a record agrees with itself. A record that does not is never signed, and never accepted."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.clock import from_rfc3339
from holdfast.evidence.costing import arithmetic_problems
from holdfast.evidence.record import READ_VERSIONS, Evidence
from holdfast.evidence.record_outcome import CheckResult, MomentKind, Outcome, split_of
from holdfast.objectives import NotMeasured, State, judge

__all__ = ["contradictions"]

_TOLERANCE_SECONDS = 0.001  # offsets and parts are both rounded to it by some writers


def contradictions(record: Evidence) -> list[str]:
    """One sentence for each place where the record contradicts itself; empty when it does not. Pure.

    Checked: the verdict is what the objective and the measured figures give; the parts of the RTO are the distances
    between the moments of the timeline, which goes forward; the RPO counts from its fault, and to the content time of
    a snapshot of the record; each site is one of the scope; PASSED means that all checks passed (and in version 1 that
    the objective was met); costs follow from their inputs, and work lost from them.
    """
    parts = (_about_verdict, _about_timeline, _about_recovery_point, _about_sites, _about_costs)
    return [problem for part in parts for problem in part(record)]


def _about_verdict(record: Evidence) -> Iterator[str]:
    if record.schema_version not in READ_VERSIONS:
        yield f"The schema version {record.schema_version} is unknown."
    results = record.results
    if results.verdict != judge(record.targets.objective, results.measured):
        yield "The verdict does not follow from the objective and the measured figures."
    if record.schema_version == 1 and results.outcome is Outcome.PASSED and results.verdict.state is not State.MET:
        yield f"The run says PASSED, its objective {results.verdict.state}."
    open_checks = [check.name for check in record.integrity.checks if check.result is not CheckResult.PASSED]
    failed = [check.name for check in record.integrity.checks if check.result is CheckResult.FAILED]
    open_checks = open_checks if record.schema_version == 1 else failed
    if results.outcome is Outcome.PASSED and open_checks:
        yield f"The run says PASSED, but not every check did: {', '.join(open_checks)}."
    if results.outcome is Outcome.PASSED and not record.integrity.checks:
        yield "The run says PASSED, and nothing was checked."
    for check in record.integrity.checks:
        if check.result is CheckResult.PASSED and check.expected != check.actual:
            yield f"The check '{check.name}' says PASSED, and what it compared differs."


def _about_timeline(record: Evidence) -> Iterator[str]:
    offsets = [moment.offset_seconds for moment in record.timeline]
    if offsets != sorted(offsets):
        yield "The timeline goes back in time."
    told, seen = record.results.measured.split.parts(), split_of(record.timeline).parts()
    for (name, told_seconds), (_, seen_seconds) in zip(told, seen, strict=True):
        if not _same(told_seconds, seen_seconds):
            yield f"The part '{name}' of the RTO is not the distance between its moments on the timeline."
    fault, fault_ns = record.moment(MomentKind.FAULT), record.results.measured.fault_ns
    if fault is None or isinstance(fault_ns, NotMeasured):
        if fault is not None or not isinstance(fault_ns, NotMeasured):
            yield "The fault has a time for the RPO or a moment on the timeline, but not both."
    elif not _same_moment(fault.utc, fault_ns):
        yield "The RPO was not counted from the fault on the timeline."


def _same(told: float | NotMeasured, seen: float | NotMeasured) -> bool:
    if isinstance(told, NotMeasured) or isinstance(seen, NotMeasured):
        return told is seen
    return abs(told - seen) <= _TOLERANCE_SECONDS


def _same_moment(utc: str, time_ns: int) -> bool:
    try:
        return abs(from_rfc3339(utc) - time_ns) <= _TOLERANCE_SECONDS * 1e9
    except (ValueError, OverflowError):
        return False


def _about_recovery_point(record: Evidence) -> Iterator[str]:
    measured = record.results.measured
    row = record.recovery_snapshot()
    if measured.restored and row is None:
        yield "A snapshot was restored that is not among the snapshots of the record."
    if row is not None and row.rejected:
        yield f"The recovery point {row.snapshot_id} is also recorded as rejected."
    if row is not None and row.content_ns != measured.content_ns:
        yield f"The RPO was not counted from the content time of the recovery point {row.snapshot_id}."


def _about_sites(record: Evidence) -> Iterator[str]:
    known = {site.name for site in record.scope.sites}
    named = {record.scenario.fault_site, record.results.recovery_site}
    named |= {moment.site for moment in record.timeline}
    named |= {arrival.site for row in record.snapshots for arrival in row.arrivals}
    for name in sorted(named - known - {""}):
        yield f"The site {name} is not in the scope."


def _about_costs(record: Evidence) -> Iterator[str]:
    costs, results = record.costs, record.results
    if costs is None:
        return
    yield from arithmetic_problems(costs)
    drill = bool(record.identity.drill)  # may have counted by itself what it lost
    lost = results.work_lost
    if not drill and (lost.gpu_hours != costs.gpu_hours or (lost.usd != costs.lost_amount and costs.currency == "USD")):
        yield "The GPU-hours or the money that were lost are told twice, and differ."
    parts = [value for _, value in results.measured.split.parts()]
    known = [value for value in parts if not isinstance(value, NotMeasured)]
    for one in costs.lost:
        if isinstance(one.idle_seconds, NotMeasured):
            continue
        if len(known) < len(parts) or not _same(one.idle_seconds, sum(known)):
            yield f"The GPUs of {one.asset} are said to have been idle for another time than the RTO."
