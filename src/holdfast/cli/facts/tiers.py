"""Facts about tiers: what a plan says, what was done, what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.tiers import (
    ArchiveFacts,
    Money,
    MoneyLine,
    RateFacts,
    TierApplied,
    TierCost,
    TierDecision,
    TierExplained,
    TierHeld,
    TierLeft,
    TierMeasured,
    TierMove,
    TierPlanned,
    TierPrewarmed,
    TierThawing,
)
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.sites.measuring import Sampled
    from holdfast.control.sites.prewarming import Prewarming
    from holdfast.control.sites.tiers import TiersPlanned
    from holdfast.control.vaults.archived import ArchivedPacks
    from holdfast.economics.amounts import Cost
    from holdfast.replication.tiering.moving import Moved
    from holdfast.replication.tiering.plans import Decision, Move

__all__ = ["planned_facts", "explained_facts", "applied_facts", "measured_facts", "prewarmed_facts"]
__all__ += ["thawing_facts", "move_facts", "held_facts", "money_facts"]


def planned_facts(planned: TiersPlanned) -> TierPlanned:
    """What is to be moved, what that costs, and what is not known."""
    plan, cost = planned.plan, planned.cost
    return TierPlanned(
        at=to_rfc3339(plan.made_ns),
        snapshots=len(plan.decisions),
        moves=[move_facts(one) for one in plan.moves],
        cost=None
        if cost is None
        else TierCost(before=money_facts(cost.before), after=money_facts(cost.after), once=money_facts(cost.once)),
        no_cost=clean(planned.no_cost),
        unpriced=list(planned.unpriced),
        not_measured=[clean(one) for one in plan.notes],
        left_out=_left_out(planned),
        problems=_problems(plan.decisions),
    )


def explained_facts(planned: TiersPlanned, decisions: Iterable[Decision]) -> TierExplained:
    """Why snapshots lie where they lie."""
    from holdfast.replication.tiering.plans import explain

    return TierExplained(
        at=to_rfc3339(planned.plan.made_ns),
        decisions=[
            TierDecision(
                snapshot=one.snapshot,
                asset=clean(one.asset),
                tier=one.tier.value,
                why=clean(one.why),
                lies_at=list(one.lies_at),
                wanted={store: clean(why) for store, why in one.wanted.items()},
                moves=[move_facts(move) for move in one.moves],
                held=[clean(text) for text in one.held],
                problems=[clean(text) for text in one.problems],
                text=[clean(line) for line in explain(one)],
            )
            for one in decisions
        ],
        not_measured=[clean(one) for one in planned.plan.notes],
    )


def applied_facts(planned: TiersPlanned, moved: Moved, now_ns: int) -> TierApplied:
    """What was done, and what was not."""
    return TierApplied(
        at=to_rfc3339(now_ns),
        done=[move_facts(one) for one in moved.done],
        held=held_facts(moved.held),
        copied=sum(size for _, size in moved.copies.values()),
        read_back=moved.read_back,
        left_out=_left_out(planned),
        problems=_problems(planned.plan.decisions),
    )


def measured_facts(found: Iterable[Sampled], sites: Sequence[str], now_ns: int) -> TierMeasured:
    """What was measured."""
    return TierMeasured(
        at=to_rfc3339(now_ns),
        sites=list(sites),
        measured=[
            RateFacts(
                store=one.store,
                asset=clean(one.asset),
                bytes=one.bytes,
                seconds=one.seconds,
                rate=one.bytes / one.seconds if not one.why and one.seconds > 0 else None,
                reason=clean(one.why),
            )
            for one in found
        ],
    )


def thawing_facts(found: Iterable[ArchivedPacks], now_ns: int) -> TierThawing:
    """How far archives are with what they were asked for."""
    return TierThawing(at=to_rfc3339(now_ns), archives=[_archive(one) for one in found])


def prewarmed_facts(
    asset: str,
    by_ns: int,
    wanted: Prewarming,
    moved: Moved | None,
    archives: Iterable[ArchivedPacks],
    *,
    dry_run: bool,
) -> TierPrewarmed:
    """When it has to begin, and what was done."""
    found = wanted.prewarm
    step = found.steps[0] if found.steps else None
    in_time = found.in_time
    return TierPrewarmed(
        at=to_rfc3339(wanted.planned.facts.now_ns),
        snapshot=step.snapshot if step is not None else next(iter(found.left_out), ""),
        asset=clean(asset),
        store=found.store,
        by=to_rfc3339(by_ns),
        until=to_rfc3339(wanted.until_ns),
        start=to_rfc3339(found.start_ns),
        ready=None if step is None or step.ready_ns is None else to_rfc3339(step.ready_ns),
        in_time=in_time if isinstance(in_time, bool) else None,
        bytes=step.bytes if step is not None else 0,
        text=[clean(one.text) for one in found.steps] + [clean(why) for why in found.left_out.values()],
        dry_run=dry_run,
        done=[move_facts(one) for one in moved.done] if moved is not None else [],
        held=held_facts(moved.held) if moved is not None else [],
        archives=[_archive(one) for one in archives],
    )


def _archive(one: ArchivedPacks) -> ArchiveFacts:
    return ArchiveFacts(
        store=one.store,
        packs=len(one.packs),
        bytes=one.bytes,
        unasked=len(one.unasked),
        readable=one.readable,
        kinds=[clean(kind) for kind in one.kinds],
        seconds=one.seconds,
        cost=None if one.cost is None else money_facts(one.cost),
    )


def move_facts(one: Move) -> TierMove:
    return TierMove(
        verb=one.verb.value,
        snapshot=one.snapshot,
        asset=clean(one.asset),
        store=one.store,
        source=one.source,
        reason=clean(one.reason),
        needs=list(one.needs),
        bytes=one.bytes,
        objects=one.objects,
    )


def held_facts(held: Mapping[Move, str]) -> list[TierHeld]:
    return [TierHeld(move=move_facts(move), reason=clean(why)) for move, why in held.items()]


def _left_out(planned: TiersPlanned) -> list[TierLeft]:
    refused = [TierLeft(what=clean(one.asset), reason=clean(one.reason)) for one in planned.plan.refused]
    return [TierLeft(what=clean(name), reason=clean(why)) for name, why in planned.left_out.items()] + refused


def _problems(decisions: Iterable[Decision]) -> list[TierLeft]:
    return [TierLeft(what=one.snapshot, reason=clean(text)) for one in decisions for text in one.problems]


def money_facts(cost: Cost) -> Money:
    return Money(
        total=cost.total,
        currency=cost.currency,
        prices_of=cost.as_of,
        confirmed=cost.confirmed,
        lines=[MoneyLine(what=line.what, amount=line.amount, confirmed=line.confirmed) for line in cost.lines],
    )
