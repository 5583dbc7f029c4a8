"""Forty assets over three sites: what is saved, kept and read in the simulated year. Everything is stated here."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.economics.book import PriceBook, Region
from holdfast.objectives.retention_rules import Keep
from holdfast.replication.tiering.facts import Asset, Owed, Rules, Site, Store, Tier

__all__ = ["Kind", "KINDS", "Member", "members", "sites", "stores", "LINE_RATES", "VERIFY_RATE", "GB"]

GB = 10**9
VERIFY_RATE = 2.0e9  # bytes a second of a restored snapshot, on a machine of 8 cores and more
_HOUR = 3600.0
_REGIONS = {
    "use1": (Region("aws", "us-east-1"), "US"),
    "euw4": (Region("gcp", "europe-west4"), "EU"),
    "weu": (Region("azure", "westeurope"), "EU"),
}
_STORES = {
    "use1": {Tier.HOT: "aws/fsx-lustre-ssd-125", Tier.WARM: "aws/s3-standard", Tier.COLD: "aws/s3-deep-archive"},
    "euw4": {Tier.HOT: "gcp/pd-ssd", Tier.WARM: "gcp/standard", Tier.COLD: "gcp/archive"},
    "weu": {Tier.HOT: "azure/premium-block-blob", Tier.WARM: "azure/hot", Tier.COLD: "azure/archive"},
}
# What one restore usually gets, bytes a second: from a store to machines of the same site, and of another one.
LINE_RATES = {Tier.HOT: 3.0e9, Tier.WARM: 1.2e9, Tier.COLD: 1.0e9, "between sites": 3.0e8}


@dataclass(frozen=True)
class Kind:
    """Assets of one kind. Sizes in bytes: `full` of a snapshot's files, `anchor` and `delta` as they are stored.

    `saves_per_day` may be below 1; every `anchor_every`-th save is stored in full. `reads_per_month`: of older
    snapshots, by evaluations and comparisons, besides the drills. `homes`: how many assets live at which two sites.
    """

    name: str
    asset_class: str
    rto_hours: float
    copies: int
    full: int
    anchor: int
    delta: int
    saves_per_day: float
    anchor_every: int
    keep: Keep
    reads_per_month: float
    homes: dict[tuple[str, ...], int]
    only: frozenset[str] | None = None


_US, _EU, _ONE = ("use1", "euw4"), ("euw4", "weu"), ("use1",)
_EU_ONLY = frozenset({"EU"})
_RUN_KEEP = Keep(last=4, daily=7, weekly=6, monthly=12)
_LONG_KEEP = Keep(last=7, weekly=4, monthly=24)
_BOTH = {_US: 4, _EU: 2}
KINDS = (
    Kind("pretrain", "training", 4, 2, 900 * GB, 560 * GB, 190 * GB, 2, 8, _RUN_KEEP, 2.0, _BOTH),
    Kind("finetune", "training", 4, 2, 120 * GB, 75 * GB, 22 * GB, 2, 8, _RUN_KEEP, 2.0, _BOTH),
    Kind("weights", "weights", 1, 2, 140 * GB, 96 * GB, 60 * GB, 1 / 7, 4, Keep(last=8, monthly=24), 1.0, _BOTH),
    Kind("corpus", "dataset", 24, 2, 6000 * GB, 4200 * GB, 60 * GB, 1, 30, _LONG_KEEP, 0.5, _BOTH),
    Kind("registry", "registry", 1, 2, 4 * GB, 2 * GB, GB // 5, 4, 16, Keep(last=16, daily=14), 2.0, {_US: 3, _EU: 2}),
    Kind("serving", "inference", 0.25, 2, 60 * GB, 42 * GB, 20 * GB, 1 / 3, 4, Keep(last=6), 2.0, {_US: 3, _EU: 1}),
    Kind("sandbox", "development", 24, 1, 200 * GB, 130 * GB, 40 * GB, 1, 7, Keep(last=7, weekly=8), 1.0, {_ONE: 3}),
    Kind("patients", "regulated", 4, 2, 800 * GB, 600 * GB, 30 * GB, 1, 14, _LONG_KEEP, 0.5, {_EU: 4}, _EU_ONLY),
)


@dataclass(frozen=True)
class Member:
    """One asset and its kind."""

    asset: Asset
    kind: Kind


def members(rules: Rules) -> list[Member]:
    """All assets: forty."""
    found = []
    for kind in KINDS:
        owed = Owed(
            name=kind.asset_class, rto_seconds=kind.rto_hours * _HOUR, copies=kind.copies, only_jurisdictions=kind.only
        )
        for places, count in kind.homes.items():
            for number in range(count):
                asset = Asset(
                    name=f"{kind.name}-{places[0]}-{number}",
                    owed=owed,
                    sites=places,
                    recover_at=places,
                    rules=rules,
                    verify_bytes_per_second=VERIFY_RATE,
                )
                found.append(Member(asset, kind))
    return found


def sites() -> tuple[Site, ...]:
    return tuple(Site(name=name, region=region, jurisdiction=law) for name, (region, law) in _REGIONS.items())


def stores(book: PriceBook) -> tuple[Store, ...]:
    return tuple(
        Store(name=f"{site}/{tier}", site=site, tier=tier, price=book.storage_price(name, _REGIONS[site][0].name))
        for site, tiers in _STORES.items()
        for tier, name in tiers.items()
    )
