"""What the catalog knows, for people: an overview, and all of one asset. Each question is answered from an index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, func, select

from holdfast.catalog.deriving import SET_ASIDE
from holdfast.catalog.judging import Joined, observe
from holdfast.catalog.models import (
    Arrival,
    Asset,
    Base,
    Incident,
    Plan,
    Proof,
    Replica,
    Run,
    Site,
    Snapshot,
    StoreRow,
)
from holdfast.errors import NotFoundError
from holdfast.objectives.standing import Standing, stand

__all__ = ["AssetKnown", "KnownArrival", "KnownRun", "KnownSnapshot", "KnownStore", "Overview", "asset_known"]
__all__ += ["contents", "contents_digest", "overview"]

_TIMES_OF_LOOKING = ("looked_at", "answered_at")


class KnownStore(NamedTuple):
    """`snapshots`: that can be read there; `unreadable`: roots that cannot. `looked_at`, `answered_at`: ns, or None."""

    name: str
    site: str
    state: str
    snapshots: int
    unreadable: int
    looked_at: int | None
    answered_at: int | None
    problem: str


class Overview(NamedTuple):
    """Rows of each table, by its name, and the stores."""

    rows: dict[str, int]
    stores: list[KnownStore]


class KnownArrival(NamedTuple):
    """`proven`: ns of the last time that a machine read something of it back there."""

    store: str
    site: str
    snapshots: int
    newest: str
    content: int | None
    proven: int | None
    problem: str


class KnownSnapshot(NamedTuple):
    """`stores`: where it is; `proven`: where a machine read it back."""

    id: str
    content: int
    step: int | None
    bytes: int
    verdict: str
    stores: tuple[str, ...]
    proven: tuple[str, ...]


class KnownRun(NamedTuple):
    """`ended`: None while it goes on."""

    id: str
    verdict: str
    begun: int
    ended: int | None
    site: str
    isolated: bool


class AssetKnown(NamedTuple):
    """`standing`: None for one that is not declared. `snapshots`: the newest few, newest content first."""

    name: str
    declared: bool
    kind: str
    home: str
    total: int
    standing: Standing | None
    arrivals: list[KnownArrival]
    snapshots: list[KnownSnapshot]
    runs: list[KnownRun]
    incidents: list[tuple[str, str, int, str]]


def overview(connection: Connection) -> Overview:
    """How much there is."""
    rows = {
        name: connection.scalar(select(func.count()).select_from(table)) or 0
        for name, table in sorted(Base.metadata.tables.items())
        if name not in ("info", "cursors")
    }
    readable = dict(
        connection.execute(select(Arrival.store, func.sum(Arrival.snapshots)).group_by(Arrival.store)).all()
    )
    bad = dict(
        connection.execute(
            select(Replica.store, func.count()).where(Replica.digest.is_(None)).group_by(Replica.store)
        ).all()
    )
    stores = connection.execute(
        select(StoreRow, Site.state).join(Site, Site.name == StoreRow.site, isouter=True).order_by(StoreRow.name)
    )
    return Overview(
        rows,
        [
            KnownStore(
                row.name,
                row.site,
                row.state or "",
                int(readable.get(row.name, 0)),
                bad.get(row.name, 0),
                row.looked_at,
                row.answered_at,
                row.problem,
            )
            for row in stores
        ],
    )


def asset_known(connection: Connection, name: str, at: int, newest: int = 10, join: Joined = list) -> AssetKnown:
    """All of one asset, judged at `at` (ns), with drills as of `observe`. Raises NotFoundError."""
    row = connection.execute(
        select(Asset.declared, Asset.kind, Asset.home, Asset.snapshots).where(Asset.name == name)
    ).first()
    if row is None:
        raise NotFoundError(
            f"the catalog knows no asset {name!r}",
            hint="`holdfast catalog status` says how old it is",
            object_name=name,
        )
    arrivals = _arrivals(connection, name)
    judged = [stand(one) for one in observe(connection, at, [name], join)]
    sites = sorted({one.site for one in arrivals} | {row.home})
    incidents = connection.execute(
        select(Incident.site, Incident.condition, Incident.at, Incident.reason)
        .where(Incident.site.in_(sites), Incident.counts, Incident.condition != "declared")
        .order_by(Incident.at, Incident.id)
    )
    return AssetKnown(
        name,
        row.declared,
        row.kind,
        row.home,
        row.snapshots,
        judged[0] if judged else None,
        arrivals,
        _snapshots(connection, name, newest),
        _runs(connection, name),
        [(site, condition, when, reason) for site, condition, when, reason in incidents],
    )


def _arrivals(connection: Connection, asset: str) -> list[KnownArrival]:
    proven = dict(
        connection.execute(
            select(Proof.store, func.max(Proof.at))
            .where(Proof.asset == asset, Proof.source != "pointer")
            .group_by(Proof.store)
        ).all()
    )
    found = connection.execute(
        select(Arrival.store, StoreRow.site, Arrival.snapshots, Arrival.newest, Arrival.content, StoreRow.problem)
        .join(StoreRow, StoreRow.name == Arrival.store)
        .where(Arrival.asset == asset)
        .order_by(Arrival.store)
    )
    return [
        KnownArrival(store, site, snapshots, newest, content, proven.get(store), problem)
        for store, site, snapshots, newest, content, problem in found
    ]


def _snapshots(connection: Connection, asset: str, newest: int) -> list[KnownSnapshot]:
    rows = connection.execute(
        select(Snapshot.digest, Snapshot.id, Snapshot.content, Snapshot.step, Snapshot.bytes, Snapshot.verdict)
        .where(Snapshot.asset == asset)
        .order_by(Snapshot.content.desc(), Snapshot.id.desc())
        .limit(newest)
    ).all()
    stores: dict[bytes, list[str]] = {}
    held = select(Replica.digest, Replica.store).where(Replica.digest.in_([row.digest for row in rows]))
    for digest, store in connection.execute(held.order_by(Replica.store)):
        stores.setdefault(digest or b"", []).append(store)
    known = sorted({store for some in stores.values() for store in some})
    proven: dict[str, list[str]] = {}
    read_back = select(Proof.id, Proof.store).where(
        Proof.store.in_(known), Proof.id.in_([row.id for row in rows]), Proof.source != "pointer"
    )
    for one, store in connection.execute(read_back.distinct().order_by(Proof.store)):
        proven.setdefault(one, []).append(store)
    return [
        KnownSnapshot(
            row.id,
            row.content,
            row.step,
            row.bytes,
            "set aside" if row.verdict == SET_ASIDE else row.verdict,
            tuple(stores.get(row.digest, ())),
            tuple(proven.get(row.id, ())),
        )
        for row in rows
    ]


def _runs(connection: Connection, asset: str) -> list[KnownRun]:
    rows = connection.execute(
        select(Run.id, Run.verdict, Run.begun, Run.ended, Plan.site, Plan.isolated, Plan.assets)
        .join(Plan, Plan.hash == Run.plan)
        .where(Plan.assets.contains(asset, autoescape=True))
        .order_by(Run.begun.desc(), Run.id)
    )
    return [
        KnownRun(run, verdict, begun, ended, site, isolated)
        for run, verdict, begun, ended, site, isolated, assets in rows
        if asset in assets.splitlines()
    ]


def contents(connection: Connection) -> dict[str, list[Sequence[object]]]:
    """Table → all rows, in an order of their own, without the times of looking: what a rebuild makes again."""
    found: dict[str, list[Sequence[object]]] = {}
    for name, table in sorted(Base.metadata.tables.items()):
        columns = [column for column in table.columns if column.name not in _TIMES_OF_LOOKING]
        found[name] = sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)
    return found


def contents_digest(connection: Connection) -> str:
    """SHA-256 of `contents`, 64 hex digits: two catalogs of the same stores have the same."""
    return hashlib.sha256(msgspec.json.encode(contents(connection))).hexdigest()
