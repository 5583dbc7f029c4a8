"""Whether moving snapshots to a colder store pays: judged for all that would go together, as they share packs. Pure.

A pack stays on a store while any snapshot there needs it. So the first old snapshot that goes takes the bases of its
deltas along and frees next to nothing; many together free their own packs and need those bases once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from holdfast.economics.copying import Copy, CopyEnd, cost_of_copy
from holdfast.economics.storing import billed_bytes, lifetime_amount, read_back_amount, storage_amount
from holdfast.replication.tiering.facts import NANOSECONDS, Rules, Snapshot, Store
from holdfast.replication.tiering.layout import Layout

__all__ = ["Outcome", "copy_end", "moving_pays"]


class Outcome(NamedTuple):
    """What a group's move costs and saves within the horizon, in the book's currency."""

    saves: float
    costs: float
    seconds: float

    def pays(self, rules: Rules) -> bool:
        """Whether it pays, by a part of what it saves that is worth the trouble."""
        return self.saves - self.costs > rules.gain * self.saves


def moving_pays(
    layout: Layout,
    counts: Mapping[str, Mapping[str, int]],
    group: Iterable[Snapshot],
    leaving: Iterable[Snapshot],
    warm: Store,
    cold: Store,
    rules: Rules,
) -> Outcome:
    """Of moving `group` from `warm` to `cold`. `leaving`: those that go from `warm` anyway. `counts`: store → pack → by
    how many snapshots it is needed there.
    """
    moved, gone = list(group), list(leaving)
    book = layout.facts.book
    added = {pack for one in moved for pack in one.packs} - counts[cold.name].keys()
    freed = _freed([*moved, *gone], counts[warm.name]) - _freed(gone, counts[warm.name])
    seconds = max((_life(one, layout.now_ns, rules.horizon) for one in moved), default=0.0)
    objects, bytes_ = layout.objects_of(added), layout.size_of(added)
    billed = billed_bytes(warm.price, layout.size_of(freed), layout.objects_of(freed))
    saves = storage_amount(book, warm.price, billed, seconds)
    lies = lifetime_amount(book, cold.price, billed_bytes(cold.price, bytes_, objects), seconds)
    copy = Copy(source=copy_end(layout, warm), target=copy_end(layout, cold), objects=objects, bytes=bytes_)
    moves = cost_of_copy(book, [copy]).total + read_back_amount(book, cold.price, bytes_, objects)
    return Outcome(saves, lies + moves, seconds)


def copy_end(layout: Layout, store: Store) -> CopyEnd:
    """The store as one end of a copy."""
    site = layout.sites[store.site]
    line = 0.0 if site.region.cloud == "onprem" and site.line_per_gb is None else site.line_per_gb
    return CopyEnd(site=site.name, region=site.region, price=store.price, line_per_gb=line)


def _freed(leaving: Iterable[Snapshot], counts: Mapping[str, int]) -> set[str]:
    """Packs that nobody else needs at a store once these have left it."""
    needed: dict[str, int] = {}
    for snapshot in leaving:
        for pack in snapshot.packs:
            needed[pack] = needed.get(pack, 0) + 1
    return {pack for pack, count in needed.items() if count == counts.get(pack, 0)}


def _life(snapshot: Snapshot, now_ns: int, horizon: float) -> float:
    """Seconds that it will still be kept, as far as anybody looks ahead."""
    if snapshot.ends_ns is None:
        return horizon
    return min(horizon, max(0.0, (snapshot.ends_ns - now_ns) / NANOSECONDS))
