"""Asking archives for the packs that a move reads, and waiting until they can be read: bounded, and again at any time.

What was asked for is the provider's to remember: a wait that was broken off is gone on with by asking again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from holdfast.control.sites.tiers import SiteTiers, TiersPlanned
from holdfast.control.vaults.archived import ArchivedPacks, archived_packs
from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.ids import PackId
from holdfast.replication.tiering.plans import Move, Verb
from holdfast.stores.archives.port import Speed, Standing, archives_of
from holdfast.vault.format.names import pack_key

__all__ = ["look_at_archives", "thaw"]

_DAYS = 3  # for which what was asked for can be read: a copy of it takes hours
_PARALLEL = 16


def look_at_archives(
    tiers: SiteTiers, planned: TiersPlanned, before: Sequence[ArchivedPacks] = ()
) -> list[ArchivedPacks]:
    """What the copies of a plan read that lies in an archive, store by store. Asks the providers; changes nothing.

    Where one cannot be asked (an extra is missing, the key may not look), that is noted: the copy says what is so. Of
    one that does not answer now, what it said `before` holds.
    """
    found = []
    for store, needed in _needed(planned).items():
        try:
            one = archived_packs(tiers.sites.store(store).store, needed, tiers.book)
        except HoldfastError as error:
            found += [one for one in before if one.store == store and isinstance(error, StoreUnreachableError)]
            tiers.sites.progress.note(f"whether packs of {store} lie in an archive is not known: {error.message}")
            continue
        if one is not None and one.packs:
            found.append(one._replace(store=store))
    return found


def thaw(
    tiers: SiteTiers,
    planned: TiersPlanned,
    *,
    speed: Speed,
    wait_seconds: float,
    told: Callable[[Sequence[ArchivedPacks]], None],
) -> list[ArchivedPacks]:
    """Ask for what the copies of a plan need, and wait. Returns what cannot be read yet when the time is over: empty
    when all can. `told` hears how it stands, when that changes. Raises what the providers raise.
    """
    clock = tiers.vault.handle.clock
    end = clock.monotonic() + wait_seconds
    pause = min(60.0, max(0.2, wait_seconds / 50))
    last: list[tuple[str, int, int]] = []
    found: list[ArchivedPacks] = []
    while True:
        found = look_at_archives(tiers, planned, found)
        asked = [_ask(tiers, one, speed) for one in found]
        now = [(one.store, len(one.packs), one.readable) for one in found]
        if found and now != last:
            told(found)
        last, found = now, asked
        if not found or clock.monotonic() >= end:
            return found
        clock.sleep(min(pause, max(0.0, end - clock.monotonic())))


def _ask(tiers: SiteTiers, one: ArchivedPacks, speed: Speed) -> ArchivedPacks:
    """How it stands when all of it was asked for."""
    archives = archives_of(tiers.sites.store(one.store).store)
    if archives is None or not one.unasked:
        return one
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="holdfast-archive") as pool:
        list(pool.map(lambda pack: archives.ask(pack.key, _DAYS, speed), one.unasked))
    return one._replace(packs=tuple(pack._replace(standing=Standing.ASKED) for pack in one.packs))


def _needed(planned: TiersPlanned) -> dict[str, dict[str, int]]:
    """Source → keys of packs that copies read there, with their bytes: those that their targets lack."""
    facts = planned.facts
    snapshots = {one.id: one for one in facts.snapshots}

    def at(store: str) -> set[str]:
        return {pack for one in facts.snapshots if store in one.at for pack in one.packs}

    found: dict[str, dict[str, int]] = {}
    copies: list[Move] = [move for move in planned.plan.moves if move.verb is Verb.COPY]
    there = {store: at(store) for store in {move.store for move in copies}}
    for move in copies:
        new = snapshots[move.snapshot].packs - there[move.store]
        of = found.setdefault(move.source, {})
        of.update({pack_key(PackId(pack)): facts.packs[pack] for pack in new})
    return found
