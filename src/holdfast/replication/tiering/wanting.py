"""On which stores a snapshot belongs: its tier by the rules, then whatever its class owes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from holdfast.replication.tiering.facts import NANOSECONDS, Asset, Raised, Rules, Snapshot, Store, Tier
from holdfast.replication.tiering.layout import COLDNESS, Layout
from holdfast.replication.tiering.owing import Owing
from holdfast.units import format_duration

__all__ = ["Level", "Wanted", "level_of", "wanted_stores"]


class Level(NamedTuple):
    """The tier that a snapshot's age and reads give it at the asset's home, why, and the tier at its other sites."""

    tier: Tier
    why: str
    elsewhere: Tier


class Wanted(NamedTuple):
    """Stores → why. `attainable`: whether they give all that the class owes."""

    stores: dict[str, str]
    attainable: bool


def level_of(snapshot: Snapshot, asset: Asset, rank: int, layout: Layout) -> Level:
    """`rank`: how many snapshots of the asset are newer. At other sites than the home, nobody's reads count."""
    rules = asset.rules
    if snapshot.latest or snapshot.validated:
        return Level(Tier.HOT, f"it is {' and '.join(_pointers(snapshot))}", Tier.WARM)
    if rank < rules.hot_newest:
        newest = "the newest" if rules.hot_newest == 1 else f"among the newest {rules.hot_newest}"
        return Level(Tier.HOT, f"it is {newest}", Tier.WARM)
    age = (layout.now_ns - snapshot.time_ns) / NANOSECONDS
    by_age = _tier_at(rules, age, age)
    elsewhere = Tier.WARM if by_age is Tier.HOT else by_age
    if not snapshot.reads_ns:
        return Level(by_age, f"it is {_ago(age)} old and unread", elsewhere)
    unread = min(age, (layout.now_ns - max(snapshot.reads_ns)) / NANOSECONDS)
    by_reads = _tier_at(rules, age, unread)
    said = f"it is {_ago(age)} old and was read {_ago(unread)} ago"
    if by_reads is by_age:
        return Level(by_age, said, elsewhere)
    window = rules.warm_unread if by_reads is Tier.HOT else rules.cold_unread
    reads = sum((layout.now_ns - read) / NANOSECONDS <= window for read in snapshot.reads_ns)
    now_on = _warmest_at_home(snapshot, asset, layout)
    if now_on is None or COLDNESS[now_on] <= COLDNESS[by_reads] or reads >= rules.raise_reads:
        return Level(by_reads, f"{said} ({reads} times lately)", elsewhere)
    tier = min(now_on, by_age, key=COLDNESS.__getitem__)
    return Level(tier, f"{said}, which is too seldom to raise it ({reads} of {rules.raise_reads} times)", elsewhere)


def _tier_at(rules: Rules, age: float, unread: float) -> Tier:
    if age > rules.cold_after and unread > rules.cold_unread:
        return Tier.COLD
    return Tier.WARM if age > rules.warm_after and unread > rules.warm_unread else Tier.HOT


def _warmest_at_home(snapshot: Snapshot, asset: Asset, layout: Layout) -> Tier | None:
    stores = [store for store in layout.stores_at(asset.sites[0]) if store.name in snapshot.at]
    return stores[0].tier if stores else None


def wanted_stores(
    snapshot: Snapshot, asset: Asset, level: Level, layout: Layout, owing: Owing, raised: Sequence[Raised]
) -> Wanted:
    """One store at each site of the asset; the cheapest ones, no colder than the level, that give what is owed.

    Away from its home a snapshot is not hot but where something asks for it.
    """
    rising = {one.store: f"{one.reason}, until {_until(one, layout)}" for one in raised}
    sites = [site for site in asset.sites if layout.stores_at(site)]
    tiers = [level.tier if site == asset.sites[0] else level.elsewhere for site in sites]
    base = [_store_for(layout, site, tier) for site, tier in zip(sites, tiers, strict=True)]
    chosen: Sequence[Store] | None = base
    if not owing.is_met(snapshot, [store.name for store in base]):
        chosen = _cheapest_that_meets(snapshot, layout, owing, sites, base)
    if chosen is None:
        return Wanted(_as_it_lies(snapshot, layout, sites, base) | rising, attainable=False)
    stores = {}
    for site, store, usual in zip(sites, chosen, base, strict=True):
        if store.name != usual.name:
            stores[store.name] = f"its class asks for more than {usual.name}: {owing.timing(snapshot, usual.name)}"
        elif site == asset.sites[0]:
            stores[store.name] = level.why
        else:
            stores[store.name] = f"a copy at {site}; {level.why}"
    return Wanted(stores | rising, attainable=True)


def _as_it_lies(snapshot: Snapshot, layout: Layout, sites: Sequence[str], base: Sequence[Store]) -> dict[str, str]:
    """Where nothing gives what is owed: all that is there stays, and sites without a copy get one."""
    stores: dict[str, str] = {}
    for site, usual in zip(sites, base, strict=True):
        here = [store.name for store in layout.stores_at(site) if store.name in snapshot.at]
        stores |= dict.fromkeys(here, "no placement gives what its class owes, so nothing goes")
        if not here:
            stores[usual.name] = f"a copy at {site}, though no placement gives what its class owes"
    return stores


def _store_for(layout: Layout, site: str, tier: Tier) -> Store:
    """The site's store of that tier; where it has none the next warmer one, else the next colder one."""
    stores = layout.stores_at(site)
    warmer = [store for store in stores if COLDNESS[store.tier] <= COLDNESS[tier]]
    return warmer[-1] if warmer else stores[0]


def _cheapest_that_meets(
    snapshot: Snapshot, layout: Layout, owing: Owing, sites: Sequence[str], base: Sequence[Store]
) -> tuple[Store, ...] | None:
    """Stores no colder than `base` that give what is owed. Of equally cheap ones those where it lies already."""
    choices = [
        [store for store in layout.stores_at(site) if COLDNESS[store.tier] <= COLDNESS[usual.tier]]
        for site, usual in zip(sites, base, strict=True)
    ]
    ways = sorted(
        product(*choices),
        key=lambda way: (
            sum(store.price.storage for store in way),
            sum(store.name not in snapshot.at for store in way),
            [store.name for store in way],
        ),
    )
    return next((way for way in ways if owing.is_met(snapshot, [store.name for store in way])), None)


def _pointers(snapshot: Snapshot) -> list[str]:
    return [name for name, there in (("latest", snapshot.latest), ("validated", snapshot.validated)) if there]


def _until(raised: Raised, layout: Layout) -> str:
    return f"{format_duration(max(0.0, (raised.until_ns - layout.now_ns) / NANOSECONDS))} from now"


def _ago(seconds: float) -> str:
    return format_duration(max(0.0, seconds))
