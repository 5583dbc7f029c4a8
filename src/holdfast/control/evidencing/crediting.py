"""Drills of assets by their evidence at the stores: what gives an asset credit, and what takes it away.

Evidence is written once: what was read and believed is kept for the life of this process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.control.evidencing.keeping import kept_of, newest_kept
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError
from holdfast.evidence.bundle import verify_files
from holdfast.evidence.crediting import attempts_in, merged
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import RunKind
from holdfast.objectives.credit import Attempt
from holdfast.vault.vault import Vault

__all__ = ["NO_DRILLS", "Drills", "drills_at"]

_NEWEST: Final = 50
_KEPT: Final = 500


class Drills(NamedTuple):
    """`broken`: runs of drills that ended as neither PASSED nor FAILED, and so say nothing of their assets."""

    attempts: tuple[Attempt, ...] = ()
    broken: tuple[str, ...] = ()

    def joined(self, runs: Iterable[Attempt]) -> list[Attempt]:
        """With runs, by their journals: each run once."""
        return merged(runs, self.attempts, self.broken)


NO_DRILLS: Final = Drills()
_known: OrderedDict[tuple[str, str], Drills] = OrderedDict()
_lock = threading.Lock()


def drills_at(sites: DeclaredSites, vault: Vault) -> Drills:
    """Of the newest evidence. What cannot be read or believed counts for nothing, and is noted. Never raises."""
    attempts: list[Attempt] = []
    broken: list[str] = []
    try:
        listed = newest_kept(sites, _NEWEST)
    except HoldfastError as error:
        sites.progress.note(f"drills are not counted: {error.message}")
        return NO_DRILLS
    for one in listed:
        try:
            found = _of(sites, vault, one.run)
        except HoldfastError as error:
            sites.progress.note(f"the evidence of {one.run} is not counted: {error.message}")
            continue
        attempts += found.attempts
        broken += found.broken
    return Drills(tuple(attempts), tuple(broken))


def _of(sites: DeclaredSites, vault: Vault, run: str) -> Drills:
    with _lock:
        known = _known.get((vault.id, run))
    if known is not None:
        return known
    kept, _ = kept_of(sites, vault.handle.keys, run)
    record = verify_files(kept.files).record
    ended = record.results.outcome
    is_broken = record.identity.kind is RunKind.DRILL and ended not in (Outcome.PASSED, Outcome.FAILED)
    found = Drills(tuple(attempts_in([record])), (run,) if is_broken else ())
    with _lock:
        _known[vault.id, run] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found
