"""The audit log: its newest entries, each checked against the tree that was signed, and proofs to take away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import Freshness, Page, Problem, Time, clipped, time_of

if TYPE_CHECKING:
    from holdfast.control.audit.auditing import AuditLog
    from holdfast.control.service.context import Service

__all__ = ["AuditEntry", "AuditPage", "audit_page", "audit_proof"]

_EACH: Final = 100
_FRESH_S: Final = 5.0


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`decision`: `allow` or `deny`; `signed`: in its member's own hand. `objects`: kind → hash or id."""

    number: int
    id: str
    at: Time
    actor: str
    role: str
    action: str
    decision: str
    outcome: str
    origin: str
    objects: dict[str, str]
    signed: bool


class AuditPage(Page, frozen=True, kw_only=True):
    """`entries`: those before number `before` (or the newest), newest first. `root`: of the tree, hex. `witnesses`:
    who are asked to cosign it; `keys`: the log's own, as a verifier needs them. `older`: the number to go on with.
    """

    origin: str
    size: int
    root: str
    keys: list[str]
    witnesses: list[str]
    quorum: int
    entries: list[AuditEntry]
    before: int | None
    older: int | None
    freshness: list[Freshness]
    problem: Problem | None


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    origin: str = ""
    size: int = 0
    root: str = ""
    keys: list[str] = []
    witnesses: list[str] = []
    quorum: int = 0
    entries: list[AuditEntry] = []
    first: int = 0


def audit_page(service: Service, before: int | None = None) -> AuditPage:
    """Entries that cannot be shown to be in the tree are an error, and never shown."""
    told = kept(service, f"audit {before}", lambda: _read(service, before), _Read(), seconds=_FRESH_S)
    read = told.value
    return AuditPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        origin=clipped(read.origin),
        size=read.size,
        root=read.root,
        keys=read.keys,
        witnesses=read.witnesses,
        quorum=read.quorum,
        entries=read.entries,
        before=before,
        older=read.first if read.first > 0 else None,
        freshness=[told.freshness],
        problem=told.problem,
    )


def audit_proof(service: Service, number: int) -> bytes:
    """A `.tlog-proof` of an entry, with the entry in it. Raises UsageError, NotFoundError, DamageError."""
    return _log(service).prove(number)


def _log(service: Service) -> AuditLog:
    from holdfast.control.audit.auditing import log_of

    return log_of(service.vault().handle, environment=service.environment)


def _read(service: Service, before: int | None) -> _Read:
    from holdfast.audit.entries import decode_leaf
    from holdfast.audit.merkle import hash_leaf
    from holdfast.audit.tiles import TILE_WIDTH
    from holdfast.errors import DamageError

    log = _log(service)
    declared = log.declared.newest
    newest = log.reader.newest()
    size = 0 if newest is None else newest.checkpoint.size
    entries: list[AuditEntry] = []
    end = size if before is None else max(0, min(before, size))
    first = max(0, end - _EACH)
    if newest is not None:
        for index in range(first // TILE_WIDTH, -(-end // TILE_WIDTH)):
            bundle = log.reader.bundle(index, size)
            if [hash_leaf(one) for one in bundle] != log.reader.checked_tile(0, index, newest.checkpoint):
                raise DamageError("entries of the audit log are not those that were signed", object_name=log.vault_id)
            for number, data in enumerate(bundle, index * TILE_WIDTH):
                if first <= number < end:
                    leaf = decode_leaf(data, f"entry {number}")
                    entry = leaf.entry
                    entries.append(
                        AuditEntry(
                            number=number,
                            id=clipped(entry.id, 80),
                            at=time_of(entry.at_ns) or "",
                            actor=clipped(entry.actor.label),
                            role=clipped(entry.actor.role, 80),
                            action=clipped(entry.action, 80),
                            decision=clipped(entry.decision, 40),
                            outcome=clipped(entry.outcome),
                            origin=clipped(entry.origin, 120),
                            objects={clipped(k, 80): clipped(v, 200) for k, v in entry.objects.items()},
                            signed=leaf.signed is not None,
                        )
                    )
    return _Read(
        origin=declared.origin,
        size=size,
        root="" if newest is None else newest.checkpoint.root.hex(),
        keys=[clipped(str(one)) for one in declared.keys],
        witnesses=[clipped(str(one)) for one in declared.witnesses],
        quorum=declared.quorum,
        entries=list(reversed(entries)),
        first=first,
    )
