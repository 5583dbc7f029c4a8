"""What sites owe, by what they list: nothing has to be remembered of an outage."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from holdfast.replication.striping.layout import INTERNAL
from holdfast.replication.striping.shards import SHARDS, is_pack_key
from holdfast.replication.striping.sites import Member
from holdfast.replication.striping.store import StripedStore

__all__ = ["Copies", "HealingPlan", "owed_sites", "plan_healing", "targets_of", "walk_whole"]


class Copies(NamedTuple):
    """Which sites have an object whole: position → bytes, the home first. `good`: without those marked as void."""

    listed: dict[int, int]
    good: dict[int, int]

    @property
    def size(self) -> int:
        """Bytes of the copy that counts."""
        return next(iter(self.good.values()), 0)

    @property
    def differ(self) -> bool:
        """Whether the sizes tell that not all copies are equal."""
        return len(set(self.good.values())) > 1


@dataclass
class HealingPlan:
    """What healing has to do. `fragments`: packs of which too few shards are left, or were ever written, and how many.
    `owed`: sites that do not answer, for which nothing can be done now.
    """

    packs: int = 0
    objects: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    fragments: dict[str, int] = field(default_factory=dict)
    owed: list[str] = field(default_factory=list)


def plan_healing(store: StripedStore, positions: Collection[int] | None = None) -> HealingPlan:
    """What `heal_stripes` would do at these sites, or at all. Reads listings only; so not what is damaged."""
    store.sites.forget()
    targets = targets_of(store, positions)
    plan = HealingPlan(owed=owed_sites(store, positions))
    for _, copies in walk_whole(store):
        lacking = [member for member in targets if member.position not in copies.good]
        if lacking and copies.good:
            plan.objects += 1
            plan.bytes_read += copies.size
            plan.bytes_written += copies.size * len(lacking)
    for key, seen in store.packs.walk():
        absent = [member.position for member in targets if member.position not in seen.shards]
        if not seen.is_whole:
            plan.fragments[key] = len(seen.shards)
        elif absent:
            plan.packs += 1
            plan.bytes_read += sum(seen.cut.shard_bytes(number) for number in sorted(seen.shards)[: seen.cut.k])
            plan.bytes_written += sum(seen.cut.shard_bytes(number) for number in absent)
    return plan


def walk_whole(store: StripedStore) -> Iterator[tuple[str, Copies]]:
    """Every object that is to lie whole at each site and that any has, in order. Raises StoreUnreachableError when too
    few sites answer.
    """
    sites = store.sites
    voids = store.whole.voids()
    listings = [store.whole.listing(rank, member, "", "") for rank, member in enumerate(sites.ready())]
    merged = heapq.merge(*listings, key=lambda entry: entry[:2])
    for key, group in groupby(merged, key=lambda entry: entry[0]):
        if key.startswith((SHARDS, INTERNAL)):
            continue
        listed = {member.position: info.size for _, _, member, info in group}
        if is_pack_key(key) and max(listed.values()) >= store.whole_below:
            continue  # a large pack that is not cut yet: `stripe_packs`
        home = sites.home.position
        counted = {one: size for one, size in listed.items() if one == home or not voids.covers(one, key)}
        yield key, Copies(listed, counted)
    store.whole.check_enough_listed("")


def targets_of(store: StripedStore, positions: Collection[int] | None) -> list[Member]:
    """Those of these sites, or of all, that answer."""
    return [member for member in store.sites.ready() if positions is None or member.position in positions]


def owed_sites(store: StripedStore, positions: Collection[int] | None) -> list[str]:
    """Those that do not, and why."""
    return [
        f"{member.name} {member.trouble}"
        for member in store.sites.absent()
        if positions is None or member.position in positions
    ]
