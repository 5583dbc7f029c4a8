"""Outputs of `holdfast audit`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Count, Record, Time

__all__ = [
    "AuditCreated",
    "AuditAppended",
    "AuditEarlierKeys",
    "AuditFinding",
    "AuditKeyRotated",
    "AuditVerified",
    "AuditProved",
    "AuditShown",
    "AuditWitnessed",
    "AuditWitnessKey",
]


class AuditCreated(Record, frozen=True, kw_only=True, tag="holdfast/audit-create/1"):
    """`audit create`: the log's name, its public keys, its witnesses. `key_file` holds the log's private key."""

    vault: str
    origin: str
    keys: list[str]
    witnesses: list[str]
    quorum: Count
    names: bool
    key_file: str


class AuditAppended(Record, frozen=True, kw_only=True, tag="holdfast/audit-append/1"):
    """`audit append`: `recorded` is the object that was written, if an entry was given; `sequenced`: how many entries
    went into the log; `refused`: objects that are nobody's entries, and why; `gaps`: members with holes in their chain.
    """

    origin: str
    recorded: str | None
    sequenced: Count
    waiting: Count
    refused: dict[str, str]
    gaps: dict[str, int]
    size: Count | None
    root: str | None
    cosigned: list[str]


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong. `kind`: fork, rollback, truncation, reordering, deletion, alteration, gap, duplicate,
    untrusted, malformed, stray, unwitnessed.
    """

    kind: str
    object: str
    message: str


class AuditEarlierKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that a log had before. `size`: what they signed counts up to that many entries."""

    keys: list[str]
    size: Count


class AuditKeyRotated(Record, frozen=True, kw_only=True, tag="holdfast/audit-rotate-key/1"):
    """`audit rotate-key`. `handed_over`: by the old key, in its last entry; else a keeper alone says that there is a
    new one. `size`: with that entry. `retired_file` holds the old private key, if it was on this machine.
    """

    vault: str
    origin: str
    keys: list[str]
    earlier_keys: list[AuditEarlierKeys]
    size: Count
    handed_over: bool
    witnesses: list[str]
    cosigned: list[str]
    key_file: str
    retired_file: str | None


class AuditVerified(Record, frozen=True, kw_only=True, tag="holdfast/audit-verify/1"):
    """`audit verify`. `sound`: the log is what was signed and what was seen before. `seen_size`: what this machine had
    verified before, null for the first look. `witnessed_size`: the largest size that the quorum has cosigned. `keys`:
    those that sign now.
    """

    origin: str
    sound: bool
    size: Count
    root: str | None
    entries: Count
    checkpoints: Count
    seen_size: Count | None
    keys: list[str]
    earlier_keys: list[AuditEarlierKeys]
    witnesses: list[str]
    quorum: Count
    witnessed_size: Count
    members: dict[str, int]
    findings: list[AuditFinding]


class AuditProved(Record, frozen=True, kw_only=True, tag="holdfast/audit-prove/1"):
    """`audit prove`: the file, and what it proves."""

    origin: str
    number: Count
    size: Count
    file: str


class AuditShown(Record, frozen=True, kw_only=True, tag="holdfast/audit-show/1"):
    """`audit show`: one line for each entry. `signed`: by the member itself; else in the log's own name."""

    number: Count
    id: str
    time: Time
    actor: str
    role: str
    fingerprint: str
    action: str
    decision: str
    policies: list[str]
    objects: dict[str, str]
    outcome: str
    origin: str
    signed: bool


class AuditWitnessed(Record, frozen=True, kw_only=True, tag="holdfast/audit-witness/1"):
    """`audit witness`: what was cosigned. `stored`: the cosignatures lie on the log's store."""

    origin: str
    witness: str
    size: Count
    root: str
    lines: list[str]
    stored: bool


class AuditWitnessKey(Record, frozen=True, kw_only=True, tag="holdfast/audit-witness-key/1"):
    """`audit witness-key`: a new witness, whose private key lies in `file`."""

    name: str
    keys: list[str]
    file: str
