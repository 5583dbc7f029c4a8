"""Sites, their stores and lines, and how far each is with each asset: from what is declared, and from the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.board import Seen, board_of
from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import (
    Freshness,
    Page,
    PageLinks,
    Problem,
    Time,
    clipped,
    links_of,
    problem_of,
    time_of,
)
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdfast.config.model import Site
    from holdfast.control.service.context import Service

__all__ = [
    "Cell",
    "LinkShown",
    "MatrixRow",
    "Measured",
    "SiteShown",
    "SitesPage",
    "StoreShown",
    "machines_of",
    "sites_page",
]

_EACH: Final = 25
_COST_FRESH_S: Final = 600.0
_RATES_FRESH_S: Final = 30.0
_WAIT_S: Final = 0.2  # for sizes and rates: the rest of the page is worth more than they are


class LinkShown(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is declared: bytes per second, null: no limit. `price_per_gb`: of 10^9 bytes away from the site."""

    name: str
    up: float | None
    down: float | None
    price_per_gb: float | None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What machines at `site` got from the store: bytes per second, at `at`."""

    site: str
    bytes_per_second: float
    at: Time


class StoreShown(msgspec.Struct, frozen=True, kw_only=True):
    """`answers`: null: never asked. `restore_seconds`: until its first byte. `stored_bytes`: what snapshots took there
    when they were saved, as if no copy shared anything with an older one that is gone. `monthly`: what that costs, at
    list prices, in `currency`; null: not priced.
    """

    name: str
    tier: str
    place: str
    restore_seconds: float
    locked_seconds: float | None
    answers: bool | None
    answered_at: Time | None
    problem: str
    snapshots: int | None
    stored_bytes: int | None
    monthly: float | None
    currency: str
    measured: list[Measured]


class SiteShown(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: empty: as declared; else what was said of it, since when, why and by whom. `homes`, `copies`: assets."""

    name: str
    cloud: str
    region: str
    jurisdiction: str
    state: str
    since: Time | None
    reason: str
    said_by: str
    links: list[LinkShown]
    stores: list[StoreShown]
    homes: int
    copies: int
    compute: str


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """An asset at a site. `state`: `there` (has the newest), `late`, `lacks` (owes it, has nothing), `silent` (the
    store did not answer), `none` (is not to be there). `lag_seconds`: how much older its newest is than the newest
    anywhere. `proven`: whether that newest was read back there.
    """

    state: str
    home: bool
    lag_seconds: float | None
    newest: Time | None
    snapshots: int
    proven: bool


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """`cells`: in the order of the sites. `state`: of the asset's objective."""

    asset: str
    state: str
    cells: list[Cell]


class SitesPage(Page, frozen=True, kw_only=True):
    """`matrix`: a page of the assets, the worst first."""

    sites: list[SiteShown]
    matrix: list[MatrixRow]
    find: str
    links: PageLinks
    freshness: list[Freshness]
    problem: Problem | None
    cost_problem: Problem | None


class _Held(msgspec.Struct):
    snapshots: int = 0
    stored: int = 0


def sites_page(service: Service, find: str = "", page: int = 1) -> SitesPage:
    """What is declared is always shown; the rest as far as there is a catalog."""
    board = board_of(service)
    empty: dict[str, _Held] = {}
    held = kept(
        service, "held at stores", lambda: _held(service), empty, seconds=_COST_FRESH_S, wait=_WAIT_S, behind=True
    )
    rates: dict[str, list[Measured]] = {}
    measured = kept(service, "rates", lambda: _rates(service), rates, seconds=_RATES_FRESH_S, wait=_WAIT_S, behind=True)
    try:
        judged = board.judged()
        rows = [(row.standing.asset, row.state.value) for row in judged.rows if find.strip().lower() in row.found]
        links = links_of(len(rows), page, _EACH)
        shown = rows[max(0, links.first - 1) : links.last]
        with service.catalog() as connection:
            matrix = _matrix(service, connection, shown)
            said = _said(connection)
        stores = {one.name: one for one in judged.stores}
        problem = None
    except HoldfastError as error:
        matrix, said, stores, links, problem = [], {}, {}, links_of(0, 1, _EACH), problem_of(error)
    sites = service.sites()
    config = sites.config
    placed: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    try:
        for asset in sites.assets.values():
            for site_name in asset.placement.sites:
                placed[site_name][site_name != asset.placement.sites[0]] += 1
    except HoldfastError as error:
        problem = problem or problem_of(error)
    found = []
    for name, site in config.sites.items():
        state, since, reason, by = said.get(name, ("", None, "", ""))
        found.append(
            SiteShown(
                name=name,
                cloud=site.cloud.value,
                region=site.region,
                jurisdiction=site.jurisdiction,
                state=state,
                since=time_of(since),
                reason=clipped(reason),
                said_by=clipped(by),
                links=_links(site),
                stores=_stores(name, site, stores, held.value if held.problem is None else None, measured.value),
                homes=placed[name][0],
                copies=placed[name][1],
                compute=machines_of(site),
            )
        )
    return SitesPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        sites=found,
        matrix=matrix,
        find=find,
        links=links,
        freshness=board.freshness(),
        problem=problem,
        cost_problem=None if held.problem is None or held.problem.code == "waiting" else held.problem,
    )


def machines_of(site: Site) -> str:
    """What machines are declared there, in a line; empty: none."""
    return clipped(", ".join(f"{one.shape} ({one.kind})" for one in site.compute), 80)


def _links(site: Site) -> list[LinkShown]:
    named = {"": site.link} if site.link is not None else dict(site.links)
    return [
        LinkShown(name=name, up=one.up, down=one.down, price_per_gb=one.price_per_gb)
        for name, one in named.items()
        if one is not None
    ]


