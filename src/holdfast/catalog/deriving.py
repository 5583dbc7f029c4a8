"""Derived rows: each a function of what was seen, written in the transaction that changed it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, not_, select, update

from holdfast.catalog.batches import batched
from holdfast.catalog.models import (
    Arrival,
    Asset,
    Incident,
    Plan,
    Replica,
    Run,
    Sighting,
    Site,
    Snapshot,
)
from holdfast.catalog.seen import Meaning, RunFact
from holdfast.clock import NANOSECONDS

__all__ = [
    "IDS_AT_ONCE",
    "SET_ASIDE",
    "derive_arrivals",
    "derive_assets",
    "derive_incidents",
    "derive_run",
    "drop_orphans",
]

IDS_AT_ONCE: Final = 500  # values in one statement
SET_ASIDE: Final = "quarantined"
_NEWEST: Final = 9  # contents, between which the interval is measured


def derive_arrivals(connection: Connection, store: str, series: Collection[str]) -> set[str]:
    """What the store has below these folders. The assets that it concerns, before or after."""
    touched: set[str] = set()
    for some in batched(sorted(series), IDS_AT_ONCE):
        own = (Arrival.store == store) & Arrival.series.in_(some)
        touched |= set(connection.scalars(select(Arrival.asset).where(own)))
        connection.execute(delete(Arrival).where(own))
        found = connection.execute(
            select(
                Replica.series,
                Snapshot.asset,
                Snapshot.id,
                Snapshot.content,
                Snapshot.created,
                Snapshot.verdict,
                Replica.stored_at,
            )
            .join(Snapshot, Snapshot.digest == Replica.digest)
            .where(Replica.store == store, Replica.series.in_(some))
        )
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for folder, asset, snapshot, content, created, verdict, stored_at in found:
            row = rows.setdefault((folder, asset), _nothing(store, folder, asset))
            row["snapshots"] += 1
            newer = row["content"] is None or (content, snapshot) > (row["content"], row["newest"])
            if verdict != SET_ASIDE and newer:
                row |= {"newest": snapshot, "content": content, "created": created, "stored_at": stored_at}
        if rows:
            connection.execute(insert(Arrival), list(rows.values()))
        touched |= {asset for _, asset in rows}
    return touched


def _nothing(store: str, series: str, asset: str) -> dict[str, Any]:
    empty = {"newest": "", "content": None, "created": None, "stored_at": None}
    return {"store": store, "series": series, "asset": asset, "snapshots": 0} | empty


def derive_assets(connection: Connection, names: Iterable[str]) -> None:
    """What the snapshots of these assets add up to. One without snapshots that is not declared has no row."""
    for some in batched(sorted(names), IDS_AT_ONCE):
        counts = dict(
            connection.execute(
                select(Snapshot.asset, func.count(Snapshot.id.distinct()))
                .where(Snapshot.asset.in_(some))
                .group_by(Snapshot.asset)
            ).all()
        )
        known = dict(connection.execute(select(Asset.name, Asset.declared).where(Asset.name.in_(some))).all())
        for name in some:
            if name not in known and counts.get(name):
                connection.execute(insert(Asset).values(name=name, declared=False))
            elif name in known and not known[name] and not counts.get(name):
                connection.execute(delete(Asset).where(Asset.name == name))
                continue
            newest, every = _pace(connection, name)
            connection.execute(
                update(Asset)
                .where(Asset.name == name)
                .values(snapshots=counts.get(name, 0), newest=newest, every=every)
            )


def _pace(connection: Connection, asset: str) -> tuple[int | None, float | None]:
    """The newest content, and the mean seconds between the newest few."""
    found = connection.scalars(
        select(Snapshot.content)
        .where(Snapshot.asset == asset, Snapshot.verdict != SET_ASIDE)
        .group_by(Snapshot.content)
        .order_by(Snapshot.content.desc())
        .limit(_NEWEST)
    ).all()
    if len(found) < 2:
        return (found[0] if found else None), None
    return found[0], (found[0] - found[-1]) / (len(found) - 1) / NANOSECONDS


def drop_orphans(connection: Connection, digests: Collection[bytes]) -> None:
    """Roots of these that no store has any more."""
    for some in batched(sorted(digests), IDS_AT_ONCE):
        held = select(Replica.digest).where(Replica.digest == Snapshot.digest).exists()
        connection.execute(delete(Snapshot).where(Snapshot.digest.in_(some), not_(held)))


def derive_incidents(connection: Connection, meaning: Meaning) -> None:
    """All of them, and the states of sites."""
    notices = connection.scalars(select(Sighting.fact).where(Sighting.prefix == "sites", Sighting.fact != ""))
    states, incidents = meaning.incidents(sorted(set(notices)))
    connection.execute(delete(Incident))
    if incidents:
        connection.execute(insert(Incident), [one._asdict() for one in incidents])
    connection.execute(update(Site).values(state="", since=None, reason="", said_by=""))
    for site, state in states.items():
        connection.execute(update(Site).where(Site.name == site).values(**state._asdict()))


def derive_run(connection: Connection, meaning: Meaning, prefix: str) -> None:
    """The run whose journal lies below `prefix` (`runs/<run>`), and its plan."""
    run = prefix.partition("/")[2]
    entries: dict[str, dict[int, tuple[bytes, str]]] = {}
    found = connection.execute(
        select(Sighting.store, Sighting.key, Sighting.digest, Sighting.fact).where(Sighting.prefix == prefix)
    )
    for store, key, digest, fact in found:
        number = key.rpartition("/")[2]
        if fact and digest is not None and number.isascii() and number.isdigit():
            entries.setdefault(store, {})[int(number)] = (digest, fact)
    said = meaning.run(run, entries)
    connection.execute(delete(Run).where(Run.id == run))
    if said is not None:
        _write_run(connection, said)
    connection.execute(delete(Plan).where(Plan.hash.not_in(select(Run.plan))))


def _write_run(connection: Connection, said: RunFact) -> None:
    plan = said.plan
    row = said._asdict() | {"plan": "" if plan is None else plan.hash}
    connection.execute(insert(Run), [row])
    if plan is not None:
        connection.execute(delete(Plan).where(Plan.hash == plan.hash))
        connection.execute(insert(Plan), [plan._asdict() | {"assets": "\n".join(plan.assets)}])
