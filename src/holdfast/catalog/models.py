"""The tables. Times are ns since the epoch (UTC), durations seconds, sizes bytes. docs/catalog.md says what each holds.

*Seen* tables (`replicas`, `sightings`, `snapshots`, `proofs`, `cursors`) hold what stores said, by store and key.
*Derived* tables (`arrivals`, `incidents`, `plans`, `runs`, and the counting columns of `assets`) are functions of these
and are written in the same transaction, so that they are the same whatever the order in which things were seen.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Float, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Arrival",
    "Asset",
    "Base",
    "Cursor",
    "Incident",
    "Info",
    "Plan",
    "Proof",
    "Replica",
    "Run",
    "Sighting",
    "Site",
    "Snapshot",
    "StoreRow",
]

_NAMELESS = {"sqlite_with_rowid": False}  # the primary key is the table: no second tree beside it


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {int: BigInteger, str: Text, bytes: LargeBinary, float: Float, bool: Boolean}  # noqa: RUF012


class Info(Base):
    """One row: whose catalog this is. Whoever writes holds it."""

    __tablename__ = "info"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    organisation: Mapped[str]


class Site(Base):
    """As declared; `state` and the rest by the notices that lie at the stores, empty for a site that is as declared."""

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(primary_key=True)
    cloud: Mapped[str]
    region: Mapped[str]
    jurisdiction: Mapped[str]
    state: Mapped[str] = mapped_column(default="")
    since: Mapped[int | None]
    reason: Mapped[str] = mapped_column(default="")
    said_by: Mapped[str] = mapped_column(default="")


class StoreRow(Base):
    """`looked_at`: when it was last asked; `answered_at`: when it last answered; `problem`: why it did not then."""

    __tablename__ = "stores"
    name: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str]
    tier: Mapped[str]
    looked_at: Mapped[int | None]
    answered_at: Mapped[int | None]
    problem: Mapped[str] = mapped_column(default="")


class Asset(Base):
    """As declared (`declared` false: only its snapshots are known), with what its snapshots add up to.

    `newest`: the newest content of a snapshot that was not set aside; `every`: seconds between the newest contents.
    """

    __tablename__ = "assets"
    name: Mapped[str] = mapped_column(primary_key=True)
    declared: Mapped[bool]
    kind: Mapped[str] = mapped_column(default="")
    home: Mapped[str] = mapped_column(default="")
    rpo: Mapped[float | None]
    rto: Mapped[float | None]
    priority: Mapped[int] = mapped_column(default=0)
    snapshots: Mapped[int] = mapped_column(default=0)
    newest: Mapped[int | None]
    every: Mapped[float | None]


class Snapshot(Base):
    """A root, by the first 16 bytes of the SHA-256 of its record: two roots of one id would be two rows."""

    __tablename__ = "snapshots"
    __table_args__ = (
        Index("ix_snapshots_asset_content", "asset", "content"),
        Index("ix_snapshots_id", "id"),
        _NAMELESS,
    )
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(26))
    asset: Mapped[str]
    content: Mapped[int]
    created: Mapped[int]
    step: Mapped[int | None]
    bytes: Mapped[int]
    stored: Mapped[int]
    verdict: Mapped[str]
    writer: Mapped[str]


class Replica(Base):
    """A root at a store. `series`: the folder of its asset there; `digest` None: it cannot be read (`problem`: why)."""

    __tablename__ = "replicas"
    __table_args__ = (Index("ix_replicas_digest", "digest"), _NAMELESS)
    store: Mapped[str] = mapped_column(primary_key=True)
    series: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[bytes | None]
    size: Mapped[int]
    stored_at: Mapped[int]
    problem: Mapped[str] = mapped_column(default="")


class Sighting(Base):
    """Any other object that is of interest: a pointer, a notice about a site, an entry of a run's journal.

    `fact`: what it says, as JSON; empty where it cannot be read (`problem`: the code of the error).
    """

    __tablename__ = "sightings"
    __table_args__ = (Index("ix_sightings_prefix", "prefix"), _NAMELESS)
    store: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    prefix: Mapped[str]
    size: Mapped[int]
    stored_at: Mapped[int]
    digest: Mapped[bytes | None]
    fact: Mapped[str] = mapped_column(default="")
    problem: Mapped[str] = mapped_column(default="")


class Proof(Base):
    """A snapshot was read back at a store. `source`: the machine that did it, there; or `pointer`: as `validated` says,
    where it was saved, which need not be this store. The rest is copied from the replica and its snapshot; there are
    no rows of snapshots that were set aside.
    """

    __tablename__ = "proofs"
    __table_args__ = (
        Index("ix_proofs_newest", "asset", "store", "content", "at", "source"),
        _NAMELESS,
    )
    store: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[int]
    level: Mapped[str]
    asset: Mapped[str]
    content: Mapped[int]
    created: Mapped[int]
    stored_at: Mapped[int]


class Cursor(Base):
    """What a listing below `prefix` showed when it was last taken in. `listing`: a hash of names, sizes and times;
    `salt`: of all else that decides what the objects mean (the configuration of the vault).
    """

    __tablename__ = "cursors"
    __table_args__ = (_NAMELESS,)
    store: Mapped[str] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(primary_key=True)
    listing: Mapped[bytes]
    salt: Mapped[bytes]
    objects: Mapped[int]


class Arrival(Base):
    """What a store has of an asset: how many snapshots can be read there, and the newest that was not set aside."""

    __tablename__ = "arrivals"
    __table_args__ = (Index("ix_arrivals_asset", "asset"), _NAMELESS)
    store: Mapped[str] = mapped_column(primary_key=True)
    series: Mapped[str] = mapped_column(primary_key=True)
    asset: Mapped[str] = mapped_column(primary_key=True)
    snapshots: Mapped[int]
    newest: Mapped[str] = mapped_column(default="")
    content: Mapped[int | None]
    created: Mapped[int | None]
    stored_at: Mapped[int | None]


class Incident(Base):
    """A notice of what became of a site. `counts`: whether no later one knew of it."""

    __tablename__ = "incidents"
    id: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str]
    condition: Mapped[str]
    at: Mapped[int]
    reason: Mapped[str]
    said_by: Mapped[str]
    counts: Mapped[bool]


class Plan(Base):
    """A plan, by its hash. `assets`: their names, a line each. `rto`: seconds, None where nobody measured a part."""

    __tablename__ = "plans"
    hash: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    assets: Mapped[str]
    site: Mapped[str]
    strategy: Mapped[str]
    said_by: Mapped[str]
    isolated: Mapped[bool]
    facts_at: Mapped[int]
    rto: Mapped[float | None]
    rto_error: Mapped[float]
    steps: Mapped[int]


class Run(Base):
    """A run, as the entries of its journal say. `verdict`: empty while it goes on."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    plan: Mapped[str]
    owner: Mapped[str]
    begun: Mapped[int]
    ended: Mapped[int | None]
    verdict: Mapped[str]
    entries: Mapped[int]
    done: Mapped[int]
