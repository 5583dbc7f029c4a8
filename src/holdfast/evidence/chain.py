"""The journal of a run as a file of its evidence: the entries in clear, each with the hash of its stored bytes.

At the stores the entries are sealed and signed, each naming the SHA-256 of the stored bytes before it. A stranger who
has this file checks that chain, and whoever may look at a store compares the hashes with what lies there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from holdfast.errors import DamageError, HoldfastError
from holdfast.evidence.costing import journal_problems
from holdfast.evidence.encoding import ASK_AGAIN, decode_json, require_version, tidy
from holdfast.evidence.gathered import Reviewed, RunOfJournal
from holdfast.evidence.record import SCHEMA_VERSION, Evidence
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.run_timeline import step_rows
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, is_timed
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.reviewing.warned import warned_of
from holdfast.recovery.running.executor import plan_of

__all__ = ["JOURNAL", "JournalFile", "chain_problems", "decode_journal", "journal_file"]

JOURNAL: Final = "journal.json"


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`stored_sha256`: hex, of the bytes at the stores."""

    stored_sha256: str
    entry: Entry


class JournalFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`journal.json`."""

    schema_version: int
    run: str
    stores: tuple[str, ...]
    entries: tuple[StoredEntry, ...]


_JOURNAL: Final = msgspec.json.Decoder(JournalFile)


def journal_file(run: str, stores: Sequence[str], entries: Sequence[Entry], head: str) -> bytes:
    """`head`: the hash of the last entry's stored bytes; those of the others stand in the entries after them."""
    hashes = [*(entry.before for entry in entries[1:]), head]
    kept = [StoredEntry(stored_sha256=one, entry=entry) for one, entry in zip(hashes, entries, strict=True)]
    return tidy(
        JournalFile(schema_version=SCHEMA_VERSION, run=run, stores=tuple(stores), entries=tuple(kept)),
    )


def decode_journal(content: bytes, name: str) -> JournalFile:
    """Raises DamageError, UnsupportedFormatError. Nothing in it is verified yet."""
    require_version(content, name, (SCHEMA_VERSION,))
    found = decode_json(content, _JOURNAL, name)
    if not found.entries:
        raise DamageError(f"{name} holds no entry", hint=ASK_AGAIN, object_name=name)
    if not all(is_timed(one.entry) for one in found.entries):
        raise DamageError(f"{name} holds a time that no calendar has", hint=ASK_AGAIN, object_name=name)
    return found


def chain_problems(journal: JournalFile, record: Evidence) -> list[str]:
    """One sentence for each place where the chain is broken, or is not the one of this record. Pure."""
    found = []
    before, number = FIRST, -1
    for place, one in enumerate(journal.entries):
        # A number that is left out is a place that somebody filled with what is nothing.
        if (one.entry.run, one.entry.before) != (journal.run, before) or one.entry.number <= number:
            found.append(f"Entry {place} of the journal does not continue the one before it.")
        before, number = one.stored_sha256, one.entry.number
    trust, plan = record.trust.journal, record.identity.plan
    if trust is None or (trust.run, trust.entries, trust.head, trust.stores) != (
        journal.run,
        len(journal.entries),
        before,
        journal.stores,
    ):
        found.append("The journal is not the one that the record names.")
    first = journal.entries[0].entry
    if first.deed is not Deed.PLANNED or plan is None or hashlib.sha256(first.plan.encode()).hexdigest() != plan.sha256:
        found.append("The journal holds another plan than the record names.")
    return found or list(_other_figures(journal, record, before))


def _other_figures(journal: JournalFile, record: Evidence, head: str) -> Iterator[str]:
    """Steps and outcome of the record are those of the journal: they are computed from it once more."""
    entries = tuple(one.entry for one in journal.entries)
    state = run_state(entries)
    try:
        plan = plan_of(state)
    except HoldfastError as error:
        yield f"The plan in the journal cannot be read: {error.message}"
        return
    run = RunOfJournal(run=journal.run, stores=journal.stores, entries=entries, head=head, plan=plan, state=state)
    if record.steps != step_rows(run):
        yield "The steps of the record are not those of the journal: a time, a state or a result differs."
    said = {one if isinstance(one, str) else one.text for one in record.deviations}
    for one in warned_of(entries):
        if Reviewed(code=one.code, about=one.about, reason=one.reason, refused=False).sentence not in said:
            yield f"The record leaves out what the review warned of: {one.code}."
    if record.costs is not None:
        yield from journal_problems(run, record.costs)
    told = not record.identity.drill or record.results.outcome is Outcome.PASSED  # a drill can fail where a run passed
    if told and record.results.outcome != state.verdict:
        ended = state.verdict or "not at all"
        yield f"The run ended {ended} by the journal, and {record.results.outcome} by the record."
