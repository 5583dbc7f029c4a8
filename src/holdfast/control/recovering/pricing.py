"""What would help an asset to meet its RPO and RTO, with measured figures and the prices of the price book."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.config.words import Tier
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites, store_name
from holdfast.economics.amounts import CostLine
from holdfast.economics.book import MONTH_SECONDS, PriceBook, StoragePrice, load_list_prices
from holdfast.economics.copying import Copy as Copied
from holdfast.economics.copying import CopyEnd, cost_of_copy
from holdfast.economics.storing import ARCHIVE_SECONDS, read_amount, storage_amount
from holdfast.errors import HoldfastError
from holdfast.objectives.changes import Copy, Figures, changes_of
from holdfast.objectives.standing import Change, Observed
from holdfast.recovery.facts import Facts, Replica
from holdfast.recovery.plans import Kind, Plan
from holdfast.replication.tiering.declared import UNPRICED, declared
from holdfast.replication.tiering.facts import Site, Store
from holdfast.vault.format.records import Root

__all__ = ["changes_for"]


def changes_for(
    sites: DeclaredSites,
    asset: DeclaredAsset,
    observed: Observed,
    roots: Sequence[Root],
    planned: tuple[Plan, Facts] | None,
) -> tuple[Change, ...]:
    """`roots`: of its last snapshots. `planned`: a plan of today, and the facts of it. Never raises for prices that
    nobody knows: then a change has none.
    """
    prices = _Prices(sites)
    new = [root.stats["stored"] for root in roots if root.stats.get("stored")]
    snapshot = None if not new else prices.kept(asset, int(statistics.median(new)))
    figures = Figures(
        rpo=observed.rpo,
        rto=observed.rto,
        interval=observed.interval,
        copying=observed.copying,
        verifying=observed.verifying,
        planned=observed.planned,
        snapshot_price=snapshot,
    )
    if planned is not None:
        figures = _with_plan(figures, prices, asset, *planned)
    return changes_of(figures)


def _with_plan(figures: Figures, prices: _Prices, asset: DeclaredAsset, plan: Plan, facts: Facts) -> Figures:
    chosen = next(one for one in plan.chosen if one.asset == asset.name)
    snapshot = next(one for one in facts.snapshots if one.id == chosen.snapshot and one.asset == asset.name)
    read = next(one for one in snapshot.replicas if one.store == chosen.store)
    restore = next(step for step in plan.steps if step.kind is Kind.RESTORE and step.asset == asset.name)
    known = facts.asset(asset.name)
    verifying = None if known is None or known.verifying is None else known.verifying.bytes_per_second
    warmer = _warmer(prices.stores, chosen.store)
    return msgspec.structs.replace(
        figures,
        reading=restore.estimate.seconds if restore.estimate.known else None,
        waiting=read.wait,
        fetch=read.fetch,
        verifying_rate=verifying,
        reading_price=prices.reading(chosen.store, plan.site, read.fetch),
        warmer=warmer,
        warmer_price=prices.more(warmer, chosen.store, read.fetch) if warmer else None,
        copies=tuple(_others(prices, snapshot.replicas, read, plan.site)),
    )


def _others(prices: _Prices, replicas: Sequence[Replica], read: Replica, site: str) -> list[Copy]:
    """Stores that have no copy, and from which restores were measured here."""
    has = {one.store for one in replicas}
    rates: Mapping[str, float] = prices.rates_at(site)
    return [
        Copy(store=name, bytes_per_second=rate, monthly=prices.storing(name, read.fetch))
        for name, rate in rates.items()
        if name not in has
    ]


def _warmer(stores: Mapping[str, Store], name: str) -> str:
    """A declared store of the same site with no wait; empty: there is none."""
    site, order = name.partition("/")[0], list(Tier)
    others = [one for one in stores.values() if one.site == site and one.name != name]
    warmer = [one for one in others if (one.first_byte_seconds or 0.0) < ARCHIVE_SECONDS]
    return next((one.name for one in sorted(warmer, key=lambda one: -order.index(Tier(one.tier.value)))), "")


class _Prices:
    """Money, in the currency of the price book; None where a price is not known."""

    def __init__(self, sites: DeclaredSites) -> None:
        self._sites = sites
        self.book: PriceBook = load_list_prices()
        found = declared(sites.config, self.book)
        self.stores: dict[str, Store] = {one.name: one for one in found.stores}
        self._where: dict[str, Site] = {one.name: one for one in found.sites}

    def rates_at(self, site: str) -> dict[str, float]:
        """Store → measured bytes per second of restores to the site."""
        from holdfast.control.sites.rates import RatesFile

        sites = self._sites
        file = RatesFile(sites.config.organisation, sites.environment, sites.progress.note)
        found = file.rates(list(self.stores), [site], sites.clock.now_ns())
        return {one.store: one.bytes_per_second for one in found if one.bytes_per_second > 0}

    def storing(self, store: str, size: int) -> float | None:
        """A month of it."""
        price = self._price(store)
        return None if price is None else storage_amount(self.book, price, size, MONTH_SECONDS)

    def more(self, store: str, than: str, size: int) -> float | None:
        here, there = self.storing(store, size), self.storing(than, size)
        return None if here is None or there is None else max(0.0, here - there)

    def kept(self, asset: DeclaredAsset, size: int) -> float | None:
        """New bytes of a snapshot: a month at its home and at every copy, and the way there."""
        if asset.set_name:
            return None
        home = store_name(asset.placement.sites[0], asset.placement.tiers[asset.placement.sites[0]])
        amounts = [self.storing(name, size) for name in (home, *asset.targets)]
        amounts += [self._way(home, name, size) for name in asset.targets]
        return None if any(one is None for one in amounts) else sum(one or 0.0 for one in amounts)

    def reading(self, store: str, site: str, size: int) -> float | None:
        """Reading it once at the site."""
        price = self._price(store)
        at = store.partition("/")[0]
        if price is None or at not in self._where:
            return None
        egress = 0.0 if at == site else self._egress(at, site, size)
        return None if egress is None else egress + read_amount(self.book, price, size, 1)

    def _way(self, source: str, target: str, size: int) -> float | None:
        return self._egress(source.partition("/")[0], target.partition("/")[0], size)

    def _egress(self, source: str, target: str, size: int) -> float | None:
        one, other = self._where[source], self._where[target]
        away = CopyEnd(site=source, region=one.region, line_per_gb=one.line_per_gb)
        try:
            copied = Copied(source=away, target=CopyEnd(site=target, region=other.region), objects=1, bytes=size)
            lines: Sequence[CostLine] = cost_of_copy(self.book, [copied]).lines
        except HoldfastError:
            return None
        return sum(line.amount for line in lines)

    def _price(self, store: str) -> StoragePrice | None:
        price = self.stores[store].price if store in self.stores else None
        return None if price is None or price.source == UNPRICED else price
