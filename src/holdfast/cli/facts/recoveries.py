"""Facts about recoveries: plans, reviews and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.recoveries import (
    EstimateFacts,
    FindingFacts,
    PointFacts,
    RecoverApproved,
    RecoverChecked,
    RecoverPlanned,
    RecoverReviewed,
    RecoverRun,
    RecoverRuns,
    RunFacts,
    RunStepFacts,
    StepFacts,
)
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.recovering.history import step_seconds
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Status
from holdfast.recovery.estimates import Estimate
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.leaving import LeavingOut
from holdfast.recovery.plans import Chosen, Plan, plan_hash
from holdfast.recovery.reviewing.review import Finding, Review
from holdfast.recovery.running.progress import progress_of

__all__ = ["approved_facts", "checked_facts", "left_out_facts", "planned_facts", "reviewed_facts", "run_facts"]
__all__ += ["runs_facts"]


def estimate_facts(one: Estimate) -> EstimateFacts:
    return EstimateFacts(seconds=one.seconds, error_seconds=one.error, source=one.source.value, why=clean(one.why))


def planned_facts(file: PlanFile, written: str | None) -> RecoverPlanned:
    plan = file.plan
    return RecoverPlanned(
        run=file.run,
        plan=plan_hash(plan),
        name=plan.intent.name,
        assets=list(plan.intent.assets),
        site=plan.site,
        strategy=plan.intent.strategy.value,
        graceful=plan.intent.graceful,
        isolated=plan.intent.isolated,
        by=clean(plan.intent.by),
        approvers=plan.intent.approvers,
        fault_at=_moment(plan.intent.fault_at),
        noticed_at=_moment(plan.intent.noticed_at),
        facts_at=to_rfc3339(plan.facts_at),
        fresh_until=to_rfc3339(plan.fresh_until),
        rto=estimate_facts(plan.rto),
        points=[_point(one) for one in plan.chosen],
        steps=[
            StepFacts(
                id=step.id,
                kind=step.kind.value,
                title=clean(step.title),
                site=step.site,
                asset=step.asset,
                after=list(step.after),
                estimate=estimate_facts(step.estimate),
                undo=clean(step.undo),
                no_undo=clean(step.no_undo),
            )
            for step in plan.steps
        ],
        journal=list(file.journal),
        not_at={one.what: clean(one.why) for one in plan.rejected},
        notes=[clean(one) for one in plan.notes],
        file=written,
    )


def _moment(ns: int | None) -> str | None:
    return None if ns is None else to_rfc3339(ns)


def _point(one: Chosen) -> PointFacts:
    return PointFacts(
        asset=one.asset,
        snapshot=one.snapshot,
        step=one.step,
        content=to_rfc3339(one.content),
        lost_seconds=one.loss,
        store=one.store,
        not_taken={each.what: clean(each.why) for each in one.rejected},
    )


def _findings(found: Iterable[Finding]) -> list[FindingFacts]:
    return [
        FindingFacts(code=one.code, about=clean(one.about), reason=clean(one.reason), change=clean(one.change))
        for one in found
    ]


def reviewed_facts(file: PlanFile, review: Review) -> RecoverReviewed:
    return RecoverReviewed(
        run=file.run,
        plan=review.plan,
        at=to_rfc3339(review.at),
        passed=review.passed,
        refusals=_findings(review.refusals),
        warnings=_findings(review.warnings),
    )


def checked_facts(file: PlanFile, review: Review, problems: Mapping[str, str]) -> RecoverChecked:
    return RecoverChecked(
        name=file.plan.intent.name,
        plan=plan_hash(file.plan),
        site=file.plan.site,
        rto=estimate_facts(file.plan.rto),
        steps=len(file.plan.steps),
        refusals=_findings(review.refusals),
        warnings=_findings(review.warnings),
        not_possible={step: clean(why) for step, why in problems.items()},
    )


def approved_facts(file: PlanFile, entry: Entry) -> RecoverApproved:
    until = to_rfc3339(entry.until)
    return RecoverApproved(run=file.run, plan=entry.text, by=clean(entry.by), until=until, without="")


def left_out_facts(approval: LeavingOut) -> RecoverApproved:
    until = to_rfc3339(approval.until)
    return RecoverApproved(run=approval.run, plan="", by=clean(approval.by), until=until, without=approval.store)


def run_facts(status: Status) -> RecoverRun:
    state, plan = status.state, status.plan
    taken = next((entry.at for entry in status.entries if entry.deed is Deed.TAKEN), None)
    ended = next((entry for entry in reversed(status.entries) if entry.deed is Deed.ENDED), None)
    last = status.entries[-1].at if ended is None else ended.at
    end = ended.facts if ended is not None else {}
    return RecoverRun(
        run=status.run,
        plan=plan_hash(plan),
        name=plan.intent.name,
        assets=list(plan.intent.assets),
        site=plan.site,
        isolated=plan.intent.isolated,
        state=status.state.word,
        owner=clean(state.owner),
        taken=state.taken,
        approvals=[clean(one.by) for one in state.approvals],
        journal=list(status.journal),
        left_out=[clean(one) for one in state.left_out],
        entries=len(status.entries),
        ignored=len(state.ignored),
        begun=None if taken is None else to_rfc3339(taken),
        ended=None if ended is None else to_rfc3339(ended.at),
        seconds=None if taken is None else max(0.0, (last - taken) / NANOSECONDS),
        left=estimate_facts(progress_of(plan, state).left),
        points=[_point(one) for one in plan.chosen],
        steps=_steps(status, plan),
        failures=[clean(f"{one.step}: {one.text}") for one in status.entries if one.deed is Deed.FAILED],
        problems=clean(str(end.get("problems", ""))),
        not_taken_back=clean(str(end.get("not_taken_back", ""))),
    )


def _steps(status: Status, plan: Plan) -> list[RunStepFacts]:
    took = step_seconds(status.entries)
    found = []
    for step in plan.steps:
        one = status.state.steps.get(step.id)
        found.append(
            RunStepFacts(
                id=step.id,
                state="waiting" if one is None else one.phase.value,
                attempts=0 if one is None else one.attempts,
                seconds=took.get(step.id),
                estimate=estimate_facts(step.estimate),
                text="" if one is None else clean(one.text),
                facts={} if one is None else dict(one.facts),
            )
        )
    return found


def runs_facts(found: Iterable[Status]) -> RecoverRuns:
    runs = []
    for one in found:
        taken = next((entry.at for entry in one.entries if entry.deed is Deed.TAKEN), None)
        runs.append(
            RunFacts(
                run=one.run,
                name=one.plan.intent.name,
                site=one.plan.site,
                assets=list(one.plan.intent.assets),
                state=one.state.word,
                begun=None if taken is None else to_rfc3339(taken),
                last=to_rfc3339(one.entries[-1].at),
            )
        )
    return RecoverRuns(runs=runs)
