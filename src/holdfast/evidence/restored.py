"""What a run restored: as it was planned, but for what a graceful one saved once more. Pure."""

from __future__ import annotations

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.evidence.gathered import RunOfJournal
from holdfast.recovery.plans import Chosen, Kind

__all__ = ["restored_points"]


def restored_points(run: RunOfJournal) -> tuple[Chosen, ...]:
    """The recovery points as the run took them: of a graceful one those that it saved once more, once it has."""
    return tuple(_saved_once_more(run, one) for one in run.plan.chosen)


def _saved_once_more(run: RunOfJournal, chosen: Chosen) -> Chosen:
    for step in run.plan.steps:
        if step.kind is not Kind.SAVE or step.asset != chosen.asset or step.id not in run.state.done:
            continue
        facts = run.state.steps[step.id].facts
        snapshot, store, content = (facts.get(name) for name in ("snapshot", "store", "content"))
        if not isinstance(snapshot, str) or not isinstance(store, str) or not isinstance(content, int):
            continue
        number = facts.get("step")
        return msgspec.structs.replace(
            chosen,
            snapshot=snapshot,
            store=store,
            site=store.partition("/")[0],
            content=content,
            step=number if isinstance(number, int) else None,
            loss=max(0.0, (run.plan.facts_at - content) / NANOSECONDS),
        )
    return chosen
