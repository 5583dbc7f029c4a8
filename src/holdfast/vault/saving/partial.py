"""One rank's share of a snapshot: packs → index → parts → read back, and no root. `announcing.py` says what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.errors import (
    DamageError,
    FailedError,
    ObjectNotFoundError,
    RefusedError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.vault.checking.verifying import Verified, forget_damaged, verify_parts
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.collecting.trash import read_trash
from holdfast.vault.format.records import Entry, Finding, Part, PartLink
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key
from holdfast.vault.saving.anchors import Anchors
from holdfast.vault.saving.coder import BaseSource, ChunkCoder
from holdfast.vault.saving.committing import group_parts, salted, write_parts
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.examining import examine_snapshot
from holdfast.vault.saving.history import History, extended, named_files
from holdfast.vault.saving.memory import Remembered
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.pack_writer import PackWriter
from holdfast.vault.saving.parents import Parent
from holdfast.vault.saving.pipeline import CandidatesOf, Saved, Tally, code_contents
from holdfast.vault.saving.validation import Policy, examine_file

__all__ = ["Share", "ShareSource", "save_share"]

_ATTEMPTS = 3  # as for a whole snapshot: the second one stores again what did not read back
_SOURCE = "folder"


class ShareSource(NamedTuple):
    """What one rank saves, and what is known of it: `before` are the files of earlier snapshots that its own are
    compared with, by path; `candidates_of` finds delta bases for a content.
    """

    contents: Sequence[Content]
    others: Sequence[Entry]  # folders
    before: Mapping[bytes, Entry]
    candidates_of: CandidatesOf
    bases: BaseSource
    remembered: Remembered | None
    findings: Sequence[Finding] = ()


class Share(NamedTuple):
    """What one rank has stored. `verified`: how it was read back, None: it was not."""

    parts: list[Part]
    links: list[PartLink]
    stats: dict[str, int]
    checks: list[str]
    findings: list[Finding]
    verified: Verified | None
    anchors: Anchors
    history: History


def save_share(handle: Handle, asset: str, source: ShareSource, options: SaveOptions, lease: HeldLease) -> Share:
    """Store a rank's share durably and read it back. Nothing refers to it yet.

    What does not read back is stored again without relying on what is damaged. Raises RefusedError (the policy is
    `refuse`, and there are findings), SourceChangedError, DamageError, ConflictError, and what the store raises.
    """
    for left in reversed(range(_ATTEMPTS)):
        anchors = Anchors(source.remembered, handle.index.find)
        parts, links, digests, tally, saved = _write(handle, source, anchors, lease)
        findings, checks, history = _examine(handle, asset, source, saved, options)
        verified = None
        if options.verify:
            try:
                verified = verify_parts(handle, parts, digests)
            except (DamageError, FailedError, ObjectNotFoundError, UntrustedError, WrongKeyError) as error:
                if not left:
                    raise
                handle.progress.note(f"{error.message}; what it concerns is stored again")
                forget_damaged(handle, parts)
                continue
        return Share(parts, links, tally.counts, checks, findings, verified, anchors, history)
    raise AssertionError("the last attempt returns or raises")


def _write(
    handle: Handle, source: ShareSource, anchors: Anchors, lease: HeldLease
) -> tuple[list[Part], list[PartLink], dict[str, bytes], Tally, list[Saved]]:
    handle.progress.phase("saving", sum(content.size for content in source.contents))
    lease.keep()
    avoid = read_trash(handle).keys  # after the lease: what is condemned from now on waits for it
    tally = Tally()
    with PackWriter(handle, salted=bool(avoid)) as writer:
        coder = ChunkCoder(handle, source.bases, anchors, writer, avoid)
        parent = Parent("", 0, {})
        saved = code_contents(handle, source.contents, parent, coder, tally, lease.keep, source.candidates_of)
        writer.finish()
        for key in avoid:
            if (pack := pack_of_key(key)) is not None:
                handle.index.forget_pack(pack)
        tally.add(packs=writer.packs, stored=writer.stored_bytes)
    parts = [salted(handle, part, avoid) for part in group_parts(saved, list(source.others))]
    links, digests = write_parts(handle, parts, tally)
    return parts, links, digests, tally, saved


def _examine(
    handle: Handle, asset: str, source: ShareSource, saved: Sequence[Saved], options: SaveOptions
) -> tuple[list[Finding], list[str], History]:
    findings = list(source.findings)
    for file in saved:
        known = source.before.get(file.content.relative)
        findings.extend(examine_file(file.entry, file.problems, known, options.norm_jump))
    files = [file.entry for file in saved]
    history = source.remembered.history if source.remembered is not None else History()
    examined = examine_snapshot(asset, _SOURCE, files, source.before, history, options)
    for note in examined.notes:
        handle.progress.note(note)
    findings.extend(examined.findings)
    if findings and options.policy is Policy.REFUSE:
        where = f"{findings[0].where}: " if findings[0].where else ""
        raise RefusedError(
            f"not saved: {where}{findings[0].message}",
            hint="the policy is `refuse`; `warn` or `quarantine` would keep it apart from `validated`",
        )
    return findings, examined.checks, extended(history, "", named_files(_SOURCE, files), options.metrics)
