"""A vault on a hot, a warm and a cold store of one site, and the facts by which its snapshots are to be moved."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.clock import SYSTEM_CLOCK
from holdfast.economics.book import Region, load_list_prices
from holdfast.errors import StoreUnreachableError
from holdfast.replication.tiering.facts import DAY_NS, Asset, Facts, Owed, Rate, Rules, Site, Store, Tier
from holdfast.replication.tiering.gathering import gather_snapshots
from holdfast.vault.handle import Handle

__all__ = ["facts_of", "HOT", "WARM", "COLD"]

HOT, WARM, COLD = "here/hot", "here/warm", "here/cold"
_BOOK = load_list_prices()
_HERE = Region("aws", "us-east-1")
_CLASSES = {HOT: "aws/fsx-lustre-ssd-125", WARM: "aws/s3-standard", COLD: "aws/s3-glacier-instant"}


def facts_of(
    stores: Mapping[str, Handle],
    assets: tuple[str, ...],
    *,
    days_later: float = 10.0,
    rto_seconds: float | None = 3600.0,
    jurisdiction: str = "US",
    only: frozenset[str] | None = None,
    rates: Mapping[str, float] | None = None,
) -> Facts:
    """As they are `days_later` from now: everything is older than 2 days then, and goes to warm; after 30, to cold."""
    gathered = gather_snapshots(stores, dict.fromkeys(assets, (HOT, WARM, COLD)))
    if gathered.left_out:  # an answer that was lost
        raise StoreUnreachableError("; ".join(gathered.left_out.values()))
    now = SYSTEM_CLOCK.now_ns() + round(days_later * DAY_NS)
    speeds = dict.fromkeys(_CLASSES, 1e9) if rates is None else rates
    owed = Owed(name="training", rto_seconds=rto_seconds, copies=1, only_jurisdictions=only)
    return Facts(
        now_ns=now,
        book=_BOOK,
        sites=(Site(name="here", region=_HERE, jurisdiction=jurisdiction),),
        stores=tuple(
            Store(name=name, site="here", tier=Tier(name.partition("/")[2]), price=_BOOK.storage_price(row, _HERE.name))
            for name, row in _CLASSES.items()
        ),
        rates=tuple(
            Rate(store=name, site="here", bytes_per_second=speed, measured_ns=now) for name, speed in speeds.items()
        ),
        assets=tuple(
            Asset(
                name=name,
                owed=owed,
                sites=("here",),
                recover_at=("here",),
                rules=Rules(gain=-1e9),  # the vaults of tests are so small that no move pays
                verify_bytes_per_second=1e9,
            )
            for name in assets
        ),
        snapshots=gathered.snapshots,
        packs=gathered.packs,
    )
