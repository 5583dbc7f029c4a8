"""Journals of runs at declared stores: where a new one lies, and where one that is known by its id is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from holdfast.clock import Clock
from holdfast.control.recovering.listing import RunsAt
from holdfast.control.recovering.plan_files import is_run_id, plan_file
from holdfast.control.recovering.seals import VaultSeal
from holdfast.control.recovering.signers import Signers
from holdfast.control.recovering.trying import PATIENCE_SECONDS, each_at_once
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import (
    DamageError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    UnsupportedFormatError,
    UsageError,
)
from holdfast.recovery.journal.deciding import STORES_MAX
from holdfast.recovery.journal.entries import Entry, VoidError, decode_entry
from holdfast.recovery.journal.journal import BYTES_MAX, RUNS, Journal
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.executor import plan_of
from holdfast.stores.protocol import Store
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config

__all__ = [
    "choose_journal",
    "find_run",
    "first_facts",
    "journal_at",
    "landing_stores",
    "newest_configuration",
    "newest_journals",
    "newest_runs",
    "placed_at",
    "require_own_plan",
    "runs_written",
    "signers_at",
]

_STORES_FACT: Final = "journal"
_BATCHES_MAX: Final = 20  # of as many runs as are wanted: so many are read until enough of them can be
_VOIDS_MAX: Final = 16  # places before the first entry that may hold what is nothing


def choose_journal(answering: Sequence[str], lost: Iterable[str]) -> tuple[str, ...]:
    """Up to three of these stores (one for each site): those of sites that are taken for lost come last.

    Of two stores both are needed, so one that is about to be lost is not among two. Raises UsageError without any.
    """
    going = set(lost)
    kept = [name for name in answering if name.partition("/")[0] not in going]
    doomed = [name for name in answering if name not in kept]
    chosen = (kept + doomed)[:STORES_MAX]
    if len(chosen) < STORES_MAX:
        chosen = kept or doomed
    if not chosen:
        raise UsageError("no store answers that could keep the journal of a run")
    return tuple(chosen)


def landing_stores(sites: DeclaredSites) -> list[str]:
    """Where snapshots come first, of all assets: journals lie at some of them. Of stripes the single stores: what is
    created once is created there, and not in the set, which has rules of its own for what is away.
    """
    return list(dict.fromkeys(asset.at(site) for asset in sites.assets.values() for site in asset.placement.sites))


def journal_at(
    sites: DeclaredSites, keys: VaultKeys, run: str, stores: Sequence[str], by: str, clock: Clock
) -> Journal:
    """Raises UsageError for a store that is not declared here."""
    known = landing_stores(sites)
    for name in stores:
        if name not in known:
            raise UsageError(
                f"the journal of {run} lies at {name}, which {sites.loaded.path} does not declare",
                hint="use the holdfast.yaml of the organisation",
            )
    opened = {name: sites.store(name).store for name in stores}
    return Journal(run, list(opened.values()), VaultSeal(keys, signers_at(sites, opened)), by, clock, stores)


def newest_configuration(sites: DeclaredSites, keys: VaultKeys) -> Config:
    """Of the stores that answer: who is a member now, wherever that was said. At least what is known here."""
    return signers_at(sites, {}).latest(keys)


def signers_at(sites: DeclaredSites, stores: Mapping[str, Store]) -> Signers:
    """Whose signatures count in what lies at these stores; the other landing stores may know of more keepers."""
    others: dict[str, Store] = {}
    for name in landing_stores(sites):
        with suppress(HoldfastError):  # what cannot be declared was noted elsewhere
            others[name] = sites.store(name).store
    return Signers(stores, others)


def first_facts(journal: Sequence[str], target: str = "") -> dict[str, str | int | float | bool]:
    """What the first entry says of where the journal lies, and where to restore to, if the plan's file says it."""
    said: dict[str, str | int | float | bool] = {"target": target} if target else {}
    return said | {_STORES_FACT: " ".join(journal)}


def require_own_plan(run: str, entries: Sequence[Entry], plan: Plan) -> tuple[str, ...]:
    """The stores of the journal, as its first entry says. Raises DamageError where it is the journal of another run."""
    stores = tuple(str(entries[0].facts.get(_STORES_FACT, "")).split()) if entries else ()
    if plan_file(plan, stores).run != run:
        raise DamageError(
            f"the journal of {run} holds the plan of another run",
            hint="somebody with a keeper's key wrote it: compare the sites, and look at the audit log",
            object_name=f"{RUNS}{run}",
        )
    return stores


