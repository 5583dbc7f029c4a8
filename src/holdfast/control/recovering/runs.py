"""A run as its journal has it; whose approval of its plan counts, and which homes it takes for lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from holdfast.control.recovering.journals import require_own_plan
from holdfast.control.recovering.probing import home_of
from holdfast.control.sites.declared import DeclaredAsset
from holdfast.recovery.intents import Intent
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Plan
from holdfast.recovery.reviewing.approvals import Approval
from holdfast.recovery.reviewing.persons import Persons
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.running.executor import plan_of

__all__ = ["Status", "approvals_of", "is_asked", "lost_homes", "status_of", "stores_of_journal", "without_approvals"]

_APPROVAL_CODES: Final = frozenset(
    {
        "NOT_APPROVED",
        "APPROVER_REVOKED",
        "APPROVAL_EXPIRED",
        "APPROVAL_OUT_OF_TIME",
        "INITIATOR_UNKNOWN",
        "APPROVER_MAY_BE_INITIATOR",
    }
)


class Status(NamedTuple):
    """A run as its journal has it. `target`: where the last control plane restores to, or as was planned; empty: nobody
    said so.
    """

    run: str
    journal: tuple[str, ...]
    entries: Sequence[Entry]
    state: RunState
    plan: Plan
    target: str = ""


def without_approvals(review: Review) -> Review:
    """Without what is refused only because nobody has approved it."""
    kept = tuple(one for one in review.refusals if one.code not in _APPROVAL_CODES)
    return msgspec.structs.replace(review, refusals=kept, approved_until=0)


def lost_homes(intent: Intent, assets: Sequence[DeclaredAsset]) -> set[str]:
    """Homes that are taken for lost, whatever they answer."""
    if intent.isolated or intent.graceful:
        return set()
    return {home for asset in assets if (home := home_of(asset))}


def is_asked(plan: Plan, state: RunState, persons: Persons) -> bool:
    """Whether who the plan says asked for it signed that they did. A plan in a file says whatever was written there."""
    return any(persons.may_say(one) and persons.are_one(one, plan.intent.by) for one in state.asked_by)


def approvals_of(state: RunState, *, asked: bool = True) -> list[Approval]:
    """`asked`: whether who the plan names as who asked is who did (`is_asked`)."""
    return [Approval(plan=one.text, by=one.by, at=one.at, until=one.until, asked=asked) for one in state.approvals]


def status_of(run: str, journal: Journal) -> Status:
    plan = plan_of(journal.state)
    taken = [entry for entry in journal.entries if entry.deed is Deed.TAKEN]
    said = taken[-1] if taken else journal.entries[0]
    target = str(said.facts.get("target", ""))
    return Status(run, require_own_plan(run, journal.entries, plan), journal.entries, journal.state, plan, target)


def stores_of_journal(entries: Sequence[Entry], plan: Plan) -> tuple[str, ...]:
    """Where a journal lies that has begun; nowhere for one that has not (a check)."""
    if not entries:
        return ()
    return tuple(str(entries[0].facts.get("journal", "")).split())
