"""Outputs of `holdfast catalog`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, SnapshotRef, Time

__all__ = [
    "CatalogShown",
    "CatalogStatus",
    "CatalogUpdated",
    "KnownArrivalFacts",
    "KnownIncidentFacts",
    "KnownRunFacts",
    "KnownSnapshotFacts",
    "KnownStoreFacts",
    "KnownTargetFacts",
    "StandingFacts",
    "TakenFacts",
]


class TakenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One store: how many objects were read, how many had gone. `problem`: why it could not be looked at."""

    store: str
    read: Count
    gone: Count
    problem: str


class CatalogUpdated(Record, frozen=True, kw_only=True, tag="holdfast/catalog-update/1"):
    """`catalog update` and `catalog rebuild`. `aside`: where a damaged catalog was put, if there was one."""

    catalog: str
    rebuilt: bool
    stores: list[TakenFacts]
    aside: str | None


class KnownStoreFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One store as it was when it last answered. `unreadable`: roots there that nobody can read, or trusts."""

    store: str
    site: str
    state: str
    snapshots: Count
    unreadable: Count
    looked: Time | None
    answered: Time | None
    problem: str


class CatalogStatus(Record, frozen=True, kw_only=True, tag="holdfast/catalog-status/1"):
    """`rows`: of each table. `standings`: how many declared assets are in each state."""

    catalog: str
    at: Time
    rows: dict[str, Count]
    standings: dict[str, Count]
    stores: list[KnownStoreFacts]


class KnownTargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """RPO or RTO, in seconds; absent: not measured, or nobody said."""

    target: Seconds | None
    current: Seconds | None
    achievable: Seconds | None
    state: str
    reason: str


class StandingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How the asset stands, as far as the catalog knows."""

    state: str
    rpo: KnownTargetFacts
    rto: KnownTargetFacts


class KnownArrivalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has of it. `proven`: when a machine last read something of it back there."""

    store: str
    snapshots: Count
    newest: SnapshotRef | None
    content: Time | None
    proven: Time | None
    problem: str


class KnownSnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, the stores that have it, and those where a machine read it back."""

    id: SnapshotRef
    content: Time
    step: int | None
    bytes: Bytes
    verdict: str
    stores: list[str]
    proven: list[str]


class KnownRunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery of it, real or (`isolated`) rehearsed. `verdict`: empty while it goes on."""

    run: str
    verdict: str
    begun: Time
    ended: Time | None
    site: str
    isolated: bool


class KnownIncidentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of its sites."""

    site: str
    condition: str
    at: Time
    reason: str


class CatalogShown(Record, frozen=True, kw_only=True, tag="holdfast/catalog-show/1"):
    """`snapshots`: the newest few, of `total`. `standing`: absent for an asset that is not declared."""

    catalog: str
    asset: str
    declared: bool
    kind: str
    home: str
    total: Count
    standing: StandingFacts | None
    stores: list[KnownArrivalFacts]
    snapshots: list[KnownSnapshotFacts]
    runs: list[KnownRunFacts]
    incidents: list[KnownIncidentFacts]
