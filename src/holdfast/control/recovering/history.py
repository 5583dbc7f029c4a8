"""What past runs took: from the entries of their journals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.control.recovering.history_compute import ComputePast, compute_past
from holdfast.control.recovering.step_times import step_seconds, usual
from holdfast.errors import HoldfastError
from holdfast.recovery.estimates import UNKNOWN, Estimate
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.plans import Kind, Plan
from holdfast.recovery.running.executor import plan_of

__all__ = ["Past", "Ran", "past_of", "ran", "step_seconds"]


class Past(NamedTuple):
    """Estimates from what was: the median, and the distance from it of the one that is farthest."""

    deciding: Estimate = UNKNOWN
    acting: Estimate = UNKNOWN
    fencing: Estimate = UNKNOWN
    detecting: Estimate = UNKNOWN
    compute: ComputePast = ComputePast()


class Ran(NamedTuple):
    """A run that has ended. `seconds`: to its end from the fault, where its time is known, else from its plan's facts.

    `from_fault`: which of the two.
    """

    run: str
    plan: Plan
    verdict: str
    at: int
    seconds: float
    from_fault: bool


def ran(run: str, entries: Sequence[Entry]) -> Ran | None:
    """None for one that has not ended, or whose plan cannot be read."""
    state = run_state(entries)
    if not state.verdict:
        return None
    try:
        plan = plan_of(state)
    except HoldfastError:
        return None
    ended = next(entry.at for entry in reversed(entries) if entry.deed is Deed.ENDED)
    fault = plan.intent.fault_at
    began = plan.facts_at if fault is None else fault
    return Ran(run, plan, state.verdict, ended, max(0.0, (ended - began) / NANOSECONDS), fault is not None)


def past_of(runs: Mapping[str, Sequence[Entry]]) -> Past:
    """Of these runs, whatever became of them: a step that was done took its time."""
    deciding: list[float] = []
    acting: list[float] = []
    fencing: list[float] = []
    detecting: list[float] = []
    for entries in runs.values():
        try:
            plan = plan_of(run_state(entries))
        except HoldfastError:
            continue
        if plan.intent.detecting is not None:
            detecting.append(plan.intent.detecting)
        taken = next((entry.at for entry in entries if entry.deed is Deed.TAKEN), None)
        if taken is not None and not plan.intent.isolated:
            deciding.append(max(0.0, (taken - plan.facts_at) / NANOSECONDS))
        kinds = {step.id: step.kind for step in plan.steps}
        for step, seconds in step_seconds(entries).items():
            if kinds.get(step) is Kind.FENCE:
                fencing.append(seconds)
            elif kinds.get(step) in (Kind.PROMOTE, Kind.START, Kind.STOP):
                acting.append(seconds)
    return Past(
        deciding=usual(deciding, "decided"),
        acting=usual(acting, "acted"),
        fencing=usual(fencing, "fenced"),
        detecting=usual(detecting, "noticed"),
        compute=compute_past(runs),
    )
