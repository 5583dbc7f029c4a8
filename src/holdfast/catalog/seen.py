"""What a store shows, and what was declared: the facts of which the catalog is made. Plain values, no database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.records import Root, encode_record
from holdfast.vault.snapshots.roots import content_time

__all__ = [
    "DeclaredAsset",
    "DeclaredSite",
    "DeclaredStore",
    "Declared",
    "Fact",
    "IncidentFact",
    "Look",
    "Meaning",
    "PlanFact",
    "ProofFact",
    "RootFact",
    "RunFact",
    "StateFact",
    "StoreReader",
    "fingerprint",
    "plain_text",
    "root_fact",
]

_INT64_MAX: Final = (1 << 63) - 1


class DeclaredSite(NamedTuple):
    name: str
    cloud: str
    region: str
    jurisdiction: str


class DeclaredStore(NamedTuple):
    """`name`: `euw4/warm`; a set of stripes has its own name, and no site."""

    name: str
    site: str
    tier: str


class DeclaredAsset(NamedTuple):
    """`rpo`, `rto`: seconds; None: nobody said."""

    name: str
    kind: str
    home: str
    rpo: float | None
    rto: float | None
    priority: int


class Declared(NamedTuple):
    """What `holdfast.yaml` says, as far as it is kept."""

    sites: tuple[DeclaredSite, ...]
    stores: tuple[DeclaredStore, ...]
    assets: tuple[DeclaredAsset, ...]


class ProofFact(NamedTuple):
    """A snapshot was read back at `at` (ns)."""

    at: int
    level: str


class Look(NamedTuple):
    """What listing a store showed. `listings`: prefix → the objects that count (`snapshots/<series>`, `refs/<series>`,
    `sites`, `runs/<run>`). Of pointers these are the newest generations.

    `salt`: changes when the same objects may mean something else. `proofs`: snapshot id → read back there by `machine`.
    """

    listings: Mapping[str, Sequence[ObjectInfo]]
    salt: bytes
    proofs: Mapping[str, ProofFact]
    machine: str


class RootFact(NamedTuple):
    """What the catalog keeps of a root. Integers fit into 64 bits; text has no NUL."""

    digest: bytes
    id: str
    asset: str
    content: int
    created: int
    step: int | None
    bytes: int
    stored: int
    verdict: str
    writer: str


class Fact(NamedTuple):
    """What an object says: a root, or JSON; or the code of the error with which it cannot be read. `digest`: of the
    stored bytes of what is not a root.
    """

    root: RootFact | None = None
    json: str = ""
    digest: bytes | None = None
    problem: str = ""


class StoreReader(Protocol):
    """One store, as the catalog looks at it."""

    @property
    def name(self) -> str: ...

    def look(self) -> Look:
        """List it. Raises HoldfastError where it does not answer."""
        ...

    def read(self, prefix: str, infos: Sequence[ObjectInfo]) -> list[Fact]:
        """What these objects say, one fact each. Raises StoreUnreachableError and its like where the store, not the
        object, is the matter: then nothing is taken in. What was deleted meanwhile has the problem `object-not-found`.
        """
        ...


class StateFact(NamedTuple):
    """What counts for a site that is not as declared."""

    state: str
    since: int
    reason: str
    said_by: str


class IncidentFact(NamedTuple):
    """A notice. `counts`: no later one knew of it."""

    id: str
    site: str
    condition: str
    at: int
    reason: str
    said_by: str
    counts: bool


class PlanFact(NamedTuple):
    """`rto`: seconds, None where nobody measured a part of it."""

    hash: str
    name: str
    assets: tuple[str, ...]
    site: str
    strategy: str
    said_by: str
    isolated: bool
    facts_at: int
    rto: float | None
    rto_error: float
    steps: int


class RunFact(NamedTuple):
    """What the entries of a journal add up to."""

    id: str
    plan: PlanFact | None
    owner: str
    begun: int
    ended: int | None
    verdict: str
    entries: int
    done: int


class Meaning(Protocol):
    """What notices and journals add up to: pure functions, which live above this package."""

    def incidents(self, notices: Iterable[str]) -> tuple[dict[str, StateFact], list[IncidentFact]]:
        """Of the notices (JSON) that any store has: site → what counts, and all of them."""
        ...

    def run(self, run: str, entries: Mapping[str, Mapping[int, tuple[bytes, str]]]) -> RunFact | None:
        """Of a run's entries: store → number → (hash of the stored bytes, JSON). None: there is no run in them."""
        ...


def fingerprint(infos: Iterable[ObjectInfo]) -> bytes:
    """Of names, sizes and times of writing, in any order: 16 bytes."""
    hashed = hashlib.sha256()
    for info in sorted(infos):
        hashed.update(f"{info.key}\0{info.size}\0{info.modified_ns}\n".encode(errors="surrogateescape"))
    return hashed.digest()[:16]


def root_fact(root: Root) -> RootFact:
    """What is kept of it."""
    return RootFact(
        digest=hashlib.sha256(encode_record(root)).digest()[:16],
        id=root.id,
        asset=plain_text(root.asset),
        content=_int64(content_time(root)),
        created=_int64(root.created),
        step=None if root.step is None else _int64(root.step),
        bytes=_int64(root.stats.get("raw", root.stats.get("bytes", 0))),
        stored=_int64(root.stats.get("stored", 0)),
        verdict=plain_text(root.validation.verdict),
        writer=plain_text(root.writer),
    )


def plain_text(text: str) -> str:
    """Without what databases do not keep."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _int64(value: int) -> int:
    return max(-_INT64_MAX, min(value, _INT64_MAX))