def find_run(sites: DeclaredSites, keys: VaultKeys, run: str, by: str, clock: Clock) -> Journal:
    """The journal of a run, read to its end: by the stores that answer alone. Raises NotFoundError, UsageError, and
    what reading it raises.
    """
    if not is_run_id(run):
        raise UsageError(f"{run!r} is no id of a run", hint="20 hex digits, as `recover run` and `recover status` say")
    placed, problems = placed_at(sites, keys, run)
    for stores in placed:
        journal = journal_at(sites, keys, run, stores, by, clock)
        state = journal.read()
        require_own_plan(run, journal.entries, plan_of(state))
        return journal
    silent = "; ".join(f"{store}: {error.message}" for store, error in problems.items())
    raise NotFoundError(
        f"no store that answers has a run {run}" + (f" ({silent})" if silent else ""),
        hint="`holdfast recover status` lists the runs that are known",
        object_name=run,
    )


def placed_at(
    sites: DeclaredSites, keys: VaultKeys, run: str
) -> tuple[list[tuple[str, ...]], dict[str, HoldfastError]]:
    """Where the journal of a run lies, as its first entry says at each store that answers; and who said nothing."""

    def first(store: str) -> tuple[str, ...] | None:
        opened, newer = sites.store(store).store, None
        seal = VaultSeal(keys, Signers({store: opened}))
        for number in range(_VOIDS_MAX):
            name = f"{RUNS}{run}/{number:010d}"
            try:
                if opened.head(name).size > BYTES_MAX:
                    continue
                entry = decode_entry(name, seal.open(name, opened.get(name)))
            except ObjectNotFoundError:
                break
            except VoidError as error:
                newer = error.__cause__ if isinstance(error.__cause__, UnsupportedFormatError) else newer
                continue
            return tuple(str(entry.facts.get(_STORES_FACT, "")).split())
        if newer is not None:
            raise newer
        return None

    answers, problems = each_at_once({store: store for store in landing_stores(sites)}, first)
    return sorted({stores for stores in answers.values() if stores}), problems


def newest_runs(sites: DeclaredSites, keys: VaultKeys, limit: int, clock: Clock) -> dict[str, Sequence[Entry]]:
    """Run → its entries. As `newest_journals`."""
    return {run: one.entries for run, one in newest_journals(sites, keys, limit, clock).items()}


def runs_written(sites: DeclaredSites, told: Callable[[str], None] | None = None) -> dict[str, int]:
    """Run → when its journal was written to last, by the clocks of the stores (ns). Nothing is read.

    `told`: what is to be known of a list that is not whole; by default a note.
    """
    told = told or sites.progress.note
    listed: dict[str, RunsAt] = {}

    def read(store: str) -> None:
        listed[store] = RunsAt(sites.store(store).store)
        listed[store].read()

    _, problems = each_at_once({store: store for store in landing_stores(sites)}, read)
    newest: dict[str, int] = {}
    for store, at in list(listed.items()):
        at.gone = True
        for run, when in list(at.found.items()):
            newest[run] = max(newest.get(run, 0), when)
        if at.is_cut:
            told(f"so much lies below {RUNS} at {store} that not all of it was listed: some runs may be missing")
        elif at.found and store in problems:
            told(f"not all runs at {store} were listed: {problems[store].message}")
    return newest


def newest_journals(sites: DeclaredSites, keys: VaultKeys, limit: int, clock: Clock) -> dict[str, Journal]:
    """The runs whose journals were written to last, the newest first, with their entries, as far as they can be."""
    newest = runs_written(sites)
    order = sorted(newest, key=lambda one: (newest[one], one), reverse=True)
    read: dict[str, Journal] = {}
    for start in range(0, min(len(order), limit * _BATCHES_MAX), max(1, limit)):
        # What was put there under names like those of runs, and is none, hides nothing that is older than it.
        batch = order[start : start + limit]
        opened, problems = each_at_once(
            {run: run for run in batch}, lambda run: find_run(sites, keys, run, "", clock), PATIENCE_SECONDS + limit
        )
        for run, error in problems.items():
            sites.progress.note(f"the journal of {run} is not counted: {error.message}")
        read |= opened
        if len(read) >= limit:
            break
    else:
        if len(order) > limit * _BATCHES_MAX:
            unread = len(order) - limit * _BATCHES_MAX
            sites.progress.note(f"{unread} more names under {RUNS} look like runs, and were not looked at")
    return dict(list(read.items())[:limit])
