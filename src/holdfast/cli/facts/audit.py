"""Facts about audit logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.audit.entries import Leaf, decode_leaf
from holdfast.audit.reading import Signed
from holdfast.audit.sequencing import Sequenced
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.verifying import Verified
from holdfast.audit.witnessing import Witness
from holdfast.cli.facts.audit_keys import earlier_keys
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.audit import (
    AuditAppended,
    AuditCreated,
    AuditFinding,
    AuditShown,
    AuditVerified,
    AuditWitnessed,
    AuditWitnessKey,
)
from holdfast.clock import to_rfc3339
from holdfast.control.audit.auditing import AuditLog, audit_key_path
from holdfast.control.audit.witnesses import Witnessed

__all__ = [
    "Wanted",
    "appended_facts",
    "created_facts",
    "entry_facts",
    "shown_facts",
    "verified_facts",
    "witness_key_facts",
    "witnessed_facts",
]


class Wanted(NamedTuple):
    """Which entries are shown: those that fit all of it. `actor`: a label, or the beginning of a fingerprint."""

    actor: str = ""
    action: str = ""
    decision: str = ""
    since_ns: int = 0
    until_ns: int = 1 << 63

    def fits(self, leaf: Leaf) -> bool:
        entry, actor = leaf.entry, leaf.entry.actor
        return (
            (not self.actor or actor.label == self.actor or actor.fingerprint.startswith(self.actor))
            and (not self.action or entry.action == self.action or entry.action.startswith(f"{self.action}."))
            and (not self.decision or entry.decision == self.decision)
            and self.since_ns <= entry.at_ns < self.until_ns
        )


def created_facts(log: AuditLog) -> AuditCreated:
    newest = log.declared.newest
    return AuditCreated(
        vault=log.vault_id,
        origin=newest.origin,
        keys=newest.keys,
        witnesses=newest.witnesses,
        quorum=newest.quorum,
        names=newest.names,
        key_file=clean(str(audit_key_path(log.vault_id))),
    )


def appended_facts(
    log: AuditLog, recorded: str | None, done: Sequenced | None, newest: Signed | None, cosigned: Sequence[str]
) -> AuditAppended:
    labels = {mark: member.label for mark, member in log.members.items()}
    return AuditAppended(
        origin=log.declared.origin,
        recorded=recorded,
        sequenced=done.entries if done is not None else 0,
        waiting=done.waiting if done is not None else 0,
        refused={key: clean(why) for key, why in done.refused.items()} if done is not None else {},
        gaps={labels.get(mark, mark): holes for mark, holes in done.gaps.items()} if done is not None else {},
        size=newest.checkpoint.size if newest is not None else None,
        root=newest.checkpoint.root.hex() if newest is not None else None,
        cosigned=sorted(cosigned),
    )


def verified_facts(log: AuditLog, report: Verified, quorum: int) -> AuditVerified:
    checkpoint = report.newest.checkpoint if report.newest is not None else None
    return AuditVerified(
        origin=log.declared.origin,
        sound=report.sound,
        size=checkpoint.size if checkpoint is not None else 0,
        root=checkpoint.root.hex() if checkpoint is not None else None,
        entries=report.entries,
        checkpoints=report.checkpoints,
        seen_size=report.remembered.size if report.remembered is not None else None,
        keys=[key.vkey for key in log.declared.keys],
        earlier_keys=list(earlier_keys(log)),
        witnesses=sorted(report.witnesses),
        quorum=quorum,
        witnessed_size=report.witnessed,
        members=_by_label(log, report.members),
        findings=[
            AuditFinding(kind=one.kind, object=clean(one.object), message=clean(one.message)) for one in report.findings
        ],
    )


def shown_facts(log: AuditLog, wanted: Wanted) -> Iterator[AuditShown]:
    """The entries that fit, oldest first. Each bundle is compared with its tile. Raises DamageError."""
    for number, data in log.entries():
        leaf = decode_leaf(data, f"entry {number}")
        if not wanted.fits(leaf):
            continue
        yield entry_facts(number, leaf)


def entry_facts(number: int, leaf: Leaf) -> AuditShown:
    """One entry."""
    entry = leaf.entry
    return AuditShown(
        number=number,
        id=entry.id,
        time=to_rfc3339(entry.at_ns),
        actor=entry.actor.label,
        role=entry.actor.role,
        fingerprint=entry.actor.fingerprint,
        action=entry.action,
        decision=entry.decision,
        policies=entry.policies,
        objects=entry.objects,
        outcome=entry.outcome,
        origin=entry.origin,
        signed=leaf.signed is not None,
    )


def witness_key_facts(key: NoteKey, file: Path) -> AuditWitnessKey:
    return AuditWitnessKey(name=key.name, keys=[one.vkey for one in key.keys], file=clean(str(file.absolute())))


def _by_label(log: AuditLog, counted: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for mark, entries in counted.items():
        label = log.members[mark].label if mark else "(the log itself)"
        found[label] = found.get(label, 0) + entries
    return dict(sorted(found.items()))


def witnessed_facts(log: AuditLog, witness: Witness, done: Witnessed) -> AuditWitnessed:
    checkpoint = done.signed.checkpoint
    return AuditWitnessed(
        origin=log.declared.origin,
        witness=witness.key.name,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        lines=[one.line for one in done.lines],
        stored=done.stored,
    )
