"""Stores without bytes, for tests of the projection: dictionaries, whose objects say what follows from their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from holdfast.catalog.database import Database
from holdfast.catalog.projecting import Projection
from holdfast.catalog.seen import (
    Declared,
    DeclaredAsset,
    DeclaredSite,
    DeclaredStore,
    Fact,
    IncidentFact,
    Look,
    PlanFact,
    ProofFact,
    RootFact,
    RunFact,
    StateFact,
)
from holdfast.clock import ManualClock
from holdfast.errors import StoreUnreachableError
from holdfast.stores.protocol import ObjectInfo

SITES = ("a", "b", "c")
ASSETS = ("x", "y")
NOW = 1_700_000_000 * 10**9
MINUTE = 60 * 10**9

DECLARED = Declared(
    tuple(DeclaredSite(name, "aws", name, "EU") for name in SITES),
    tuple(DeclaredStore(f"{name}/warm", name, "warm") for name in SITES),
    tuple(DeclaredAsset(name, "training", "a", 3600.0, 7200.0, 5) for name in ASSETS),
)


class MadeUpStore:
    """`objects`: key → version; the version is its size, and when it was written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, int] = {}
        self.proofs: dict[str, ProofFact] = {}
        self.salt = b"1"
        self.away = False
        self.reads = 0

    def look(self) -> Look:
        if self.away:
            raise StoreUnreachableError("away")
        listings: dict[str, list[ObjectInfo]] = {}
        for key, version in self.objects.items():
            parts = key.split("/")
            prefix = parts[0] if parts[0] == "sites" else "/".join(parts[:2])
            listings.setdefault(prefix, []).append(ObjectInfo(key, version, NOW + version))
        return Look(listings, self.salt, dict(self.proofs), "machine m")

    def read(self, prefix: str, infos: Sequence[ObjectInfo]) -> list[Fact]:
        self.reads += len(infos)
        return [_fact(info, self.salt) for info in infos]


def _fact(info: ObjectInfo, salt: bytes) -> Fact:
    kind, _, rest = info.key.partition("/")
    if info.size % 7 == 6:  # of each kind some cannot be read
        return Fact(problem="damage")
    if kind == "snapshots":
        asset, _, number = rest.partition("/")
        return Fact(root=root(asset, int(number[1:]), info.size, salt))
    if kind == "refs":
        return Fact(json=_json({"target": f"s{info.size}", "at": NOW + info.size, "level": "decoded"}))
    if kind == "sites":
        return Fact(json=_json({"id": rest, "site": SITES[info.size % 3]}))
    return Fact(json=_json({"n": info.size}), digest=hashlib.sha256(info.key.encode()).digest())


def root(asset: str, number: int, version: int, salt: bytes) -> RootFact:
    said = f"{asset} {number} {version % 2} {salt!r}"
    return RootFact(
        hashlib.sha256(said.encode()).digest()[:16],
        f"s{number}",
        asset,
        NOW + number * MINUTE,
        NOW + number * MINUTE,
        number,
        100,
        50,
        "quarantined" if number == 5 else "good",
        salt.decode(),
    )


def _json(said: object) -> str:
    return msgspec.json.encode(said, order="sorted").decode()


class MadeUpMeaning:
    """Simple functions of the facts, in which every one shows."""

    def incidents(self, notices: Iterable[str]) -> tuple[dict[str, StateFact], list[IncidentFact]]:
        found = sorted((msgspec.json.decode(one) for one in notices), key=lambda one: (one["id"], one["site"]))
        by_id = {one["id"]: one for one in found}
        incidents = [IncidentFact(name, one["site"], "failed", NOW, "", "", True) for name, one in by_id.items()]
        return {one["site"]: StateFact("failed", NOW, one["id"], "") for one in by_id.values()}, incidents

    def run(self, run: str, entries: Mapping[str, Mapping[int, tuple[bytes, str]]]) -> RunFact | None:
        said = {number: text for by_number in entries.values() for number, (_, text) in sorted(by_number.items())}
        if not said:
            return None
        plan = PlanFact(f"plan of {run}", "p", ASSETS, "b", "PILOT_LIGHT", "me", False, NOW, 60.0, 1.0, len(said))
        return RunFact(run, plan, "", NOW, NOW + 5, "PASSED" if 2 in said else "", len(said), sum(map(len, entries)))


def projection(database: Database, *, group: int = 3) -> Projection:
    """Small groups: many transactions."""
    return Projection(database, MadeUpMeaning(), ManualClock(NOW), group=group)
