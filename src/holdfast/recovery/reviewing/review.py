"""The review: everything that a plan relies on is looked at once more, in newer facts, by code that did not make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import HoldfastError
from holdfast.recovery.facts import Answer, Asset, Facts, Replica, Site
from holdfast.recovery.intents import Newest
from holdfast.recovery.planning.capacity import probe_problem
from holdfast.recovery.planning.graph import writers_of
from holdfast.recovery.planning.planner import FRESH_SECONDS
from holdfast.recovery.planning.points import proof_problem
from holdfast.recovery.plans import Chosen, Machines, Plan, plan_hash, require_rules
from holdfast.recovery.reviewing.approvals import Approval, approval_problem, approved_until, approvers_of, whose
from holdfast.recovery.reviewing.persons import NOBODY_VOUCHES, Persons
from holdfast.units import format_duration

__all__ = ["Finding", "Review", "STALE_INTERVALS", "review_plan"]

STALE_INTERVALS = 3


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is stable; `change` says what would help, where something would."""

    code: str
    about: str
    reason: str
    change: str = ""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """Of the plan with that hash, by facts of `at`. It may be run if nothing is refused, and is begun before
    `approved_until` (ns; 0: no approval is needed).
    """

    plan: str
    at: int
    refusals: tuple[Finding, ...]
    warnings: tuple[Finding, ...] = ()
    approved_until: int = 0

    @property
    def passed(self) -> bool:
        """Whether the plan may be run now."""
        return not self.refusals


def review_plan(
    plan: Plan,
    facts: Facts,
    approvals: Iterable[Approval] = (),
    persons: Persons = NOBODY_VOUCHES,
    *,
    approvers: int = 0,
    now_ns: int = 0,
) -> Review:
    """All refusals and warnings at once. `facts` are of now; the plan's own are only what it was made of.

    `approvers`: how many are needed whatever the plan says. `now_ns`: by when an approval has to count, where probing
    the facts took its time.
    """
    findings = [*_freshness(plan, facts), *_site(plan, facts), *_rules(plan, facts)]
    for chosen in plan.chosen:
        findings += _point(plan, facts, chosen)
    for machines in plan.machines:
        findings += _capacity(plan, facts, machines)
    wanted, given, now = max(plan.intent.approvers, approvers), list(approvals), max(facts.at, now_ns)
    findings += _approved(plan, wanted, now, given, persons)
    warnings = tuple(_doubts(plan, facts))
    return Review(
        plan=plan_hash(plan),
        at=facts.at,
        refusals=tuple(findings),
        warnings=warnings,
        approved_until=approved_until(given, plan, wanted, now, persons),
    )


def _freshness(plan: Plan, facts: Facts) -> Iterator[Finding]:
    # A plan from elsewhere may say what it likes: no planner says more than this.
    fresh_until = min(plan.fresh_until, plan.facts_at + int(FRESH_SECONDS * NANOSECONDS))
    if facts.at > fresh_until:
        yield Finding(
            code="PLAN_STALE",
            about="the plan",
            reason=f"its facts are of {to_rfc3339(plan.facts_at)}, and counted until {to_rfc3339(fresh_until)}",
            change="plan again",
        )
    if facts.at < plan.facts_at:
        yield Finding(
            code="CLOCK_WENT_BACK",
            about="the plan",
            reason=f"it was made at {to_rfc3339(plan.facts_at)}, and now it is {to_rfc3339(facts.at)}",
            change="set the clocks right, and plan again",
        )


def _site(plan: Plan, facts: Facts) -> Iterator[Finding]:
    site = facts.site(plan.site)
    problem = _unusable(site)
    if problem is not None:
        yield Finding(code="SITE_UNUSABLE", about=plan.site, reason=problem, change="plan again, to another site")
        return
    assert site is not None
    for name in plan.intent.assets:
        asset = facts.asset(name)
        if asset is None:
            yield Finding(code="ASSET_UNKNOWN", about=name, reason="nothing is known of it any more")
            continue
        if asset.jurisdictions and site.jurisdiction not in asset.jurisdictions:
            reason = f"{site.name} is in {site.jurisdiction}; it may lie in {', '.join(asset.jurisdictions)} only"
            yield Finding(code="JURISDICTION", about=name, reason=reason, change="name another site")
        yield from _epoch(plan, asset)


def _epoch(plan: Plan, asset: Asset) -> Iterator[Finding]:
    """Somebody else has recovered or moved it since."""
    for step in plan.steps:
        if step.asset == asset.name and step.with_.get("epoch", asset.epoch + 1) != asset.epoch + 1:
            reason = f"it has the epoch {asset.epoch} by now: it was recovered or moved since this plan was made"
            yield Finding(code="EPOCH_PASSED", about=asset.name, reason=reason, change="plan again")
            return


