"""What a plan of tiers costs: a month before and after it, and once for its moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from holdfast.economics.amounts import Cost, CostLine, add_costs, cost_of
from holdfast.economics.copying import Copy, cost_of_copy
from holdfast.economics.storing import billed_bytes, early_deletion_amount, monthly_amount, read_back_amount
from holdfast.replication.tiering.facts import NANOSECONDS, Facts
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.paying import copy_end
from holdfast.replication.tiering.plans import TierPlan, Verb

__all__ = ["PlanCost", "cost_of_copies", "cost_of_plan"]


class PlanCost(msgspec.Struct, frozen=True, kw_only=True):
    """`before`, `after`: storage for a month, by store. `once`: egress, requests, retrieval, reading back, and what is
    billed for bytes that go before their minimum duration is over.
    """

    before: Cost
    after: Cost
    once: Cost


def cost_of_plan(facts: Facts, plan: TierPlan) -> PlanCost:
    """By the facts' price book. Packs that nobody needs count as gone, though they lie until they are collected."""
    layout = Layout(facts)
    before = layout.packs_at()
    after = {name: dict(count) for name, count in before.items()}
    once = [cost_of(facts.book, [])]
    for move in plan.moves:
        packs = layout.snapshots[move.snapshot].packs
        count = after[move.store]
        if move.verb is Verb.COPY:
            for pack in packs:
                count[pack] = count.get(pack, 0) + 1
            ends = copy_end(layout, layout.stores[move.source]), copy_end(layout, layout.stores[move.store])
            copy = Copy(source=ends[0], target=ends[1], objects=move.objects, bytes=move.bytes)
            once += [cost_of_copy(facts.book, [copy]), _reading_back(layout, move.store, move.bytes, move.objects)]
        elif move.verb is Verb.DROP:
            for pack in packs:
                count[pack] -= 1
                if not count[pack]:
                    del count[pack]
            once.append(_leaving_early(layout, move.snapshot, move.store, move.bytes))
    return PlanCost(before=_monthly(layout, before), after=_monthly(layout, after), once=add_costs(once))


def cost_of_copies(facts: Facts, copies: Mapping[tuple[str, str], tuple[int, int]]) -> Cost:
    """What was copied, after it was: (store, store) → objects and bytes, as `Moved.copies` counts them. Manifests,
    roots and indexes are among them, which a plan does not count.
    """
    layout = Layout(facts)
    done = []
    for (source, target), (objects, size) in copies.items():
        ends = copy_end(layout, layout.stores[source]), copy_end(layout, layout.stores[target])
        done.append(Copy(source=ends[0], target=ends[1], objects=objects, bytes=size))
    return cost_of_copy(facts.book, done)


def _monthly(layout: Layout, packs_at: Mapping[str, Mapping[str, int]]) -> Cost:
    lines = []
    for name, packs in packs_at.items():
        price = layout.stores[name].price
        billed = billed_bytes(price, layout.size_of(packs), layout.objects_of(packs.keys()))
        lines.append(CostLine(f"a month of {name}", monthly_amount(layout.facts.book, price, billed), price.confirmed))
    return cost_of(layout.facts.book, lines)


def _reading_back(layout: Layout, store: str, size: int, objects: int) -> Cost:
    price = layout.stores[store].price
    amount = read_back_amount(layout.facts.book, price, size, objects)
    return cost_of(layout.facts.book, [CostLine(f"reading back from {price.name}", amount, price.confirmed)])


def _leaving_early(layout: Layout, snapshot: str, store: str, size: int) -> Cost:
    price = layout.stores[store].price
    lived = (layout.now_ns - layout.snapshots[snapshot].at[store].since_ns) / NANOSECONDS
    amount = early_deletion_amount(layout.facts.book, price, size, lived)
    return cost_of(layout.facts.book, [CostLine(f"leaving {price.name} early", amount, price.confirmed)])
