"""The planner of tiers: facts in, moves with reasons out. Pure: what it says follows from the facts alone.

For each snapshot it works out where it belongs (`wanting`), keeps groups back whose move does not pay (`paying`), and
then compares with where it lies (`stepping`): copies first, each read back, and only then drops, each with the stores
that have to hold the snapshot by then. Carried out or broken off anywhere, a plan leaves no snapshot with less than its
class owes, if it had that before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from holdfast.economics.amounts import format_money
from holdfast.objectives.measured import NotMeasured
from holdfast.replication.tiering.facts import Asset, Facts, Raised, Snapshot
from holdfast.replication.tiering.layout import COLDNESS, Layout
from holdfast.replication.tiering.owing import Owing
from holdfast.replication.tiering.paying import Outcome, moving_pays
from holdfast.replication.tiering.plans import Decision, Move, Refusal, TierPlan, Verb
from holdfast.replication.tiering.stepping import Draft, Room, draft_steps
from holdfast.replication.tiering.wanting import level_of, wanted_stores
from holdfast.units import format_duration

__all__ = ["plan_tiers"]


def plan_tiers(facts: Facts) -> TierPlan:
    """What is to be copied, read back and dropped now. Raises UsageError for facts that contradict themselves.

    Planning again when all of it was done gives no moves, but for what had no room before and has some then.
    """
    layout = Layout(facts)
    refused = {asset.name: reason for asset in facts.assets if (reason := _forbidden(layout, asset))}
    counts = layout.packs_at()
    raised = _raised(layout, facts.raised, refused)
    by_asset: dict[str, list[Snapshot]] = {asset.name: [] for asset in facts.assets}
    for snapshot in facts.snapshots:
        by_asset[snapshot.asset].append(snapshot)
    drafts: list[Draft] = []
    for asset in facts.assets:
        if asset.name not in refused:
            owned = _drafts_of(layout, asset, by_asset[asset.name], raised)
            _keep_back(layout, counts, owned)
            drafts += owned
    room = Room(layout, counts)
    decisions = [_decide(layout, draft, room) for draft in sorted(drafts, key=_first_raised_then_newest)]
    decisions = _with_freed(layout, counts, decisions)
    return TierPlan(
        made_ns=facts.now_ns,
        moves=tuple(move for one in decisions for move in one.moves),
        decisions=tuple(sorted(decisions, key=lambda one: (one.asset, one.snapshot))),
        refused=tuple(Refusal(asset=name, reason=reason) for name, reason in sorted(refused.items())),
        notes=tuple(_unmeasured(layout)),
    )


def _forbidden(layout: Layout, asset: Asset) -> str:
    """Why the asset may not lie, or be restored, where its placement says; empty when it may."""
    for what, sites in (("lies at", asset.sites), ("is restored to", asset.recover_at)):
        for site in sites:
            if not layout.allows(asset, site):
                where = layout.sites[site].jurisdiction
                return f"its placement {what} {site}, which is in {where}: class {asset.owed.name} forbids that"
    return ""


def _raised(layout: Layout, raised: Iterable[Raised], refused: dict[str, str]) -> dict[str, list[Raised]]:
    """Snapshot → where it is wanted for a time. What a jurisdiction forbids refuses the asset."""
    found: dict[str, list[Raised]] = {}
    for one in raised:
        snapshot = layout.snapshots.get(one.snapshot)
        if snapshot is None or one.until_ns <= layout.now_ns:
            continue
        asset = layout.assets[snapshot.asset]
        if layout.allows(asset, layout.stores[one.store].site):
            found.setdefault(one.snapshot, []).append(one)
        else:
            refused[asset.name] = f"{one.snapshot} is to be raised to {one.store}: class {asset.owed.name} forbids that"
    return found


def _drafts_of(
    layout: Layout, asset: Asset, snapshots: Iterable[Snapshot], raised: Mapping[str, list[Raised]]
) -> list[Draft]:
    owing = Owing(layout, asset)
    drafts = []
    for rank, snapshot in enumerate(sorted(snapshots, key=lambda one: (one.time_ns, one.id), reverse=True)):
        level = level_of(snapshot, asset, rank, layout)
        rising = raised.get(snapshot.id, [])
        wanted = wanted_stores(snapshot, asset, level, layout, owing, rising)
        sources = {one.store: one.source for one in rising}
        drafts.append(Draft(snapshot, asset, owing, level, wanted.stores, wanted.attainable, sources))
    return drafts


def _keep_back(layout: Layout, counts: Mapping[str, Mapping[str, int]], drafts: list[Draft]) -> None:
    """Let groups stay where they are whose move to a colder store costs more than it saves."""
    groups: dict[tuple[str, str], list[Draft]] = {}
    for draft in drafts:
        for way in _ways_down(layout, draft):
            groups.setdefault(way, []).append(draft)
    for (warm, cold), group in groups.items():
        both = [one for one in drafts if warm in one.snapshot.at and cold in one.snapshot.at]
        leaving = [one.snapshot for one in both if warm not in one.wanted]
        rules = group[0].asset.rules
        moved = [one.snapshot for one in group]
        outcome = moving_pays(layout, counts, moved, leaving, layout.stores[warm], layout.stores[cold], rules)
        if not outcome.pays(rules):
            for draft in group:
                _stay(layout, draft, warm, cold, _why_not(layout, outcome, len(group)))


def _ways_down(layout: Layout, draft: Draft) -> Iterator[tuple[str, str]]:
    """Store that it would leave, and the colder one of the same site that it would go to."""
    for name in draft.wanted:
        cold = layout.stores[name]
        if name in draft.snapshot.at:
            continue
        warmer = [
            store.name
            for store in layout.stores_at(cold.site)
            if COLDNESS[store.tier] < COLDNESS[cold.tier] and store.name in draft.snapshot.at
        ]
        if warmer:
            yield warmer[-1], name


def _stay(layout: Layout, draft: Draft, warm: str, cold: str, why: str) -> None:
    instead = {name: reason for name, reason in draft.wanted.items() if name != cold} | {warm: why}
    if draft.owing.is_met(draft.snapshot, instead.keys()) or not draft.attainable:
        draft.wanted = instead
        draft.held.append(f"it does not go from {warm} to {cold}: {why}")


def _why_not(layout: Layout, outcome: Outcome, count: int) -> str:
    currency = layout.facts.book.currency
    return (
        f"moving {count} of its asset's snapshots would cost {format_money(outcome.costs, currency)} and save "
        f"{format_money(outcome.saves, currency)} within {format_duration(outcome.seconds)}"
    )


def _first_raised_then_newest(draft: Draft) -> tuple[bool, int, str]:
    return (not draft.raised, -draft.snapshot.time_ns, draft.snapshot.id)


def _decide(layout: Layout, draft: Draft, room: Room) -> Decision:
    moves = draft_steps(layout, draft, room)
    snapshot = draft.snapshot
    return Decision(
        snapshot=snapshot.id,
        asset=snapshot.asset,
        tier=draft.level.tier,
        why=draft.level.why,
        wanted=draft.wanted,
        lies_at=tuple(sorted(snapshot.at)),
        moves=tuple(moves),
        held=tuple(draft.held),
        problems=tuple(draft.problems),
    )


def _with_freed(
    layout: Layout, counts: Mapping[str, Mapping[str, int]], decisions: Iterable[Decision]
) -> list[Decision]:
    """Say of each drop what it leaves unneeded: of packs that several drops share, the last one."""
    left = {name: dict(count) for name, count in counts.items()}

    def freed(move: Move) -> Move:
        if move.verb is not Verb.DROP:
            return move
        packs = layout.snapshots[move.snapshot].packs
        for pack in packs:
            left[move.store][pack] -= 1
        free = [pack for pack in packs if not left[move.store][pack]]
        return msgspec.structs.replace(move, bytes=layout.size_of(free), objects=layout.objects_of(free))

    return [msgspec.structs.replace(one, moves=tuple(map(freed, one.moves))) for one in decisions]


def _unmeasured(layout: Layout) -> Iterator[str]:
    """Restores that would count if they had been measured."""
    missing: dict[tuple[str, str], set[str]] = {}
    for asset in layout.facts.assets:
        if asset.verify_bytes_per_second is None:
            yield f"NOT_MEASURED: verifying a restored {asset.name!r}; no store counts as fast enough for it"
        for site in asset.sites:
            for store in layout.stores_at(site):
                for machines in asset.recover_at:
                    if isinstance(layout.rates.of(store.name, machines, asset.rules.fresh), NotMeasured):
                        missing.setdefault((store.name, machines), set()).add(asset.name)
    for (store_name, machines), assets in sorted(missing.items()):
        yield (f"NOT_MEASURED: restores from {store_name} to {machines} ({len(assets)} assets); they count as too slow")
