"""Drills of assets by their evidence at the stores: what gives an asset credit, and what takes it away.

Evidence is written once: what was read and believed is kept for the life of this process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from holdfast.control.evidencing.keeping import Listed, kept_of, newest_kept
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError
from holdfast.evidence.bundle import verify_files
from holdfast.evidence.crediting import attempts_in, merged, without_credit
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import RunKind
from holdfast.objectives.credit import Attempt
from holdfast.vault.vault import Vault

__all__ = ["NO_DRILLS", "Drills", "drills_at", "read_drills"]

_NEWEST: Final = 500  # a failure stands until it is made good, however long ago it was
_KEPT: Final = 2000
_AT_ONCE: Final = 8


class Drills(NamedTuple):
    """`broken`: runs of drills that say nothing of their assets: that ended as neither PASSED nor FAILED, or in which
    something was made to go wrong. `unread`: runs whose evidence nobody could read or believe: that one of them passed
    is not believed either. `unknown`: why nothing could be read at all: then no run is credited.
    """

    attempts: tuple[Attempt, ...] = ()
    broken: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    unknown: str = ""

    def joined(self, runs: Iterable[Attempt]) -> list[Attempt]:
        """With runs, by their journals: each run once."""
        given = runs if not self.unknown else [without_credit(one, "drills cannot be read") for one in runs]
        return merged(given, self.attempts, self.broken, self.unread)


NO_DRILLS: Final = Drills()
_known: OrderedDict[tuple[str, str], Drills] = OrderedDict()
_lock = threading.Lock()


def drills_at(sites: DeclaredSites, vault: Vault) -> Drills:
    """`read_drills`; what it raises is noted, and then no run is credited. Never raises."""
    try:
        return read_drills(sites, vault)
    except HoldfastError as error:
        sites.progress.note(f"drills are not counted: {error.message}")
        return Drills(unknown=error.message)


def read_drills(sites: DeclaredSites, vault: Vault) -> Drills:
    """Of the newest evidence. What cannot be read or believed counts for nothing, and is noted.

    Raises StoreUnreachableError where no store answers.
    """
    attempts: list[Attempt] = []
    broken: list[str] = []
    unread: list[str] = []
    listed = newest_kept(sites, _NEWEST)

    def read(one: Listed) -> Drills | HoldfastError:
        try:
            return _of(sites, vault, one)
        except HoldfastError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="holdfast-evidence") as pool:
        answers = list(pool.map(read, listed))
    for one, found in zip(listed, answers, strict=True):
        if isinstance(found, HoldfastError):
            sites.progress.note(f"the evidence of {one.run} is not counted: {found.message}")
            unread.append(one.run)
            continue
        attempts += found.attempts
        broken += found.broken
    return Drills(tuple(attempts), tuple(broken), tuple(unread))


def _of(sites: DeclaredSites, vault: Vault, listed: Listed) -> Drills:
    run = listed.run
    with _lock:
        known = _known.get((vault.id, run))
    if known is not None:
        return known
    kept, _ = kept_of(sites, vault.handle.keys, run, listed.stores)
    record = verify_files(kept.files).record
    ended = record.results.outcome
    is_drill = record.identity.kind is RunKind.DRILL
    is_broken = is_drill and (ended not in (Outcome.PASSED, Outcome.FAILED) or bool(record.scenario.planted))
    found = Drills(tuple(attempts_in([record])), tuple({run, record.identity.run}) if is_broken else ())
    with _lock:
        _known[vault.id, run] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found
