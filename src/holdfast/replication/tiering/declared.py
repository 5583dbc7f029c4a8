"""What `holdfast.yaml` says, as facts for the planner of tiers: sites, stores with prices, assets, what they owe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.config.effective import Effective, effective, restore_time
from holdfast.config.model import Config, StoreSpec, TierRule
from holdfast.config.model import Site as DeclaredSite
from holdfast.config.placing import place
from holdfast.config.words import Tier as DeclaredTier
from holdfast.economics.book import PriceBook, Region, StoragePrice
from holdfast.errors import NotFoundError, UsageError
from holdfast.replication.tiering.facts import Asset, Owed, Rules, Site, Store, Tier

__all__ = ["Declared", "declared", "USUAL_CLASSES", "UNPRICED"]

UNPRICED = "none is known"
"""`StoragePrice.source` of a store that the price book has no row for: it counts as free."""

USUAL_CLASSES: Mapping[tuple[str, str], str] = {
    ("aws", "hot"): "aws/fsx-lustre-ssd-125",
    ("aws", "warm"): "aws/s3-standard",
    ("aws", "cold"): "aws/s3-glacier-instant",
    ("gcp", "hot"): "gcp/pd-ssd",
    ("gcp", "warm"): "gcp/standard",
    ("gcp", "cold"): "gcp/coldline",
    ("azure", "hot"): "azure/premium-block-blob",
    ("azure", "warm"): "azure/hot",
    ("azure", "cold"): "azure/cold",
}
"""Cloud and tier → the row of the price book that is taken where nobody names another one."""


class Declared(NamedTuple):
    """For `Facts`. `left_out`: assets that the planner does not move, and why."""

    sites: tuple[Site, ...]
    stores: tuple[Store, ...]
    assets: tuple[Asset, ...]
    left_out: dict[str, str]


def declared(
    config: Config,
    book: PriceBook,
    *,
    classes: Mapping[str, str] | None = None,
    verify_rates: Mapping[str, float] | None = None,
) -> Declared:
    """`classes`: store (`use1/cold`) → row of the price book, where it is not the usual one of its cloud and tier.
    `verify_rates`: asset → measured bytes per second of verifying a restored snapshot.

    Raises UsageError for a store of `classes` that is not declared, NotFoundError for a price of them that the book
    lacks. A store whose usual row it lacks in that region is `UNPRICED`.
    """
    named = dict(classes or {})
    stores = tuple(
        _store(book, f"{name}/{tier}", name, tier, site, spec, named)
        for name, site in config.sites.items()
        for tier, spec in site.stores.items()
    )
    if named:
        raise UsageError(f"there is no store {', '.join(sorted(named))} in the configuration")
    assets, left_out = [], {}
    for name in config.assets:
        owed = effective(config, name)
        found = _asset(config, owed, (verify_rates or {}).get(name))
        if isinstance(found, str):
            left_out[name] = found
        else:
            assets.append(found)
    return Declared(tuple(_site(name, site) for name, site in config.sites.items()), stores, tuple(assets), left_out)


def _site(name: str, site: DeclaredSite) -> Site:
    cloud, region = site.failure_domain
    return Site(
        name=name,
        region=Region(cloud, region),
        jurisdiction=site.jurisdiction,
        domain=f"{cloud}/{region}",
        line_per_gb=site.link_called("").price_per_gb,
    )


def _store(
    book: PriceBook,
    name: str,
    site: str,
    tier: DeclaredTier,
    at: DeclaredSite,
    spec: StoreSpec,
    named: dict[str, str],
) -> Store:
    row = named.pop(name, "")
    price = book.storage_price(row, at.region) if row else _usual_price(book, at, tier)
    wait = restore_time(tier, spec).value
    # What is declared counts; a default must not make an archive faster than its class of storage is.
    wait = wait if spec.restore is not None else max(wait, price.first_byte_seconds)
    return Store(name=name, site=site, tier=Tier(tier.value), price=price, first_byte_seconds=wait)


def _usual_price(book: PriceBook, at: DeclaredSite, tier: DeclaredTier) -> StoragePrice:
    row = USUAL_CLASSES.get((at.cloud.value, tier.value), "")
    try:
        if row:
            return book.storage_price(row, at.region)
    except NotFoundError:
        pass
    return StoragePrice(name=row or f"{at.cloud.value}/{tier.value}", region=at.region, storage=0.0, source=UNPRICED)


def _asset(config: Config, owed: Effective, verify_rate: float | None) -> Asset | str:
    """The asset, or why it is none of the planner's."""
    placed = place(config, owed)
    if placed.faults or placed.placement is None:
        return "; ".join(fault.message for fault in placed.faults) or "it has no placement"
    if placed.placement.stripes is not None:
        return f"its packs are striped ({placed.placement.stripes}), and stripes lie where they were cut"
    sites = placed.placement.sites
    machines = tuple(name for name in sites if config.sites[name].compute)
    return Asset(
        name=owed.name,
        owed=Owed(
            name=owed.asset.class_name,
            rto_seconds=owed.rto.value,
            copies=owed.copies.value or 1,
            only_jurisdictions=owed.rules.only,
            not_in=owed.rules.not_in,
        ),
        sites=sites,
        recover_at=machines or sites,
        rules=_rules(owed.tiers.value),
        verify_bytes_per_second=verify_rate,
    )


def _rules(tiers: Mapping[DeclaredTier, TierRule]) -> Rules:
    """The defaults, with what is declared in their place."""
    rules = Rules()
    if warm := tiers.get(DeclaredTier.WARM):
        rules = msgspec.structs.replace(rules, warm_after=warm.after, warm_unread=warm.unread)
    if cold := tiers.get(DeclaredTier.COLD):
        rules = msgspec.structs.replace(rules, cold_after=cold.after, cold_unread=cold.unread)
    return rules
