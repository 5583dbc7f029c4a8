"""What machines and services took in past runs: from the entries of their journals. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.errors import HoldfastError
from holdfast.recovery.estimates import Estimate, Source
from holdfast.recovery.journal.entries import Deed, Entry
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
        for name, seconds in _seconds(entries).items():
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
        {pool: _estimate(several, "got") for pool, several in getting.items()},
        {asset: _estimate(several, "came up") for asset, several in starting.items()},
        {asset: _estimate(several, "saved once more") for asset, several in saving.items()},
    )


def _seconds(entries: Sequence[Entry]) -> dict[str, float]:
    """Step → seconds from its last beginning until it was done, by the clock of the control plane that wrote both."""
    begun: dict[str, Entry] = {}
    found: dict[str, float] = {}
    for entry in entries:
        if entry.deed is Deed.BEGUN:
            begun[entry.step] = entry
        elif entry.deed is Deed.DONE and (before := begun.get(entry.step)) is not None and before.by == entry.by:
            found[entry.step] = max(0.0, (entry.at - before.at) / NANOSECONDS)
    return found


def _estimate(seconds: list[float], what: str) -> Estimate:
    middle = statistics.median(seconds)
    times = "once" if len(seconds) == 1 else f"{len(seconds)} times"
    error = max(abs(one - middle) for one in seconds)
    return Estimate(seconds=middle, error=error, source=Source.MEASURED, why=f"{what} {times} in past runs")
