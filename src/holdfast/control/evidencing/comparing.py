"""The journal in a run's evidence, held against what lies at the journal's stores: hashes of objects, and entries.

A stranger has the entries in clear, and hashes that only their author vouches for. A member of the vault compares the
hashes with objects that were created once, opens these, each signed by the keeper who wrote it, and compares what they
say.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from holdfast.control.recovering.journals import find_run
from holdfast.control.recovering.trying import each_at_once
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError
from holdfast.evidence.chain import JOURNAL, decode_journal
from holdfast.recovery.journal.journal import RUNS
from holdfast.vault.format.keys import VaultKeys

__all__ = ["AtStores", "compare_journal"]


class AtStores(NamedTuple):
    """`entries` of the journal in the evidence, of which `same` lie with these very bytes at a majority of its stores.
    `problems`: what differs, in words.
    """

    entries: int
    same: int
    problems: tuple[str, ...] = ()


def compare_journal(sites: DeclaredSites, keys: VaultKeys, files: dict[str, bytes]) -> AtStores | None:
    """None for evidence without a journal. Stores that do not answer, or are not declared any more, are said.

    Raises DamageError where a majority of the stores has other bytes for an entry, or where these bytes, opened, say
    something else than the entry in clear: then this is not that journal.
    """
    if JOURNAL not in files:
        return None
    journal = decode_journal(files[JOURNAL], JOURNAL)
    numbers = [one.entry.number for one in journal.entries]

    def hashes(name: str) -> dict[int, str]:
        store = sites.store(name).store
        found: dict[int, str] = {}
        for number in numbers:
            try:
                found[number] = hashlib.sha256(store.get(f"{RUNS}{journal.run}/{number:010d}")).hexdigest()
            except ObjectNotFoundError:
                continue
        return found

    answers, silent = each_at_once({name: name for name in journal.stores}, hashes)
    problems = [f"{name} says nothing: {error.message}" for name, error in silent.items()]
    same, needed = 0, len(journal.stores) // 2 + 1
    for one in journal.entries:
        number = one.entry.number
        there = {name: found.get(number) for name, found in answers.items()}
        alike = sorted(name for name, found in there.items() if found == one.stored_sha256)
        other = sorted(name for name, found in there.items() if found not in (None, one.stored_sha256))
        if len(other) >= needed:
            raise DamageError(
                f"entry {number} of the run {journal.run} is another one at {', '.join(other)} than in its evidence",
                hint="the evidence is not of the journal that lies there: look at the audit log, and ask who signed it",
                object_name=f"{RUNS}{journal.run}/{number:010d}",
            )
        problems += [f"entry {number} is another one at {', '.join(other)}"] if other else []
        if len(alike) >= needed:  # it was written until a majority had it: others may never have got it
            same += 1
        else:
            problems.append(f"entry {number} lies at {', '.join(alike) or 'none'} alone, of {len(journal.stores)}")
    try:
        sealed = find_run(sites, keys, journal.run, "", sites.clock).entries
    except HoldfastError as error:
        problems.append(f"the journal at the stores cannot be read: {error.message}")
        return AtStores(len(journal.entries), same, tuple(problems))
    for mine, theirs in zip(journal.entries, sealed, strict=False):
        if mine.entry != theirs:
            number = mine.entry.number
            raise DamageError(
                f"entry {number} of the run {journal.run} says something else in its evidence than at its stores",
                hint="whoever signed the evidence altered it: look at the audit log, and ask them",
                object_name=f"{RUNS}{journal.run}/{number:010d}",
            )
    return AtStores(len(journal.entries), same, tuple(problems))