def _rules(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Of those who may write now: a plan from elsewhere may say that nobody did."""
    wanted = [asset for name in plan.intent.assets if (asset := facts.asset(name)) is not None]
    try:
        require_rules(plan, {} if plan.intent.isolated else writers_of(wanted))
    except HoldfastError as error:
        yield Finding(code="RULE_BROKEN", about="the plan", reason=error.message, change="plan again")


def _unusable(site: Site | None) -> str | None:
    if site is None:
        return "nobody knows that site any more"
    if site.answer is not Answer.YES:
        return f"it {site.answer}"
    return None if site.state in ("ok", "rebuilding") else f"it is {site.state}"


def _point(plan: Plan, facts: Facts, chosen: Chosen) -> Iterator[Finding]:
    snapshot = next((one for one in facts.snapshots_of(chosen.asset) if one.id == chosen.snapshot), None)
    if snapshot is None:
        yield Finding(
            code="SNAPSHOT_GONE", about=chosen.asset, reason=f"{chosen.snapshot} is gone", change="plan again"
        )
        return
    if snapshot.verdict == "quarantined":
        reason = f"{chosen.snapshot} was quarantined"
        yield Finding(code="SNAPSHOT_QUARANTINED", about=chosen.asset, reason=reason, change="plan again")
    replica = next((one for one in snapshot.replicas if one.store == chosen.store), None)
    yield from _copy(facts, chosen, replica)
    yield from _staleness(plan, facts, chosen)


def _copy(facts: Facts, chosen: Chosen, replica: Replica | None) -> Iterator[Finding]:
    if replica is None or not replica.whole:
        reason = f"{chosen.snapshot} is not whole at {chosen.store} any more"
        yield Finding(code="REPLICA_GONE", about=chosen.asset, reason=reason, change="plan again")
        return
    problem = _unusable(facts.site(replica.site))
    if problem is not None:
        reason = f"it would be read from {chosen.store}; {replica.site}: {problem}"
        yield Finding(code="SOURCE_UNUSABLE", about=chosen.asset, reason=reason, change="plan again")
    problem = proof_problem(replica.proof, facts.at)
    if problem is not None:
        reason = f"{chosen.snapshot} at {chosen.store}: {problem}"
        change = f"holdfast snapshot verify {chosen.snapshot}, at that store"
        yield Finding(code="UNPROVEN", about=chosen.asset, reason=reason, change=change)


def _staleness(plan: Plan, facts: Facts, chosen: Chosen) -> Iterator[Finding]:
    """A replica that is three intervals behind: unless an older point was asked for."""
    asset = facts.asset(chosen.asset)
    if asset is None or not isinstance(plan.intent.point, Newest):
        return
    age = (facts.at - chosen.content) / NANOSECONDS
    if age > STALE_INTERVALS * asset.interval:
        reason = (
            f"the newest good snapshot for it is {format_duration(age)} old, more than"
            f" {STALE_INTERVALS} intervals of {format_duration(asset.interval)}"
        )
        change = "bring newer copies (holdfast site sync), or ask for that moment (--as-of) and so accept the loss"
        yield Finding(code="STALE_REPLICA", about=chosen.asset, reason=reason, change=change)


def _capacity(plan: Plan, facts: Facts, machines: Machines) -> Iterator[Finding]:
    site = facts.site(plan.site)
    probed = next((one for one in site.compute if one.shape == machines.shape), None) if site is not None else None
    problem = probe_problem(probed, machines.shape, facts.at)
    if problem is not None:
        reason = f"{machines.shape} at {plan.site}: {problem}"
        yield Finding(code="CAPACITY_UNKNOWN", about=machines.asset, reason=reason, change="probe again")
        return
    assert probed is not None
    wanted = sum(one.number for one in plan.machines if one.shape == machines.shape)
    there = probed.ready + probed.free
    if there < wanted:
        reason = f"{wanted} × {machines.shape} are counted on at {plan.site}, and {there} are to be had"
        yield Finding(code="CAPACITY_MISSING", about=machines.asset, reason=reason, change="plan again, to more sites")


def _approved(plan: Plan, wanted: int, now_ns: int, approvals: list[Approval], persons: Persons) -> Iterator[Finding]:
    counted = len(approvers_of(approvals, plan, now_ns, persons))
    if wanted <= counted:
        return
    problems = False
    for one in approvals:
        problem = approval_problem(one, plan, now_ns, persons)
        if problem is not None:
            problems = True
            code, reason = problem
            yield Finding(code=code, about="the approval", reason=reason, change=_help(code, one, plan, persons))
    if not problems:
        reason = f"{counted} of {wanted} approvals by others than {plan.intent.by or 'who asked'}"
        unknown = counted < len({persons.behind(one.by) for one in approvals})
        reason += ", as a key and a login may be one person's" if unknown else ""
        helps = (
            f"have it approved; or {whose([one.by for one in approvals], persons)}" if unknown else "have it approved"
        )
        yield Finding(code="NOT_APPROVED", about="the approval", reason=reason, change=helps)


def _help(code: str, approval: Approval, plan: Plan, persons: Persons) -> str:
    if code == "APPROVER_MAY_BE_INITIATOR":
        return whose([plan.intent.by, approval.by], persons)
    return "who asked runs it, or puts it to the stores" if code == "INITIATOR_UNKNOWN" else ""


def _doubts(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """What does not stop a recovery: it is late or costly, and still better than none."""
    rto = plan.rto
    for chosen in plan.chosen:
        asset = facts.asset(chosen.asset)
        if asset is None:
            continue
        if asset.rpo is not None and chosen.loss > asset.rpo:
            reason = f"{format_duration(chosen.loss)} are lost, and {format_duration(asset.rpo)} may be"
            yield Finding(code="RPO_MISSED", about=chosen.asset, reason=reason)
        if asset.rto is None:
            continue
        if not rto.known:
            yield Finding(code="RTO_NOT_MEASURED", about=chosen.asset, reason=str(rto), change="a drill measures it")
        elif rto.most > asset.rto:
            reason = f"it takes {rto}, and may take {format_duration(asset.rto)}"
            yield Finding(code="RTO_MISSED", about=chosen.asset, reason=reason)
    for machines in plan.machines:
        if machines.number < machines.wanted:
            reason = f"{machines.number} of {machines.wanted} machines"
            yield Finding(code="REDUCED_CAPACITY", about=machines.asset, reason=reason)
