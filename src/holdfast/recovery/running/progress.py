"""How far a run is, and how long it will take: by the plan's estimates of what is left. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from holdfast.recovery.estimates import NOTHING, Estimate, Source, in_a_row
from holdfast.recovery.journal.state import RunState, StepPhase
from holdfast.recovery.plans import Plan, Step, critical_path

__all__ = ["Progress", "is_failing", "progress_of", "ready_steps"]

_ENDED_WELL = (StepPhase.DONE, StepPhase.SKIPPED)


class Progress(NamedTuple):
    """`left`: along the longest path of what is not done; of a step that is under way all of it is counted."""

    done: int
    steps: int
    under_way: tuple[str, ...]
    left: Estimate


def ready_steps(plan: Plan, state: RunState) -> list[Step]:
    """Steps that may be begun: all before them ended well, and they themselves did not."""
    well = {name for name, one in state.steps.items() if one.phase in _ENDED_WELL}
    return [step for step in plan.steps if step.id not in well and well.issuperset(step.after)]


def is_failing(plan: Plan, state: RunState) -> bool:
    """Whether what was done has to be taken back: somebody said so, or a step has no attempt left."""
    if state.stopped or state.taking_back:
        return True
    return any(
        one.phase is StepPhase.FAILED and (one.attempts >= step.attempts or not one.facts.get("retry", True))
        for step in plan.steps
        if (one := state.steps.get(step.id)) is not None
    )


def progress_of(plan: Plan, state: RunState) -> Progress:
    """Judged by entries alone."""
    well = {name for name, one in state.steps.items() if one.phase in _ENDED_WELL}
    rest = [replace(step, estimate=NOTHING) if step.id in well else step for step in plan.steps]
    left = in_a_row([step.estimate for step in critical_path(rest)])
    unknown = [step.id for step in rest if not step.estimate.known]
    if unknown:
        left = replace(left, source=Source.NOT_MEASURED, error=0.0, why=f"nobody measured {', '.join(unknown)}")
    begun = tuple(step.id for step in plan.steps if _phase(state, step.id) is StepPhase.BEGUN)
    return Progress(sum(step.id in well for step in plan.steps), len(plan.steps), begun, left)


def _phase(state: RunState, step: str) -> StepPhase | None:
    one = state.steps.get(step)
    return None if one is None else one.phase
