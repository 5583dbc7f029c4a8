"""Small cases for the planner of tiers, each with one thing in it. `tier_tables.txt` says what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from holdfast.economics.book import Region, load_list_prices
from holdfast.replication.tiering.facts import (
    DAY_NS,
    Asset,
    Facts,
    Lying,
    Owed,
    Raised,
    Rate,
    Rules,
    Site,
    Snapshot,
    Store,
    Tier,
)

__all__ = ["CASES", "NOW", "asset", "facts", "snapshot"]

NOW = 20_000 * DAY_NS
GB = 10**9
_BOOK = load_list_prices()
_US, _EU, _AZ = Region("aws", "us-east-1"), Region("gcp", "europe-west4"), Region("azure", "westeurope")
_SITES = (
    Site(name="use1", region=_US, jurisdiction="US"),
    Site(name="euw4", region=_EU, jurisdiction="EU"),
    Site(name="weu", region=_AZ, jurisdiction="EU"),
)
_CLASSES = {
    "use1/hot": "aws/fsx-lustre-ssd-125",
    "use1/warm": "aws/s3-standard",
    "use1/cold": "aws/s3-deep-archive",
    "euw4/hot": "gcp/pd-ssd",
    "euw4/warm": "gcp/standard",
    "euw4/cold": "gcp/archive",
    "weu/warm": "azure/hot",
    "weu/cold": "azure/archive",
}
_REGIONS = {"use1": _US, "euw4": _EU, "weu": _AZ}
_STORES = tuple(
    Store(
        name=name,
        site=name.partition("/")[0],
        tier=Tier(name.partition("/")[2]),
        price=_BOOK.storage_price(row, _REGIONS[name.partition("/")[0]].name),
    )
    for name, row in _CLASSES.items()
)
_RATES = tuple(
    Rate(
        store=store.name,
        site=site.name,
        bytes_per_second=1e9 if store.site == site.name else 3e8,
        measured_ns=NOW - DAY_NS,
    )
    for store in _STORES
    for site in _SITES
)
_TRAINING = Owed(name="training", rto_seconds=4 * 3600.0, copies=2)


def asset(**changes: object) -> Asset:
    """A training run at use1, with a copy at euw4."""
    return msgspec.structs.replace(
        Asset(
            name="llama",
            owed=_TRAINING,
            sites=("use1", "euw4"),
            recover_at=("use1", "euw4"),
            verify_bytes_per_second=2e9,
        ),
        **changes,
    )


def snapshot(days: float, at: Mapping[str, float] | Iterable[str], *packs: str, **changes: object) -> Snapshot:
    """`days` old, of 900 GB; `at`: store → days since it came (a list: as old as the snapshot)."""
    since = dict(at) if isinstance(at, Mapping) else dict.fromkeys(at, days)
    return msgspec.structs.replace(
        Snapshot(
            id=f"day-{days:g}",
            asset="llama",
            time_ns=NOW - round(days * DAY_NS),
            bytes=900 * GB,
            fetch_bytes=500 * GB,
            packs=frozenset(packs or (f"own-{days:g}", "base")),
            at={name: Lying(since_ns=NOW - round(ago * DAY_NS), verified_ns=NOW) for name, ago in since.items()},
        ),
        **changes,
    )


def facts(assets: Iterable[Asset], snapshots: Iterable[Snapshot], **changes: object) -> Facts:
    """With the stores and the measured rates of above. Packs have 200 GB, bases 400."""
    found = tuple(snapshots)
    packs = {pack: 400 * GB if pack.startswith("base") else 200 * GB for one in found for pack in one.packs}
    plain = Facts(
        now_ns=NOW,
        book=_BOOK,
        sites=_SITES,
        stores=_STORES,
        rates=_RATES,
        assets=tuple(assets),
        snapshots=found,
        packs=packs,
        object_bytes=32 << 20,
    )
    return msgspec.structs.replace(plain, **changes)


def _pointed(one: Snapshot, store: str, *names: str) -> Snapshot:
    lying = msgspec.structs.replace(one.at[store], pointed_by=names)
    return msgspec.structs.replace(one, at=dict(one.at) | {store: lying})


def _chain(*days: float, at: Iterable[str] = ("use1/hot", "euw4/warm")) -> list[Snapshot]:
    newest, *older = sorted(days)
    return [snapshot(newest, at, latest=True, validated=True), *(snapshot(day, at) for day in older)]


def _only_warm_measured() -> Facts:
    rates = tuple(rate for rate in _RATES if not rate.store.endswith("/cold"))
    return facts([asset()], _chain(1, 10, 60, 90), rates=rates)


def _stale() -> Facts:
    rates = tuple(msgspec.structs.replace(rate, measured_ns=NOW - 40 * DAY_NS) for rate in _RATES)
    return facts([asset()], _chain(1, 60), rates=rates)


def _slow_lines() -> Facts:
    """What lay cold in time does not any more: the line of euw4's cold store is slow."""
    rates = tuple(
        msgspec.structs.replace(rate, bytes_per_second=2e7) if rate.store == "euw4/cold" else rate for rate in _RATES
    )
    old = snapshot(90, {"use1/warm": 60, "euw4/cold": 60})
    return facts([asset()], [*_chain(1), old], rates=rates)


