"""The record of a run, its last section: what it can be held against."""

from __future__ import annotations

import msgspec

from holdfast.evidence.record_setting import UNKNOWN

__all__ = ["FileDigest", "JournalTrust", "LogEntry", "LogTrust", "Trust"]


class FileDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to the evidence, by content."""

    name: str
    size_bytes: int
    sha256: str


class JournalTrust(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of the run's journal. `head`: SHA-256 (hex) of the stored bytes of its last entry."""

    run: str
    stores: tuple[str, ...]
    entries: int
    head: str


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log that is about this run. `id`: as in the entry."""

    id: str
    action: str
    decision: str
    outcome: str
    utc: str


class LogTrust(msgspec.Struct, frozen=True, kw_only=True):
    """The audit log of the vault, by its public keys (C2SP vkeys), and where it stood when the record was made.

    `size`, `root`: of its newest checkpoint then (root: base 64). `witnesses`, `quorum`: as its keeper declared them.
    `entries`: those that were in it then. Whatever was still in the spools of its members is proven later: by proofs of
    entries that name the plan or the manifest.
    """

    origin: str
    keys: tuple[str, ...]
    witnesses: tuple[str, ...] = ()
    quorum: int = 0
    size: int = 0
    root: str = ""
    entries: tuple[LogEntry, ...] = ()


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What the record can be held against. `log_proof`: in words, why there is none, or how it is proven."""

    files: tuple[FileDigest, ...]
    event_chain_head: str = UNKNOWN
    log_proof: str = UNKNOWN
    retention_class: str = UNKNOWN
    journal: JournalTrust | None = None
    log: LogTrust | None = None
