"""The figures of a run: RTO, RPO, work lost, capacity, what was predicted; each with where it is from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.gathered import RunOfJournal, Setting
from holdfast.evidence.record_outcome import (
    Capacity,
    ClockKind,
    Moment,
    MomentKind,
    Origin,
    Outcome,
    Passed,
    Predicted,
    RecoveryPoint,
    Results,
    WorkLost,
    split_of,
)
from holdfast.evidence.run_timeline import fault_time
from holdfast.objectives import NOT_MEASURED, Measured, NotMeasured, judge, rpo_seconds
from holdfast.recovery.estimates import in_a_row
from holdfast.recovery.plans import Chosen, Kind, Machines, critical_path

__all__ = ["results_of"]


def results_of(
    run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None, timeline: Sequence[Moment]
) -> Results:
    """What came out, and the verdict against the targets of the setting."""
    measured = _measured(run, setting, drill, timeline)
    worst = _worst(run)
    lost = _work_lost(run, setting, drill, measured, worst)
    capacity = tuple(_capacities(run))
    passed = run is not None and run.state.verdict == "PASSED"
    return Results(
        outcome=drill.outcome
        if drill is not None
        else Outcome(run.state.verdict)
        if run is not None
        else Outcome.ERROR,
        measured=measured,
        verdict=judge(setting.targets.objective, measured),
        recovery_site=run.plan.site if run is not None and passed else "",
        recovery_point=worst.snapshot if worst is not None and passed else "",
        resumed_step=worst.step if worst is not None and worst.step is not None and passed else NOT_MEASURED,
        work_lost=lost,
        capacity_percent=_percent(capacity),
        capacity=capacity,
        points=tuple(_point(one) for one in run.plan.chosen) if run is not None else (),
        phases=drill.phases if drill is not None else (),
        predicted=_predicted(run, measured),
        origins=tuple(_origins(run, drill, timeline, measured, lost)),
    )


def _worst(run: RunOfJournal | None) -> Chosen | None:
    """Of several assets the one that loses most: its recovery point is the one that counts."""
    return min(run.plan.chosen, key=lambda one: one.content, default=None) if run is not None else None


def _measured(
    run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None, timeline: Sequence[Moment]
) -> Measured:
    fault: int | NotMeasured = NOT_MEASURED
    if any(moment.kind is MomentKind.FAULT for moment in timeline):
        fault = _fault_ns(run, drill, timeline)
    worst = _worst(run)
    passed = run is not None and run.state.verdict == "PASSED"
    verifying = [step for step in run.plan.steps if step.kind is Kind.VERIFY] if run is not None else []
    verified = run is not None and bool(verifying) and all(step.id in run.state.done for step in verifying)
    copies = drill.copies_verified if drill is not None else NOT_MEASURED
    return Measured(
        fault_ns=fault,
        content_ns=worst.content if worst is not None and passed else NOT_MEASURED,
        last_change_ns=drill.last_change_ns if drill is not None else NOT_MEASURED,
        restored=passed,
        verified=passed and verified,
        split=split_of(timeline),
        copies=setting.copies if isinstance(copies, NotMeasured) else copies,
    )


def _fault_ns(run: RunOfJournal | None, drill: DrillFacts | None, timeline: Sequence[Moment]) -> int | NotMeasured:
    from holdfast.clock import from_rfc3339

    if drill is not None and drill.faults and not any(one.kind is MomentKind.FAULT for one in drill.moments):
        return min(drill.faults, key=lambda one: one.at.offset_seconds).at.at_ns
    told = fault_time(run.plan) if run is not None else None
    if told is not None and (drill is None or not any(one.kind is MomentKind.FAULT for one in drill.moments)):
        return told
    return from_rfc3339(next(one.utc for one in timeline if one.kind is MomentKind.FAULT))


def _work_lost(
    run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None, measured: Measured, worst: Chosen | None
) -> WorkLost:
    lost = drill.work_lost if drill is not None else WorkLost()
    last = drill.fault_step if drill is not None else NOT_MEASURED
    first = worst.step if worst is not None else None
    if lost.steps is NOT_MEASURED and first is not None and not isinstance(last, NotMeasured) and last >= first:
        lost = msgspec.structs.replace(lost, steps=last - first)
    seconds = rpo_seconds(measured)
    machines = sum(one.wanted for one in run.plan.machines) if run is not None else 0
    if isinstance(seconds, NotMeasured) or seconds < 0 or not machines:
        return lost
    hours = seconds / 3600 * machines
    if lost.gpu_hours is NOT_MEASURED and not isinstance(setting.gpus_per_machine, NotMeasured):
        lost = msgspec.structs.replace(lost, gpu_hours=round(hours * setting.gpus_per_machine, 6))
    if lost.usd is NOT_MEASURED and not isinstance(setting.machine_usd_per_hour, NotMeasured):
        lost = msgspec.structs.replace(lost, usd=round(hours * setting.machine_usd_per_hour, 4))
    return lost


def _point(chosen: Chosen) -> RecoveryPoint:
    return RecoveryPoint(
        asset=chosen.asset,
        snapshot_id=chosen.snapshot,
        step=NOT_MEASURED if chosen.step is None else chosen.step,
        content_ns=chosen.content,
        age_seconds=chosen.loss,
        site=chosen.site,
        store=chosen.store,
        rejected=tuple(Passed(what=one.what, why=one.why) for one in chosen.rejected),
    )


def _capacities(run: RunOfJournal | None) -> Iterable[Capacity]:
    if run is None:
        return
    for machines in run.plan.machines:
        yield _capacity(run, machines)


def _capacity(run: RunOfJournal, machines: Machines) -> Capacity:
    from holdfast.evidence.run_timeline import step_rows

    obtained: int | NotMeasured = NOT_MEASURED
    seconds: float | NotMeasured = NOT_MEASURED
    steps = [one for one in run.plan.steps if one.kind is Kind.GET_COMPUTE and one.asset in ("", machines.asset)]
    if not steps:
        obtained, seconds = machines.ready, 0.0  # they stood there running
    for step in steps:
        state = run.state.steps.get(step.id)
        if state is None or step.id not in run.state.done:
            continue
        told = next((state.facts[name] for name in ("obtained", "machines", "number") if name in state.facts), None)
        if isinstance(told, int) and not isinstance(told, bool):
            obtained = told + machines.ready
        row = next(one for one in step_rows(run) if one.step == step.id)
        seconds = row.seconds
    return Capacity(
        asset=machines.asset,
        shape=machines.shape,
        wanted=machines.wanted,
        asked=machines.number,
        obtained=obtained,
        seconds=seconds,
    )


def _percent(capacity: Sequence[Capacity]) -> float | NotMeasured:
    got = [one.obtained for one in capacity if not isinstance(one.obtained, NotMeasured)]
    wanted = sum(one.wanted for one in capacity)
    return round(100.0 * sum(got) / wanted, 3) if wanted and len(got) == len(capacity) else NOT_MEASURED


def _predicted(run: RunOfJournal | None, measured: Measured) -> Predicted | None:
    """What the plan said of its steps; None where a step of it was not known."""
    if run is None or not run.plan.steps:
        return None
    if any(not step.estimate.known for step in run.plan.steps):
        return None
    told = in_a_row([step.estimate for step in critical_path(run.plan.steps)])
    execute, verify = measured.split.execute, measured.split.verify
    actual: float | NotMeasured = NOT_MEASURED
    if not isinstance(execute, NotMeasured) and not isinstance(verify, NotMeasured):
        actual = execute + verify
    elif run.state.verdict == "PASSED":
        actual = _from_taken(run)
    return Predicted(seconds=told.seconds, error_seconds=told.error, source=told.source.value, compared_seconds=actual)


def _from_taken(run: RunOfJournal) -> float | NotMeasured:
    """Without a fault there is no RTO; the steps took their time all the same."""
    from holdfast.clock import NANOSECONDS
    from holdfast.recovery.journal.entries import Deed

    taken = next((one.at for one in run.entries if one.deed is Deed.TAKEN), None)
    done = [one.at for one in run.entries if one.deed is Deed.DONE]
    if taken is None or not done or max(done) < taken:
        return NOT_MEASURED
    return round((max(done) - taken) / NANOSECONDS, 6)


def _origins(
    run: RunOfJournal | None,
    drill: DrillFacts | None,
    timeline: Sequence[Moment],
    measured: Measured,
    lost: WorkLost,
) -> Iterable[Origin]:
    clock = {moment.kind: moment.clock for moment in reversed(timeline)}
    ends = (
        ("detect", MomentKind.FAULT, MomentKind.DETECTED),
        ("decide", MomentKind.DETECTED, MomentKind.DECIDED),
        ("execute", MomentKind.DECIDED, MomentKind.EXECUTED),
        ("verify", MomentKind.EXECUTED, MomentKind.VERIFIED),
    )
    for name, first, last in ends:
        missing = [str(kind) for kind in (first, last) if kind not in clock]
        if missing or MomentKind.FAULT not in clock:
            yield Origin(figure=f"RTO: {name}", source=f"NOT_MEASURED: no time of {', '.join(missing or ['fault'])}")
            continue
        kinds = {clock[first], clock[last]}
        words = {
            frozenset({ClockKind.MONOTONIC}): "the monotonic clock of the drill",
            frozenset({ClockKind.WALL}): "the wall clock of the journal",
        }
        source = words.get(frozenset(kinds), "the drill's clock and the journal's wall clock")
        yield Origin(figure=f"RTO: {name}", source=source)
    if isinstance(measured.fault_ns, NotMeasured):
        yield Origin(figure="RPO", source="NOT_MEASURED: nothing failed at a time that anybody knows")
    else:
        told = "the drill, which injected it" if drill is not None and drill.faults else "whoever asked for the plan"
        yield Origin(figure="RPO", source=f"content time of the recovery point; the fault's time by {told}")
    if lost.gpu_hours is NOT_MEASURED:
        yield Origin(figure="GPU-hours lost", source="NOT_MEASURED: no machines, or their GPUs are not declared")
    if lost.usd is NOT_MEASURED:
        yield Origin(figure="money lost", source="NOT_MEASURED: no price of the machines is declared")
    if isinstance(measured.copies, NotMeasured):
        yield Origin(figure="copies", source="NOT_MEASURED: the verified copies could not be counted")