def _small_cache() -> Facts:
    stores = tuple(
        msgspec.structs.replace(store, capacity_bytes=700 * GB) if store.name == "euw4/hot" else store
        for store in _STORES
    )
    raised = tuple(
        Raised(snapshot=f"day-{day}", store="euw4/hot", until_ns=NOW + 3 * DAY_NS, reason="the drill of June")
        for day in (1, 10)
    )
    return facts([asset()], _chain(1, 10), stores=stores, raised=raised)


CASES: dict[str, Callable[[], Facts]] = {
    "a run ages: hot, warm, cold at either site, as far as the RTO of 4 h lets it": lambda: facts(
        [asset()], _chain(0, 1, 5, 20, 45, 90, 150)
    ),
    "a class of 24 h may lie in the archive of use1, which answers after 12 h": lambda: facts(
        [asset(owed=msgspec.structs.replace(_TRAINING, name="dataset", rto_seconds=24 * 3600.0))],
        _chain(0, 45, 90, 150),
    ),
    "what was never measured counts as too slow": _only_warm_measured,
    "measurements of 40 days ago count as none": _stale,
    "a line got slow: what lies cold there is raised": _slow_lines,
    "a single old snapshot needs the base as well: moving it does not pay": lambda: facts(
        [asset(recover_at=("euw4", "weu"), sites=("euw4", "weu"))],
        [
            snapshot(1, ["euw4/hot", "weu/warm"], "base", latest=True, validated=True),
            snapshot(60, ["euw4/hot", "weu/warm"], "base", "tiny"),
        ],
        packs={"base": 400 * GB, "tiny": GB},
    ),
    "retention ends in 3 days: an archive with a minimum of a year does not pay": lambda: facts(
        [asset()],
        [
            *_chain(1),
            snapshot(60, ["use1/warm", "euw4/warm"], "own-60", ends_ns=NOW + 3 * DAY_NS),
        ],
    ),
    "the data of the EU stay there: its asset is refused at use1, and moved between euw4 and weu": lambda: facts(
        [
            asset(owed=msgspec.structs.replace(_TRAINING, only_jurisdictions=frozenset({"EU"}))),
            asset(
                name="patients",
                owed=msgspec.structs.replace(_TRAINING, name="regulated", only_jurisdictions=frozenset({"EU"})),
                sites=("euw4", "weu"),
                recover_at=("euw4", "weu"),
            ),
        ],
        [
            *_chain(1, 60),
            snapshot(0, ["euw4/hot", "weu/warm"], "p0", id="p-new", asset="patients", latest=True),
            snapshot(60, ["euw4/hot", "use1/hot", "weu/warm"], "p1", id="p-old", asset="patients"),
        ],
    ),
    "a tag, a hold and `validated` keep a snapshot where they point to it": lambda: facts(
        [asset()],
        [
            *_chain(1),
            _pointed(snapshot(40, ["use1/hot", "euw4/warm"]), "use1/hot", "tag release"),
            _pointed(snapshot(50, ["use1/hot", "euw4/warm"]), "euw4/warm", "held"),
            _pointed(snapshot(60, ["use1/hot", "euw4/warm"], validated=True), "use1/hot", "validated"),
        ],
    ),
    "read once it stays as it is; read three times it is raised, and stays on the colder store as well": lambda: facts(
        [asset()],
        [
            *_chain(1),
            snapshot(60, {"use1/warm": 50, "euw4/cold": 30}, reads_ns=(NOW - DAY_NS // 2,)),
            snapshot(70, {"use1/warm": 60, "euw4/cold": 40}, reads_ns=(NOW - DAY_NS, NOW - DAY_NS // 2, NOW)),
        ],
    ),
    "what came yesterday, or is paid for, does not leave yet": lambda: facts(
        [asset(sites=("use1", "weu"), recover_at=("use1", "weu"))],
        [*_chain(1, at=("use1/hot", "weu/warm")), snapshot(60, {"use1/hot": 1, "weu/warm": 50, "euw4/cold": 100})],
    ),
    "two are to be hot for a drill, and one has room": _small_cache,
    "the drill is over": lambda: facts([asset()], [*_chain(10), snapshot(40, ["use1/warm", "euw4/warm", "euw4/hot"])]),
    "only one site is there for a class that owes two copies: nothing is dropped": lambda: facts(
        [asset(sites=("use1",))], _chain(1, 60, at=("use1/hot",))
    ),
    "a class without an RTO: nothing is dropped": lambda: facts(
        [asset(owed=msgspec.structs.replace(_TRAINING, name="regulated", rto_seconds=None))], _chain(1, 60)
    ),
    "a copy that nobody read back does not count, and is read": lambda: facts(
        [asset()],
        [
            *_chain(1),
            msgspec.structs.replace(
                snapshot(60, ["use1/hot"]),
                at={
                    "use1/hot": Lying(since_ns=NOW - 60 * DAY_NS, verified_ns=NOW),
                    "use1/warm": Lying(since_ns=NOW - 9 * DAY_NS),
                },
            ),
        ],
    ),
    "hot from the beginning: rules of a day": lambda: facts(
        [asset(rules=Rules(warm_after=3600.0, warm_unread=0.0, cold_after=2 * 86400.0, hot_newest=2))],
        _chain(0, 0.5, 1, 3),
    ),
}
