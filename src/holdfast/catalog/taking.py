"""Taking in what a store showed below some prefixes: rows of what was seen, in one transaction with what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from holdfast.catalog.batches import batched
from holdfast.catalog.deriving import (
    IDS_AT_ONCE,
    SET_ASIDE,
    derive_arrivals,
    derive_assets,
    derive_incidents,
    derive_run,
    drop_orphans,
)
from holdfast.catalog.models import Cursor, Proof, Replica, Sighting, Snapshot
from holdfast.catalog.seen import Fact, Meaning, ProofFact, RootFact
from holdfast.stores.protocol import ObjectInfo

__all__ = ["POINTER", "Mark", "Shown", "forget_below", "known_objects", "marks_of", "take_in", "take_proofs"]

SNAPSHOTS: Final = "snapshots/"
POINTER: Final = "pointer"


class Mark(NamedTuple):
    """A row of `cursors`: what was taken in."""

    listing: bytes
    salt: bytes


class Shown(NamedTuple):
    """What is below one prefix now. `before`: the mark that it was compared with; None: there was none.

    `found`: objects that are new or changed, and what they say; `gone`: keys of rows that are to go (with `anew`: all).
    """

    prefix: str
    mark: Mark
    before: Mark | None
    objects: int
    found: Sequence[tuple[ObjectInfo, Fact]]
    gone: Sequence[str]
    anew: bool


def marks_of(connection: Connection, store: str, prefixes: Sequence[str] | None = None) -> dict[str, Mark]:
    """What was taken in of a store (below these prefixes)."""
    found: dict[str, Mark] = {}
    if prefixes is None:
        rows = connection.execute(select(Cursor.prefix, Cursor.listing, Cursor.salt).where(Cursor.store == store))
        return {prefix: Mark(listing, salt) for prefix, listing, salt in rows}
    for some in batched(prefixes, IDS_AT_ONCE):
        rows = connection.execute(
            select(Cursor.prefix, Cursor.listing, Cursor.salt).where(Cursor.store == store, Cursor.prefix.in_(some))
        )
        found |= {prefix: Mark(listing, salt) for prefix, listing, salt in rows}
    return found


def known_objects(connection: Connection, store: str, prefix: str) -> dict[str, tuple[int, int]]:
    """Key → size and time of those that have a row."""
    if prefix.startswith(SNAPSHOTS):
        series = prefix.removeprefix(SNAPSHOTS)
        rows = connection.execute(
            select(Replica.id, Replica.size, Replica.stored_at).where(Replica.store == store, Replica.series == series)
        )
        return {f"{prefix}/{one}": (size, stored_at) for one, size, stored_at in rows}
    others = connection.execute(
        select(Sighting.key, Sighting.size, Sighting.stored_at).where(
            Sighting.store == store, Sighting.prefix == prefix
        )
    )
    return {key: (size, stored_at) for key, size, stored_at in others}


def take_in(connection: Connection, store: str, shown: Sequence[Shown], meaning: Meaning) -> list[str]:
    """Write these, but for those that somebody else took in since they were compared: their prefixes are returned."""
    now = marks_of(connection, store, [one.prefix for one in shown])
    ours = [one for one in shown if now.get(one.prefix) == one.before]
    roots = [one for one in ours if one.prefix.startswith(SNAPSHOTS)]
    _take_roots(connection, store, roots)
    _take_others(connection, store, [one for one in ours if not one.prefix.startswith(SNAPSHOTS)], meaning)
    for one in ours:
        connection.execute(delete(Cursor).where(Cursor.store == store, Cursor.prefix == one.prefix))
    rows = [
        {"store": store, "prefix": one.prefix, "objects": one.objects} | one.mark._asdict()
        for one in ours
        if one.objects
    ]
    if rows:
        connection.execute(insert(Cursor), rows)
    return [one.prefix for one in shown if one not in ours]


def forget_below(connection: Connection, store: str) -> None:
    """What was taken in of this store counts as never seen; the rows stay until it is looked at again."""
    marks = [
        {"store": store, "prefix": prefix, "listing": mark.listing, "salt": b"", "objects": 0}
        for prefix, mark in marks_of(connection, store).items()
    ]
    connection.execute(delete(Cursor).where(Cursor.store == store))
    if marks:
        connection.execute(insert(Cursor), marks)


def _take_roots(connection: Connection, store: str, shown: Sequence[Shown]) -> None:
    freed: set[bytes] = set()
    for one in shown:
        series = one.prefix.removeprefix(SNAPSHOTS)
        own = (Replica.store == store) & (Replica.series == series)
        if one.anew:
            freed |= _deleted(connection, own)
            ids = list(_ids(known for known in one.gone))
        else:
            ids = list(_ids([*one.gone, *(info.key for info, _ in one.found)]))
            for some in batched(ids, IDS_AT_ONCE):
                freed |= _deleted(connection, own & Replica.id.in_(some))
        for some in batched(ids, IDS_AT_ONCE):
            connection.execute(delete(Proof).where(Proof.store == store, Proof.id.in_(some)))
    found = [(one.prefix.removeprefix(SNAPSHOTS), info, fact) for one in shown for info, fact in one.found]
    _insert_missing(connection, [fact.root for _, _, fact in found if fact.root is not None])
    if found:
        connection.execute(insert(Replica), [_replica(store, *each) for each in found])
    drop_orphans(connection, freed)
    touched = derive_arrivals(connection, store, {one.prefix.removeprefix(SNAPSHOTS) for one in shown})
    derive_assets(connection, touched)


def _ids(keys: Iterable[str]) -> Iterable[str]:
    return (key.rpartition("/")[2] for key in keys)


def _deleted(connection: Connection, which: Any) -> set[bytes]:
    digests = set(connection.scalars(select(Replica.digest).where(which, Replica.digest.is_not(None))))
    connection.execute(delete(Replica).where(which))
    return {one for one in digests if one is not None}


def _replica(store: str, series: str, info: ObjectInfo, fact: Fact) -> dict[str, Any]:
    return {
        "store": store,
        "series": series,
        "id": info.key.rpartition("/")[2],
        "digest": None if fact.root is None else fact.root.digest,
        "size": info.size,
        "stored_at": info.modified_ns,
        "problem": fact.problem,
    }


def _insert_missing(connection: Connection, roots: Iterable[RootFact]) -> None:
    wanted = {root.digest: root for root in roots}
    for some in batched(sorted(wanted), IDS_AT_ONCE):
        for digest in connection.scalars(select(Snapshot.digest).where(Snapshot.digest.in_(some))):
            del wanted[digest]
    if wanted:
        connection.execute(insert(Snapshot), [root._asdict() for root in wanted.values()])


def _take_others(connection: Connection, store: str, shown: Sequence[Shown], meaning: Meaning) -> None:
    for one in shown:
        own = (Sighting.store == store) & (Sighting.prefix == one.prefix)
        if one.anew:
            connection.execute(delete(Sighting).where(own))
        else:
            keys = [*one.gone, *(info.key for info, _ in one.found)]
            for some in batched(keys, IDS_AT_ONCE):
                connection.execute(delete(Sighting).where(own, Sighting.key.in_(some)))
    rows = [_sighting(store, one.prefix, info, fact) for one in shown for info, fact in one.found]
    if rows:
        connection.execute(insert(Sighting), rows)
    if any(one.prefix == "sites" for one in shown):
        derive_incidents(connection, meaning)
    for one in shown:
        if one.prefix.startswith("runs/"):
            derive_run(connection, meaning, one.prefix)


def _sighting(store: str, prefix: str, info: ObjectInfo, fact: Fact) -> dict[str, Any]:
    return {
        "store": store,
        "key": info.key,
        "prefix": prefix,
        "size": info.size,
        "stored_at": info.modified_ns,
        "digest": fact.digest,
        "fact": fact.json,
        "problem": fact.problem,
    }


def take_proofs(connection: Connection, store: str, source: str, proofs: Mapping[str, ProofFact]) -> None:
    """What `source` says was read back at this store, of what lies there and was not set aside: no more, no less."""
    columns = (Proof.id, Proof.at, Proof.level, Proof.asset, Proof.content, Proof.created, Proof.stored_at)
    old = {
        str(row[0]): tuple(row)
        for row in connection.execute(select(*columns).where(Proof.store == store, Proof.source == source))
    }
    new: dict[str, tuple[Any, ...]] = {}
    for some in batched(sorted(proofs), IDS_AT_ONCE):
        rows = connection.execute(
            select(Snapshot.id, Snapshot.asset, Snapshot.content, Snapshot.created, Replica.stored_at)
            .join(Replica, Replica.digest == Snapshot.digest)
            .where(Snapshot.id.in_(some), Replica.store == store, Snapshot.verdict != SET_ASIDE)
            .order_by(Snapshot.id, Snapshot.digest)
        )
        for one, asset, content, created, stored_at in rows:
            at, level = proofs[one]
            new[one] = (one, at, level, asset, content, created, stored_at)
    stale = [one for one, row in old.items() if new.get(one) != row]
    for some in batched(stale, IDS_AT_ONCE):
        connection.execute(delete(Proof).where(Proof.store == store, Proof.source == source, Proof.id.in_(some)))
    names = [column.key for column in columns]
    fresh = [
        dict(zip(names, row, strict=True)) | {"store": store, "source": source}
        for one, row in new.items()
        if old.get(one) != row
    ]
    if fresh:
        connection.execute(insert(Proof), fresh)
