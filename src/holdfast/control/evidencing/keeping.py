"""Where evidence lies: at the stores of its run's journal, created once, found again by listing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from holdfast.control.evidencing.sealing import EVIDENCE, Kept, open_kept, seal_kept
from holdfast.control.recovering.journals import landing_stores
from holdfast.control.recovering.listing import FIRSTS, RunsAt
from holdfast.control.recovering.plan_files import is_run_id
from holdfast.control.recovering.trying import each_at_once
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError, ObjectNotFoundError, StoreUnreachableError, UsageError
from holdfast.recovery.journal.slots import Slots
from holdfast.vault.format.keys import VaultKeys

__all__ = ["Listed", "keep", "kept_of", "newest_kept"]


class Listed(NamedTuple):
    """Evidence of a run at these stores; `at`: when it was written, by the newest of the stores (ns)."""

    run: str
    stores: tuple[str, ...]
    at: int


def name_of(run: str) -> str:
    return f"{EVIDENCE}{run}/{0:010d}"


def keep(sites: DeclaredSites, keys: VaultKeys, stores: Sequence[str], kept: Kept) -> Kept:
    """Create it at a majority of these stores, and return what lies there: another's, if that was faster.

    Raises StoreUnreachableError, ConflictError, CredentialError, RefusedError.
    """
    slots = Slots([sites.store(name).store for name in stores], f"{EVIDENCE}{kept.run}/")
    filled = slots.fill(0, seal_kept(keys, name_of(kept.run), kept))
    return open_kept(keys, name_of(kept.run), filled)


def kept_of(sites: DeclaredSites, keys: VaultKeys, run: str, among: Sequence[str] = ()) -> tuple[Kept, tuple[str, ...]]:
    """The evidence of a run, and the stores that have it: the copy of a majority of those that answer, else the first.

    `among`: the stores to ask, which were seen to have it: so a store that is silent is not waited for again for each
    run. Raises NotFoundError, UsageError, and what opening it raises where no copy can be opened.
    """
    if not is_run_id(run):
        raise UsageError(f"{run!r} is no id of a run", hint="20 hex digits, as `evidence list` and `recover run` say")
    name = name_of(run)

    def get(store: str) -> bytes | None:
        try:
            return sites.store(store).store.get(name)
        except ObjectNotFoundError:
            return None

    answers, problems = each_at_once({store: store for store in among or landing_stores(sites)}, get)
    copies: dict[bytes, list[str]] = {}
    for store, data in answers.items():
        if data is not None:
            copies.setdefault(data, []).append(store)
    trouble: HoldfastError | None = None
    for data, stores in sorted(copies.items(), key=lambda one: -len(one[1])):
        try:
            return open_kept(keys, name, data), tuple(stores)
        except HoldfastError as error:
            trouble = error
    if trouble is not None:
        raise trouble
    silent = "; ".join(f"{store}: {error.message}" for store, error in problems.items())
    raise NotFoundError(
        f"no store that answers has evidence of the run {run}" + (f" ({silent})" if silent else ""),
        hint="`holdfast evidence list` shows what there is; `holdfast evidence write RUN` makes it",
        object_name=run,
    )


def newest_kept(sites: DeclaredSites, limit: int) -> list[Listed]:
    """What the stores that answer have, the newest first. Raises StoreUnreachableError where none of them does."""

    def listed(store: str) -> dict[str, int]:
        at = RunsAt(sites.store(store).store, EVIDENCE, FIRSTS)
        at.read()
        if at.is_cut:
            sites.progress.note(f"so much lies below {EVIDENCE} at {store} that not all of it was listed")
        return at.found

    answers, problems = each_at_once({store: store for store in landing_stores(sites)}, listed)
    for store, error in problems.items():
        sites.progress.note(f"{store}: {error.message}")
    if problems and not answers:
        raise StoreUnreachableError(
            f"no store answers that may have evidence ({', '.join(problems)})",
            hint="`holdfast site status` shows what is the matter with them",
        )
    where: dict[str, list[str]] = {}
    when: dict[str, int] = {}
    for store, found in answers.items():
        for run, at in found.items():
            where.setdefault(run, []).append(store)
            when[run] = max(when.get(run, 0), at)
    order: Iterable[str] = sorted(where, key=lambda one: (when[one], one), reverse=True)
    return [Listed(run, tuple(where[run]), when[run]) for run in list(order)[:limit]]
