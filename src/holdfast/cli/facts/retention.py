"""Facts about what retention would do, or did, and about holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.retention import (
    EffectFacts,
    RestorableFacts,
    RetainedFacts,
    RetentionApplied,
    RetentionPlanned,
    SnapshotHeld,
    SnapshotUnheld,
)
from holdfast.clock import NANOSECONDS, to_rfc3339

if TYPE_CHECKING:
    from holdfast.objectives.retention import Hold
    from holdfast.vault.format.records import Root
    from holdfast.vault.retaining.applying import Applied
    from holdfast.vault.retaining.planning import Restorable, RetentionPlan

__all__ = ["retention_plan_facts", "retention_applied_facts", "held_facts", "unheld_facts"]


def retention_plan_facts(plan: RetentionPlan, out: str | None) -> RetentionPlanned:
    """A plan, decision by decision."""
    known = {fact.id: fact for fact in plan.facts}
    actions = [one.action for one in plan.decisions]
    return RetentionPlanned(
        vault=plan.vault,
        decisions=[
            RetainedFacts(
                snapshot=one.snapshot,
                asset=clean(one.asset),
                step=known[one.snapshot].step,
                content_time=to_rfc3339(known[one.snapshot].time),
                action=one.action,
                components={clean(name): size for name, size in one.components.items()},
                reasons=[clean(reason) for reason in one.reasons],
                locked_until=_time(plan.locked.get(one.snapshot)),
            )
            for one in plan.decisions
        ],
        kept=actions.count("keep"),
        thinned=actions.count("thin"),
        dropped=actions.count("drop"),
        freed_packs=plan.freed.packs,
        freed_bytes=plan.freed.bytes,
        shared_packs=plan.freed.shared_packs,
        locked_packs=plan.freed.locked_packs,
        locked_bytes=plan.freed.locked_bytes,
        locked_until=_time(plan.freed.locked_until),
        waiting=len(plan.locked),
        effects=[
            EffectFacts(
                asset=clean(one.asset),
                before=_restorable(one.before),
                after=_restorable(one.after),
                packs=one.reading.packs if one.reading is not None else None,
                reading=one.reading.bytes if one.reading is not None else None,
            )
            for one in plan.effects
        ],
        notes=[clean(note) for note in plan.notes],
        digest=plan.digest,
        plan=out,
    )


def retention_applied_facts(plan: RetentionPlan, done: Applied) -> RetentionApplied:
    """What applying a plan did."""
    return RetentionApplied(
        vault=plan.vault,
        dropped=done.dropped,
        thinned=done.thinned,
        before=done.before,
        waiting={snapshot: to_rfc3339(until) for snapshot, until in done.waiting.items()},
        freed_packs=plan.freed.packs,
        freed_bytes=plan.freed.bytes,
        locked_bytes=plan.freed.locked_bytes,
        locked_until=_time(plan.freed.locked_until),
    )


def held_facts(root: Root, hold: Hold) -> SnapshotHeld:
    """A hold that was put on a snapshot."""
    return SnapshotHeld(asset=root.asset, snapshot=root.id, reason=clean(hold.reason), until=_time(hold.until))


def unheld_facts(root: Root, hold: Hold) -> SnapshotUnheld:
    """A hold that was ended."""
    return SnapshotUnheld(asset=root.asset, snapshot=root.id, reason=clean(hold.reason), until=_time(hold.until))


def _restorable(one: Restorable) -> RestorableFacts:
    return RestorableFacts(
        snapshots=one.snapshots,
        oldest=_time(one.oldest),
        newest=_time(one.newest),
        longest_gap=one.gap / NANOSECONDS,
    )


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else to_rfc3339(time_ns)
