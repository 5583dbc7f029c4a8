"""The audit log over a server: its entries, oldest first, each checked against the tree that was signed; proofs."""

from __future__ import annotations

import itertools
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.audit.entries import decode_leaf
from holdfast.cli.facts.audit import Wanted, entry_facts
from holdfast.cli.schemas.audit import AuditShown
from holdfast.cli.serving.words import Line
from holdfast.clock import from_rfc3339
from holdfast.control.authority.acting import acting_as
from holdfast.control.authority.guarding import guard
from holdfast.control.service.operations import Asking, Operation
from holdfast.control.service.reading.audit import audit_proof
from holdfast.errors import UsageError

__all__ = ["OPERATIONS", "AuditEntries", "AuditProof", "ProveEntry", "ShowAudit"]

_LOOKED_AT = 20_000


class ShowAudit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that fit all of it. `actor`: a label, or a fingerprint's beginning. `action`: `key` means all that begin
    `key.`. `since`, `until`: RFC 3339. `first`: entries before this number are left out. `count`: at most so many.
    """

    actor: Line = ""
    action: Line = ""
    decision: Line = ""
    since: Line = ""
    until: Line = ""
    first: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    count: Annotated[int, Meta(ge=1, le=1000)] = 1000


class AuditEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the log `origin`, which has `size` of them. `next`: the number to go on with; null: that was all."""

    origin: str
    size: int
    entries: list[AuditShown]
    next: int | None


class ProveEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry by its number."""

    number: Annotated[int, Meta(ge=0, le=1 << 53)]


class AuditProof(msgspec.Struct, frozen=True, kw_only=True):
    """`proof`: a `.tlog-proof`, in Base64: whoever has the log's public key can verify it offline."""

    number: int
    proof: bytes


def _show(asking: Asking, given: ShowAudit) -> AuditEntries:
    from holdfast.control.audit.auditing import log_of

    service = asking.service
    wanted = Wanted(given.actor, given.action, given.decision, _time(given.since, 0), _time(given.until, 1 << 63))
    with acting_as(asking.principal):
        vault = service.vault()
        guard(vault, "audit.show")
        log = log_of(vault.handle, environment=service.environment)
        entries: list[AuditShown] = []
        following, size = None, 0
        for number, data in itertools.islice(log.entries(), given.first, None):
            size = number + 1
            if len(entries) == given.count or number >= given.first + _LOOKED_AT:
                following = number
                break
            leaf = decode_leaf(data, f"entry {number}")
            if wanted.fits(leaf):
                entries.append(entry_facts(number, leaf))
        newest = log.reader.newest()
        size = size if newest is None else newest.checkpoint.size
        return AuditEntries(origin=log.declared.origin, size=size, entries=entries, next=following)


def _time(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text[:40]!r} is no time", hint="for example 2026-11-20T10:00:00Z") from error


def _prove(asking: Asking, given: ProveEntry) -> AuditProof:
    with acting_as(asking.principal):
        guard(asking.service.vault(), "audit.prove")
        return AuditProof(number=given.number, proof=audit_proof(asking.service, given.number))


OPERATIONS = (
    Operation(
        "audit.show", "GET", "/audit", "audit.show", ShowAudit, AuditEntries, _show,
        "The entries of the audit log, oldest first, each checked against the tree that was signed.",
        on="vault", tag="audit", keeps=2,
    ),
    Operation(
        "audit.prove", "GET", "/audit/{number:int}/proof", "audit.prove", ProveEntry, AuditProof, _prove,
        "The proof that an entry is in the log.", on="vault", tag="audit",
    ),
)  # fmt: skip
