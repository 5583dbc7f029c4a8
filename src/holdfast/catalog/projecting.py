"""Keeping the catalog like the stores: an update reads what is new; a rebuild everything; both leave the same rows.

A store is compared prefix by prefix: a hash of the listing says whether anything changed. What changed is written in
transactions of some thousand objects, each with the new hash of its prefixes. So a crash costs what was not written
yet, and of two that update at once the second one sees that a prefix is not as it was when it looked, and looks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from holdfast.catalog.database import Database
from holdfast.catalog.deriving import derive_arrivals, derive_assets, derive_incidents, derive_run, drop_orphans
from holdfast.catalog.models import Arrival, Asset, Cursor, Proof, Replica, Sighting, Site, StoreRow
from holdfast.catalog.seen import Declared, Look, Meaning, ProofFact, StoreReader, fingerprint
from holdfast.catalog.taking import POINTER, Mark, Shown, forget_below, known_objects, marks_of, take_in, take_proofs
from holdfast.clock import Clock
from holdfast.errors import ConflictError, HoldfastError
from holdfast.stores.protocol import ObjectInfo

__all__ = ["GROUP_OBJECTS", "Projection", "Taken"]

GROUP_OBJECTS: Final = 4000  # new objects in one transaction: a second or so, while which nobody else can write
_ROUNDS_MAX: Final = 50
_PROOFS: Final = "proofs/"


class Taken(NamedTuple):
    """What an update of one store did. `problem`: why it could not be looked at; its rows stayed as they were."""

    store: str
    read: int
    gone: int
    problem: str = ""


class Projection:
    """Writes the catalog in `database`; `meaning`: what notices and journals add up to."""

    def __init__(self, database: Database, meaning: Meaning, clock: Clock, *, group: int = GROUP_OBJECTS) -> None:
        self._database = database
        self._meaning = meaning
        self._clock = clock
        self._group = group

    def declare(self, declared: Declared) -> None:
        """Sites, stores and assets as they are declared now. Rows of stores that are not declared any more go."""
        with self._database.writing() as connection:
            known = set(connection.scalars(select(StoreRow.name)))
            stores = {one.name for one in declared.stores}
            connection.execute(delete(Site))
            if declared.sites:
                connection.execute(
                    insert(Site), [one._asdict() | {"state": "", "reason": "", "said_by": ""} for one in declared.sites]
                )
            for gone in sorted(known - stores):
                self._forget(connection, gone)
            for one in declared.stores:
                if one.name in known:
                    connection.execute(update(StoreRow).where(StoreRow.name == one.name).values(one._asdict()))
                else:
                    connection.execute(insert(StoreRow), [one._asdict() | {"problem": "it was never asked"}])
            _declare_assets(connection, declared)
            derive_incidents(connection, self._meaning)

    def forget(self, store: str) -> None:
        """All rows of a store, as if it had never been seen; it is still declared."""
        with self._database.writing() as connection:
            row = connection.execute(select(StoreRow.site, StoreRow.tier).where(StoreRow.name == store)).first()
            self._forget(connection, store)
            if row is not None:
                fresh = {"name": store, "site": row.site, "tier": row.tier, "problem": "it was never asked"}
                connection.execute(insert(StoreRow), [fresh])

    def take(self, reader: StoreReader, *, anew: bool = False) -> Taken:
        """Bring the rows of one store up to date; `anew`: read everything again, whatever was known.

        A store that does not answer is an outcome. Raises what the database raises, and ConflictError where others
        write without end.
        """
        if anew:
            with self._database.writing() as connection:
                forget_below(connection, reader.name)
        read = gone = 0
        try:
            for _ in range(_ROUNDS_MAX):
                with self._database.reading() as connection:
                    before = marks_of(connection, reader.name)
                look = reader.look()
                contested = False
                for shown in self._compared(reader, look, before):
                    with self._database.writing() as connection:
                        lost = take_in(connection, reader.name, shown, self._meaning)
                    contested |= bool(lost)
                    read += sum(len(one.found) for one in shown if one.prefix not in lost)
                    gone += sum(len(one.gone) for one in shown if one.prefix not in lost)
                if not contested:
                    self._finish(reader.name, look)
                    return Taken(reader.name, read, gone)
        except HoldfastError as error:
            if error.object_name == self._database.shown:
                raise
            self._note(reader.name, error)
            return Taken(reader.name, read, gone, error.message)
        raise ConflictError(
            f"others have changed what the catalog knows of {reader.name} {_ROUNDS_MAX} times while it was read",
            object_name=self._database.shown,
        )

    def _compared(self, reader: StoreReader, look: Look, before: Mapping[str, Mark]) -> Iterator[list[Shown]]:
        """What changed, in groups; objects are read as they come to be needed."""
        group: list[Shown] = []
        size = 0
        listings = look.listings
        for prefix in sorted(listings.keys() | {one for one in before if not one.startswith(_PROOFS)}):
            infos = listings.get(prefix, ())
            mark = Mark(fingerprint(infos), look.salt)
            old = before.get(prefix)
            if old == mark and infos:
                continue
            shown = self._shown(reader, prefix, infos, mark, old)
            group.append(shown)
            size += len(shown.found) + len(shown.gone)
            if size >= self._group:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _shown(
        self, reader: StoreReader, prefix: str, infos: Sequence[ObjectInfo], mark: Mark, old: Mark | None
    ) -> Shown:
        with self._database.reading() as connection:
            known = known_objects(connection, reader.name, prefix)
        anew = old is None or old.salt != mark.salt
        there = {info.key for info in infos}
        wanted = [info for info in infos if anew or known.get(info.key) != (info.size, info.modified_ns)]
        facts = reader.read(prefix, wanted) if wanted else []
        gone = [key for key in known if key not in there]
        return Shown(prefix, mark, old, len(infos), list(zip(wanted, facts, strict=True)), gone, anew)

    def _finish(self, store: str, look: Look) -> None:
        """Proofs, and that it was looked at."""
        now = self._clock.now_ns()
        with self._database.writing() as connection:
            own = f"{_PROOFS}{look.machine}"
            seen = _everything(marks_of(connection, store))
            mark = Mark(_hash_of(look.proofs), seen)
            if marks_of(connection, store, [own]).get(own) != mark:
                take_proofs(connection, store, look.machine, look.proofs)
                take_proofs(connection, store, POINTER, _said_by_pointers(connection, store))
                connection.execute(delete(Cursor).where(Cursor.store == store, Cursor.prefix == own))
                objects = {"store": store, "prefix": own, "objects": len(look.proofs)}
                connection.execute(insert(Cursor), [objects | mark._asdict()])
            connection.execute(
                update(StoreRow).where(StoreRow.name == store).values(looked_at=now, answered_at=now, problem="")
            )

    def _note(self, store: str, error: HoldfastError) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(StoreRow)
                .where(StoreRow.name == store)
                .values(looked_at=self._clock.now_ns(), problem=error.message[:1000].replace("\0", ""))
            )

    def _forget(self, connection: Connection, store: str) -> None:
        series = set(connection.scalars(select(Replica.series).where(Replica.store == store).distinct()))
        series |= set(connection.scalars(select(Arrival.series).where(Arrival.store == store).distinct()))
        digests = connection.scalars(select(Replica.digest).where(Replica.store == store, Replica.digest.is_not(None)))
        freed = {one for one in digests if one is not None}
        prefixes = set(connection.scalars(select(Sighting.prefix).where(Sighting.store == store).distinct()))
        for table in (Replica, Sighting, Proof, Cursor):
            connection.execute(delete(table).where(table.store == store))
        connection.execute(delete(StoreRow).where(StoreRow.name == store))
        drop_orphans(connection, freed)
        derive_assets(connection, derive_arrivals(connection, store, series))
        derive_incidents(connection, self._meaning)
        for prefix in sorted(prefixes):
            if prefix.startswith("runs/"):
                derive_run(connection, self._meaning, prefix)


def _declare_assets(connection: Connection, declared: Declared) -> None:
    known = dict(connection.execute(select(Asset.name, Asset.declared)).all())
    wanted = {one.name for one in declared.assets}
    for one in declared.assets:
        values = one._asdict() | {"declared": True}
        if one.name in known:
            connection.execute(update(Asset).where(Asset.name == one.name).values(values))
        else:
            connection.execute(insert(Asset), [values])
    dropped = [name for name, was in known.items() if was and name not in wanted]
    for name in dropped:
        nothing = {"declared": False, "kind": "", "home": "", "rpo": None, "rto": None, "priority": 0}
        connection.execute(update(Asset).where(Asset.name == name).values(nothing))
    derive_assets(connection, {*dropped, *(one.name for one in declared.assets if one.name not in known)})


def _everything(marks: Mapping[str, Mark]) -> bytes:
    """Of all that was taken in of a store: proofs are of what lies there."""
    hashed = hashlib.sha256()
    for prefix, mark in sorted(marks.items()):
        if not prefix.startswith(_PROOFS):
            hashed.update(prefix.encode() + b"\0" + mark.listing + mark.salt)
    return hashed.digest()[:16]


def _hash_of(proofs: Mapping[str, ProofFact]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(sorted(proofs.items()))).digest()[:16]


class _Pointer(msgspec.Struct):
    target: str
    at: int | None = None
    level: str = ""


def _said_by_pointers(connection: Connection, store: str) -> dict[str, ProofFact]:
    found: dict[str, ProofFact] = {}
    facts = connection.scalars(
        select(Sighting.fact).where(Sighting.store == store, Sighting.prefix.like("refs/%"), Sighting.fact != "")
    )
    for fact in facts:
        one = msgspec.json.decode(fact, type=_Pointer)
        if one.at is not None:
            found[one.target] = max(ProofFact(one.at, one.level), found.get(one.target, ProofFact(0, "")))
    return found
