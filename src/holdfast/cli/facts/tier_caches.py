"""Facts about caches: what they are to hold, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast.cli.facts.tiers import held_facts, money_facts, move_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.tier_caches import CachedSnapshot, CacheState, TierCache, TierCacheStatus
from holdfast.cli.schemas.tiers import TierLeft
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.sites.caching import CachePlanned, CacheStatus
    from holdfast.replication.tiering.moving import Moved

__all__ = ["planned_facts", "status_facts"]


def planned_facts(wanted: CachePlanned, moved: Moved | None, *, dry_run: bool) -> TierCache:
    """What it is to hold, what moves, and what was moved."""
    facts, choice = wanted.planned.facts, wanted.choice
    snapshots = {one.id: one for one in facts.snapshots}
    left = wanted.planned.left_out | (choice.left_out if wanted.budget else {}) | wanted.held
    cost = wanted.planned.cost
    return TierCache(
        at=to_rfc3339(facts.now_ns),
        store=wanted.store,
        budget=wanted.budget,
        bytes=choice.bytes,
        used=wanted.used,
        hold=[
            CachedSnapshot(
                snapshot=name,
                asset=clean(snapshots[name].asset),
                why=clean(why),
                lies_there=wanted.store in snapshots[name].at,
            )
            for name, why in choice.hold.items()
        ],
        left_out=[TierLeft(what=clean(name), reason=clean(why)) for name, why in left.items()],
        moves=[move_facts(one) for one in wanted.planned.plan.moves],
        once=None if cost is None else money_facts(cost.once),
        dry_run=dry_run,
        done=[move_facts(one) for one in moved.done] if moved is not None else [],
        held=held_facts(moved.held) if moved is not None else [],
    )


def status_facts(found: Iterable[CacheStatus], now_ns: int) -> TierCacheStatus:
    """What is there."""
    return TierCacheStatus(
        at=to_rfc3339(now_ns),
        caches=[
            CacheState(
                store=one.store,
                decided=to_rfc3339(one.cache.at),
                budget=one.cache.budget,
                used=one.used,
                verified=[name for name, read in one.there.items() if read],
                unverified=[name for name, read in one.there.items() if not read],
                missing=list(one.missing),
            )
            for one in found
        ],
    )
