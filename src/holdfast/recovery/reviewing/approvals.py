"""Approvals: of a plan's hash, by somebody else than who asked for it, until a time."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.recovery.plans import Plan, plan_hash
from holdfast.recovery.reviewing.persons import NOBODY_VOUCHES, Persons

__all__ = ["Approval", "approval_problem", "approved_until", "approvers_of", "whose"]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """`plan`: the hash that was approved. `asked`: whether who the plan says asked for it signed that they did: else
    anybody may have written that name into it, also who approves it. `revoked`: whether the key that signed it is none
    of the vault's any more: whoever has it may have signed it with a clock of their own. Times are ns since the epoch.
    """

    plan: str
    by: str
    at: int
    until: int
    asked: bool = True
    revoked: bool = False


def approval_problem(
    approval: Approval, plan: Plan, now_ns: int, persons: Persons = NOBODY_VOUCHES
) -> tuple[str, str] | None:
    """Why it counts for nothing: a code and a sentence. None: it counts."""
    who = approval.by or "somebody without a name"
    if approval.plan != plan_hash(plan):
        return "APPROVAL_OF_ANOTHER_PLAN", f"{who} approved another plan ({approval.plan[:12]})"
    if not approval.by:
        return "APPROVER_UNKNOWN", "an approval without a name counts for nothing"
    if approval.revoked:
        return "APPROVER_REVOKED", f"the key of {who} was revoked since, and what it approved counts no more"
    if not persons.may_say(approval.by):
        return "APPROVER_NOT_VOUCHED_FOR", f"{who}: whoever holds that key may not vouch for others"
    if persons.are_one(approval.by, plan.intent.by):
        return "APPROVER_IS_INITIATOR", f"{who} asked for this recovery, and cannot approve it, too"
    if not persons.are_two(approval.by, plan.intent.by):
        who_asked = plan.intent.by or "somebody without a name"
        return "APPROVER_MAY_BE_INITIATOR", f"{who} may be {who_asked}: nothing says whose that key and that login are"
    if not approval.asked:
        asked = plan.intent.by or "somebody without a name"
        return "INITIATOR_UNKNOWN", f"{asked} never signed that they asked for this, so that {who} may have, too"
    if now_ns >= approval.until:
        return "APPROVAL_EXPIRED", f"{who}'s approval ended at {to_rfc3339(approval.until)}"
    if approval.at > now_ns or approval.at < plan.facts_at:
        return "APPROVAL_OUT_OF_TIME", f"{who}'s approval is of {to_rfc3339(approval.at)}, which cannot be"
    return None


def whose(said: Iterable[str], persons: Persons) -> str:
    """What to do where nobody can tell whether these are different people: the very words for the file."""
    return f"say in holdfast.yaml, where it is approved and where it is run, whose these are: `{persons.to_list(said)}`"


def approvers_of(approvals: Iterable[Approval], plan: Plan, now_ns: int, persons: Persons = NOBODY_VOUCHES) -> set[str]:
    """Those whose approval of this plan counts: by persons, so that nobody counts twice, and whoever may be one of the
    others does not count besides.
    """
    return persons.distinct(one.by for one in approvals if not approval_problem(one, plan, now_ns, persons))


def approved_until(
    approvals: Iterable[Approval], plan: Plan, wanted: int, now_ns: int, persons: Persons = NOBODY_VOUCHES
) -> int:
    """Until when (ns) as many as are wanted count; 0: none is wanted, or too few count as it is."""
    counted = [one for one in approvals if approval_problem(one, plan, now_ns, persons) is None]
    if wanted <= 0:
        return 0
    for until in sorted({one.until for one in counted}, reverse=True):
        if len(persons.distinct(one.by for one in counted if one.until >= until)) >= wanted:
            return until
    return 0
