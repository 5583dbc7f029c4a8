"""What notices about sites and journals of runs add up to, for the catalog. Pure: JSON in, facts out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from holdfast.catalog.seen import IncidentFact, PlanFact, RunFact, StateFact, plain_text
from holdfast.control.sites.states import heads, states_of
from holdfast.errors import HoldfastError
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, decode_entry
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.plans import Plan, plan_hash
from holdfast.recovery.running.executor import plan_of
from holdfast.vault.access.site_notices import SiteNotice

__all__ = ["Meanings", "counting_entries"]

_PLACES_MAX: Final = 100_000  # as in a journal


class Meanings:
    """`holdfast.catalog.seen.Meaning`."""

    def incidents(self, notices: Iterable[str]) -> tuple[dict[str, StateFact], list[IncidentFact]]:
        """As `control.sites.states` judges: of each site the notices count that no later one knew of."""
        by_id: dict[str, SiteNotice] = {}
        for text in sorted(notices):
            one = msgspec.json.decode(text, type=SiteNotice)
            by_id.setdefault(one.id, one)
        counting = {one.id for found in heads(by_id.values()).values() for one in found}
        states = {
            site: StateFact(state.condition.value, state.at, state.reason, state.by)
            for site, state in states_of(by_id.values()).items()
        }
        incidents = [
            IncidentFact(one.id, one.site, one.condition, one.at, one.reason, one.by, one.id in counting)
            for one in sorted(by_id.values(), key=lambda one: one.id)
        ]
        return states, incidents

    def run(self, run: str, entries: Mapping[str, Mapping[int, tuple[bytes, str]]]) -> RunFact | None:
        """None: there is no first entry, or it is of another run."""
        found = counting_entries(run, entries)
        if not found:
            return None
        state = run_state(found)
        plan: PlanFact | None = None
        if state.plan:
            try:
                plan = _plan_fact(plan_of(state))
            except HoldfastError:
                plan = None  # by a newer Holdfast: the run is shown, its plan is not
        ended = next((entry.at for entry in reversed(found) if entry.deed is Deed.ENDED), None)
        return RunFact(
            id=run,
            plan=plan,
            owner=plain_text(state.owner),
            begun=_int64(found[0].at),
            ended=None if ended is None or not state.verdict else _int64(ended),
            verdict=plain_text(state.verdict),
            entries=len(found),
            done=len(state.done),
        )


def counting_entries(run: str, entries: Mapping[str, Mapping[int, tuple[bytes, str]]]) -> list[Entry]:
    """From the first on, as far as each names the one before. `entries`: store → number → (SHA-256 of the stored bytes,
    JSON).

    Of different bytes in one place those count that most stores have, then those of the store that comes first in the
    journal's own order: what whoever reads the journal next will carry to the others (`recovery.journal.deciding`).
    Places where no entry goes on from the one before hold what is nothing, if a later one goes on from it.
    """
    found: list[Entry] = []
    before = FIRST
    order = sorted(entries)
    last = max((number for places in entries.values() for number in places), default=-1)
    for number in range(min(last + 1, _PLACES_MAX)):
        votes = Counter(entries[store][number] for store in order if number in entries[store])
        best = votes.most_common(1)  # of equal counts the one that was met first
        entry = _entry_at(run, number, before, best[0][0][1]) if best else None
        if entry is None:
            continue
        digest = best[0][0][0]
        if not found:
            said = str(entry.facts.get("journal", "")).split()
            order = [*(store for store in said if store in entries), *(store for store in order if store not in said)]
        found.append(entry)
        before = digest.hex()
    return found


def _entry_at(run: str, number: int, before: str, text: str) -> Entry | None:
    try:
        entry = decode_entry(f"runs/{run}/{number}", text.encode())
    except HoldfastError:
        return None
    return entry if (entry.run, entry.number, entry.before) == (run, number, before) else None


def _plan_fact(plan: Plan) -> PlanFact:
    rto = plan.rto
    return PlanFact(
        hash=plan_hash(plan),
        name=plain_text(plan.intent.name),
        assets=tuple(plain_text(one) for one in plan.intent.assets),
        site=plain_text(plan.site),
        strategy=plan.intent.strategy.value,
        said_by=plain_text(plan.intent.by),
        isolated=plan.intent.isolated,
        facts_at=_int64(plan.facts_at),
        rto=rto.seconds if rto.known else None,
        rto_error=rto.error,
        steps=len(plan.steps),
    )


def _int64(value: int) -> int:
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def digest_of(data: bytes) -> bytes:
    """Of stored bytes, as entries name the one before (`entries.chained`)."""
    return hashlib.sha256(data).digest()