def _stores(
    name: str,
    site: Site,
    seen: Mapping[str, Seen],
    held: dict[str, _Held] | None,
    measured: dict[str, list[Measured]],
) -> list[StoreShown]:
    from holdfast.config.effective import restore_time
    from holdfast.control.sites.assets import store_name

    found = []
    for tier, spec in site.stores.items():
        full = store_name(name, tier)
        known = seen.get(full)
        there = None if held is None else held.get(full, _Held())
        price, currency = _monthly(site, tier.value, None if there is None else there.stored)
        found.append(
            StoreShown(
                name=full,
                tier=tier.value,
                place=clipped(spec.url.partition("?")[0], 200),
                restore_seconds=restore_time(tier, spec).value,
                locked_seconds=spec.lock,
                answers=None if known is None or known.looked_at is None else not known.problem,
                answered_at=None if known is None else time_of(known.answered_at),
                problem="" if known is None else clipped(known.problem),
                snapshots=None if there is None else there.snapshots,
                stored_bytes=None if there is None else there.stored,
                monthly=price,
                currency=currency,
                measured=measured.get(full, []),
            )
        )
    return found


def _monthly(site: Site, tier: str, stored: int | None) -> tuple[float | None, str]:
    """By the usual class of storage of that cloud and tier, at list prices."""
    from holdfast.economics.book import load_list_prices
    from holdfast.economics.storing import monthly_amount
    from holdfast.replication.tiering.declared import USUAL_CLASSES

    book = load_list_prices()
    row = USUAL_CLASSES.get((site.cloud.value, tier), "")
    if stored is None or not row:
        return None, book.currency
    try:
        return monthly_amount(book, book.storage_price(row, site.region), stored), book.currency
    except HoldfastError:
        return None, book.currency


def _held(service: Service) -> dict[str, _Held]:
    """Store → readable snapshots, and the bytes that they took when they were saved."""
    from sqlalchemy import func, select

    from holdfast.catalog.models import Replica, Snapshot

    with service.catalog() as connection:
        rows = connection.execute(
            select(Replica.store, func.count(), func.sum(Snapshot.stored))
            .join(Snapshot, Snapshot.digest == Replica.digest)
            .group_by(Replica.store)
        )
        return {store: _Held(count, int(stored or 0)) for store, count, stored in rows}


def _rates(service: Service) -> dict[str, list[Measured]]:
    from holdfast.control.sites.rates import RatesFile

    sites = service.sites()
    config = sites.config
    names = [f"{name}/{tier.value}" for name, site in config.sites.items() for tier in site.stores]
    file = RatesFile(config.organisation, service.environment, service.progress.note)
    found: dict[str, list[Measured]] = {}
    for one in file.rates(names, config.sites, service.clock.now_ns()):
        measured = Measured(site=one.site, bytes_per_second=one.bytes_per_second, at=time_of(one.measured_ns) or "")
        found.setdefault(one.store, []).append(measured)
    return found


def _said(connection: Connection) -> dict[str, tuple[str, int | None, str, str]]:
    from sqlalchemy import select

    from holdfast.catalog.models import Site as SiteRow

    rows = connection.execute(select(SiteRow.name, SiteRow.state, SiteRow.since, SiteRow.reason, SiteRow.said_by))
    return {name: (state, since, reason, by) for name, state, since, reason, by in rows}


def _matrix(service: Service, connection: Connection, shown: list[tuple[str, str]]) -> list[MatrixRow]:
    from sqlalchemy import func, select

    from holdfast.catalog.models import Arrival, Proof, StoreRow

    names = [name for name, _ in shown]
    site_of = {}
    silent = set()
    for store, site, problem in connection.execute(select(StoreRow.name, StoreRow.site, StoreRow.problem)):
        site_of[store] = site
        if problem:
            silent.add(store)
    there: dict[tuple[str, str], tuple[int | None, int, str]] = {}
    rows = connection.execute(
        select(Arrival.asset, Arrival.store, Arrival.content, Arrival.snapshots).where(Arrival.asset.in_(names))
    )
    for asset, store, content, snapshots in rows:
        key = asset, site_of.get(store, "")
        before = there.get(key)
        if before is None or (content or 0) > (before[0] or 0):
            there[key] = content, snapshots + (before[1] if before else 0), store
    proven = {
        (asset, store): content
        for asset, store, content in connection.execute(
            select(Proof.asset, Proof.store, func.max(Proof.content))
            .where(Proof.asset.in_(names), Proof.source != "pointer")
            .group_by(Proof.asset, Proof.store)
        )
    }
    declared = service.sites()
    owed = {name: set(asset.placement.sites) for name, asset in declared.assets.items()}
    homes = {name: asset.placement.sites[0] for name, asset in declared.assets.items()}
    silent_sites = {site_of[store] for store in silent}
    found = []
    for name, state in shown:
        newest = max((one[0] or 0 for key, one in there.items() if key[0] == name), default=0)
        cells = []
        for site in declared.config.sites:
            content, snapshots, store = there.get((name, site), (None, 0, ""))
            lag = None if content is None else max(0, newest - content) / NANOSECONDS
            word = _word(site in owed.get(name, ()), content is not None, lag, site in silent_sites)
            cells.append(
                Cell(
                    state=word,
                    home=homes.get(name) == site,
                    lag_seconds=lag,
                    newest=time_of(content),
                    snapshots=snapshots,
                    proven=content is not None and proven.get((name, store)) == content,
                )
            )
        found.append(MatrixRow(asset=name, state=state, cells=cells))
    return found


def _word(owed: bool, has: bool, lag: float | None, silent: bool) -> str:
    if silent:
        return "silent"
    if not has:
        return "lacks" if owed else "none"
    return "late" if lag else "there"
