"""What machines and services took in past runs: from the entries of their journals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.control.recovering.step_times import step_seconds, usual
from holdfast.errors import HoldfastError
from holdfast.recovery.estimates import Estimate
from holdfast.recovery.journal.entries import Entry
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.plans import Kind
from holdfast.recovery.running.executor import plan_of

__all__ = ["ComputePast", "compute_past"]


class ComputePast(NamedTuple):
    """Medians, with the distance from them of the one that is farthest. `getting`: (site, shape) → until machines ran.
    `starting`: asset → from its start until it was good at capacity. `saving`: asset → once more, until it was copied.
    """

    getting: Mapping[tuple[str, str], Estimate] = {}
    starting: Mapping[str, Estimate] = {}
    saving: Mapping[str, Estimate] = {}


def compute_past(runs: Mapping[str, Sequence[Entry]]) -> ComputePast:
    """Of these runs, whatever became of them: a step that was done took its time."""
    getting: dict[tuple[str, str], list[float]] = {}
    starting: dict[str, list[float]] = {}
    saving: dict[str, list[float]] = {}
    for entries in runs.values():
        try:
            plan = plan_of(run_state(entries))
        except HoldfastError:
            continue
        steps = {step.id: step for step in plan.steps}
        for name, seconds in step_seconds(entries).items():
            step = steps.get(name)
            if step is None:
                continue
            if step.kind is Kind.GET_COMPUTE:
                getting.setdefault((step.site, str(step.with_.get("shape", ""))), []).append(seconds)
            elif step.kind is Kind.WAIT_HEALTHY:
                starting.setdefault(step.asset, []).append(seconds)
            elif step.kind is Kind.SAVE:
                saving.setdefault(step.asset, []).append(seconds)
    return ComputePast(
        {pool: usual(several, "got") for pool, several in getting.items()},
        {asset: usual(several, "came up") for asset, several in starting.items()},
        {asset: usual(several, "saved once more") for asset, several in saving.items()},
    )
