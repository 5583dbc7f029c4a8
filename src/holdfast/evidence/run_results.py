"""The figures of a run: RTO, RPO, work lost, capacity, what was predicted; each with where it is from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.evidence.costing import costs_of
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.gathered import RunOfJournal, Setting
from holdfast.evidence.record_costs import Costs
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
from holdfast.evidence.record_setting import Disruption
from holdfast.evidence.restored import restored_points
from holdfast.evidence.run_timeline import clock_went_back, fault_time
from holdfast.objectives import NOT_MEASURED, Measured, NotMeasured, judge
from holdfast.recovery.estimates import in_a_row
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Chosen, Kind, Machines, critical_path

__all__ = ["results_of"]


def results_of(
    run: RunOfJournal | None, setting: Setting, drill: DrillFacts | None, timeline: Sequence[Moment]
) -> tuple[Results, Costs | None]:
    """What came out, the verdict against the targets of the setting, and what it cost."""
    measured = _measured(run, setting, drill, timeline)
    worst = _worst(run)
    steps = _steps_lost(run, drill)
    fault = drill.disruption is not Disruption.NONE if drill is not None else _has_failed(run)
    costs = costs_of(run, setting.terms, steps, _idle(measured), fault)
    lost = _work_lost(drill, steps, costs)
    capacity = tuple(_capacities(run))
    passed = run is not None and run.state.verdict == "PASSED"
    results = Results(
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
        points=tuple(map(_point, restored_points(run))) if run is not None else (),
        phases=drill.phases if drill is not None else (),
        predicted=_predicted(run, measured),
        origins=tuple(_origins(run, drill, timeline, measured, lost, costs)),
        why=drill.why if drill is not None else _why_not(run),
    )
    return results, costs


def _has_failed(run: RunOfJournal | None) -> bool:
    """In a rehearsal nothing did, and what is stopped in good order has not failed either."""
    return run is not None and not run.plan.intent.isolated and not run.plan.intent.graceful


def _worst(run: RunOfJournal | None) -> Chosen | None:
    """Of several assets the one that loses most: its recovery point is the one that counts."""
    return min(restored_points(run), key=lambda one: one.content, default=None) if run is not None else None


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


def _why_not(run: RunOfJournal | None) -> str:
    """What the journal says of a run that did not pass: of a stopped one who stopped it, else the last failure."""
    if run is None or run.state.verdict == "PASSED":
        return ""
    said = [one for one in run.entries if one.number not in run.state.ignored]
    if run.state.verdict == "STOPPED":
        stopped = next((one for one in said if one.deed is Deed.STOPPED), None)
        return "" if stopped is None else f"{stopped.by} stopped it" + (f": {stopped.text}" if stopped.text else "")
    failed = next((one for one in reversed(said) if one.deed is Deed.FAILED), None)
    return "" if failed is None else f"{failed.step}: {failed.text}"


def _steps_lost(run: RunOfJournal | None, drill: DrillFacts | None) -> dict[str, int]:
    """Asset → training steps after its recovery point, where somebody saw at which step it was. One heartbeat was
    watched: of several assets nobody can tell which it was of.
    """
    points = restored_points(run) if run is not None else ()
    if drill is None or len(points) != 1:
        return {}
    [chosen] = points
    told, last = drill.work_lost.steps, drill.fault_step
    if not isinstance(told, NotMeasured):
        return {chosen.asset: told}
    if chosen.step is None or isinstance(last, NotMeasured) or last < chosen.step:
        return {}
    return {chosen.asset: last - chosen.step}


def _work_lost(drill: DrillFacts | None, steps: dict[str, int], costs: Costs | None) -> WorkLost:
    """In other coin. What a drill counted itself stands."""
    lost = drill.work_lost if drill is not None else WorkLost()
    if isinstance(lost.steps, NotMeasured) and steps:
        lost = msgspec.structs.replace(lost, steps=sum(steps.values()))
    if costs is not None and isinstance(lost.gpu_hours, NotMeasured):
        lost = msgspec.structs.replace(lost, gpu_hours=costs.gpu_hours)
    if costs is not None and isinstance(lost.usd, NotMeasured) and costs.currency == "USD":
        lost = msgspec.structs.replace(lost, usd=costs.lost_amount)
    return lost


def _idle(measured: Measured) -> float | NotMeasured:
    """The RTO, as its parts add up; NOT_MEASURED where one of them is."""
    parts = [value for _, value in measured.split.parts()]
    known = [value for value in parts if not isinstance(value, NotMeasured)]
    return sum(known) if len(known) == len(parts) else NOT_MEASURED


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
    costs: Costs | None,
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
            why = f"no time of {', '.join(missing or ['fault'])}"
            if run is not None and {"executed", "verified"} & set(missing) and clock_went_back(run):
                why += ": a clock went back in the midst of the run"
            yield Origin(figure=f"RTO: {name}", source=f"NOT_MEASURED: {why}")
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
    elif not measured.restored or not measured.verified:
        why = "what was restored was not verified" if measured.restored else "no snapshot was restored"
        yield Origin(figure="RPO", source=f"NOT_MEASURED: {why}")
    else:
        told = "the drill, which injected it" if drill is not None and drill.faults else "whoever asked for the plan"
        yield Origin(figure="RPO", source=f"content time of the recovery point; the fault's time by {told}")
    yield Origin(figure="GPU-hours lost", source=_why(lost.gpu_hours, costs, "gpu_hours"))
    yield Origin(figure="money lost", source=_why(lost.usd, costs, "amount"))
    if isinstance(measured.copies, NotMeasured):
        yield Origin(figure="copies", source="NOT_MEASURED: the verified copies could not be counted")


def _why(value: float | NotMeasured, costs: Costs | None, name: str) -> str:
    """Where it is from, or which inputs it lacks."""
    if not isinstance(value, NotMeasured):
        return "counted: see the costs, where each input says where it is from"
    if costs is None:
        return "NOT_MEASURED: nothing was gathered to count it by"
    if not costs.lost:
        return "NOT_MEASURED: nothing failed"
    open_ = [one for one in costs.lost if isinstance(getattr(one, name), NotMeasured)]
    if not open_:
        return f"NOT_MEASURED: it is counted in {costs.currency}: see the costs"
    missing = [note for one in open_ for note in one.notes if ": NOT_MEASURED" in note]
    if name == "gpu_hours":
        missing = [note for note in missing if not note.startswith("price")]
    return "NOT_MEASURED: " + "; ".join(dict.fromkeys(one.replace(": NOT_MEASURED", "") for one in missing))
