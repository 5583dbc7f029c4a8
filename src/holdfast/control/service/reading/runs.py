"""Recoveries: the list of runs, and one run with its plan as a graph, its progress, its approvals and its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import Freshness, Page, Problem, Time, clipped, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.config.model import Config
    from holdfast.control.recovering.runs import Status
    from holdfast.control.service.context import Service
    from holdfast.recovery.estimates import Estimate
    from holdfast.recovery.journal.entries import Entry
    from holdfast.recovery.plans import Plan
    from holdfast.recovery.reviewing.persons import Persons
    from holdfast.recovery.reviewing.review import Finding

__all__ = ["RUNS", "Approval", "EntryRow", "EstimateShown", "PointChosen", "RunPage", "RunRow", "RunsPage", "StepShown"]
__all__ += ["ReviewFinding", "run_page", "runs_page"]

RUNS: Final = "runs"
_SHOWN: Final = 40
_FRESH_S: Final = 4.0
_RUN_FRESH_S: Final = 0.8
_REVIEW_FRESH_S: Final = 20.0
_ENTRIES: Final = 200


class EstimateShown(msgspec.Struct, frozen=True, kw_only=True):
    """`source`: `measured`, `declared`, `assumed`, or `NOT_MEASURED` (then `seconds` is the least)."""

    seconds: float
    error_seconds: float
    source: str
    why: str


class PointChosen(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset comes back to. `rejected`: newer ones, and why."""

    asset: str
    snapshot: str
    step: int | None
    content: Time
    lost_seconds: float
    store: str
    rejected: dict[str, str]


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the plan. `state`: `waiting`, `begun`, `done`, `failed`, `dropped`, `undoing`, `undone` or `skipped`.

    `seconds`: how long it took; null while that is not known. `undo`, `no_undo`: how it is taken back, or why not.
    """

    id: str
    kind: str
    title: str
    site: str
    asset: str
    after: list[str]
    state: str
    attempts: int
    begun_at: Time | None
    seconds: float | None
    estimate: EstimateShown
    text: str
    facts: dict[str, str]
    undo: str
    no_undo: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """`counts`: it is of this plan, by somebody else than who asked for it, and in time."""

    by: str
    at: Time
    until: Time
    counts: bool


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the journal. `ignored`: it counts for nothing."""

    number: int
    at: Time
    by: str
    deed: str
    step: str
    text: str
    ignored: bool


class ReviewFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Why the plan may not be run now, or what is to be known. `change`: what would help."""

    code: str
    about: str
    reason: str
    change: str


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `planned`, `running`, `paused`, `stopping`, or how it ended: `PASSED`, `FAILED`, `STOPPED`, `ERROR`."""

    run: str
    name: str
    site: str
    assets: list[str]
    strategy: str
    isolated: bool
    by: str
    state: str
    begun: Time | None
    ended: Time | None
    last: Time
    seconds: float | None
    done: int
    steps: int
    planned_seconds: float | None


class RunsPage(Page, frozen=True, kw_only=True):
    """The newest runs, those under way first."""

    runs: list[RunRow]
    freshness: list[Freshness]
    problem: Problem | None


class RunPage(Page, frozen=True, kw_only=True):
    """`row` null: it could not be read (`problem`). `approvals_needed`: of other people. `left`: what is still to be
    done takes that long. `entries`: the newest, oldest first, of `entries_total`. `review`: null: not asked for
    (it was begun), or not answered yet.
    """

    row: RunRow | None
    run: str
    plan: str
    graceful: bool
    facts_at: Time | None
    fresh_until: Time | None
    rto: EstimateShown | None
    left: EstimateShown | None
    owner: str
    taken: int
    journal: list[str]
    approvals_needed: int
    approvals: list[Approval]
    points: list[PointChosen]
    steps: list[StepShown]
    rejected: dict[str, str]
    notes: list[str]
    failures: list[str]
    problems: str
    not_taken_back: str
    review: list[ReviewFinding] | None
    review_problem: Problem | None
    entries: list[EntryRow]
    entries_total: int
    freshness: list[Freshness]
    problem: Problem | None


def runs_page(service: Service) -> RunsPage:
    """As far as their journals can be read."""

    def read() -> list[RunRow]:
        from holdfast.control.recovering.recovering import Recoveries

        return [_row(one) for one in Recoveries(service.sites()).runs(_SHOWN)]

    empty: list[RunRow] = []
    told = kept(service, RUNS, read, empty, seconds=_FRESH_S)
    rows = sorted(told.value, key=lambda one: one.last, reverse=True)
    rows.sort(key=lambda one: one.state not in ("running", "paused", "stopping"))
    return RunsPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        runs=rows,
        freshness=[told.freshness],
        problem=told.problem,
    )


def run_page(service: Service, run: str) -> RunPage:
    """Raises NotFoundError for a run that no store has, UsageError for what is no id of a run."""
    from holdfast.control.recovering.plan_files import is_run_id
    from holdfast.errors import NotFoundError, UsageError

    if not is_run_id(run):
        raise UsageError(f"{clipped(run, 60)!r} is no id of a run", hint="20 hex digits, as the list of runs has them")

    def read() -> Status:
        from holdfast.control.recovering.recovering import Recoveries

        return Recoveries(service.sites()).status(run)

    nothing: Status | None = None
    told = kept(service, f"run {run}", read, nothing, seconds=_RUN_FRESH_S)
    status = told.value
    if status is None and told.problem is not None and told.problem.code == NotFoundError.code:
        raise NotFoundError(told.problem.message, hint=told.problem.hint, object_name=run)
    common = {"organisation": service.organisation, "at": time_of(service.clock.now_ns()) or ""}
    fresh, problem = [told.freshness], told.problem
    if status is None:
        return _unknown(run, common, fresh, problem)
    review, review_problem = _review(service, status)
    config = service.sites().config
    return _page(status, common, fresh, problem, review, review_problem, service.clock.now_ns(), config)


def _review(service: Service, status: Status) -> tuple[list[ReviewFinding] | None, Problem | None]:
    """Of a plan that nobody began: what would refuse it now."""
    if status.state.owner or status.state.verdict:
        return None, None

    def read() -> list[ReviewFinding]:
        from holdfast.control.recovering.plan_files import plan_file
        from holdfast.control.recovering.recovering import Recoveries

        review = Recoveries(service.sites()).review(plan_file(status.plan, status.journal))
        return [_finding(one) for one in review.refusals]

    nothing: list[ReviewFinding] | None = None
    told = kept(service, f"review {status.run} {len(status.entries)}", read, nothing, seconds=_REVIEW_FRESH_S, wait=2.5)
    return told.value, told.problem


def _finding(one: Finding) -> ReviewFinding:
    return ReviewFinding(
        code=one.code, about=clipped(one.about), reason=clipped(one.reason), change=clipped(one.change)
    )


def _unknown(run: str, common: dict[str, str], fresh: list[Freshness], problem: Problem | None) -> RunPage:
    return RunPage(
        **common,
        row=None,
        run=run,
        plan="",
        graceful=False,
        facts_at=None,
        fresh_until=None,
        rto=None,
        left=None,
        owner="",
        taken=0,
        journal=[],
        approvals_needed=0,
        approvals=[],
        points=[],
        steps=[],
        rejected={},
        notes=[],
        failures=[],
        problems="",
        not_taken_back="",
        review=None,
        review_problem=None,
        entries=[],
        entries_total=0,
        freshness=fresh,
        problem=problem,
    )


def _page(
    status: Status,
    common: dict[str, str],
    fresh: list[Freshness],
    problem: Problem | None,
    review: list[ReviewFinding] | None,
    review_problem: Problem | None,
    now: int,
    config: Config,
) -> RunPage:
    from holdfast.control.recovering.asking import persons_of
    from holdfast.control.recovering.intending import approvers_needed
    from holdfast.recovery.journal.entries import Deed
    from holdfast.recovery.plans import plan_hash
    from holdfast.recovery.running.progress import progress_of

    state, plan, entries = status.state, status.plan, status.entries
    ended = next((entry for entry in reversed(entries) if entry.deed is Deed.ENDED), None)
    end = ended.facts if ended is not None else {}
    ignored = set(state.ignored)
    return RunPage(
        **common,
        row=_row(status),
        run=status.run,
        plan=plan_hash(plan),
        graceful=plan.intent.graceful,
        facts_at=time_of(plan.facts_at),
        fresh_until=time_of(plan.fresh_until),
        rto=_estimate(plan.rto),
        left=None if state.verdict else _estimate(progress_of(plan, state).left),
        owner=clipped(state.owner),
        taken=state.taken,
        journal=list(status.journal),
        approvals_needed=max(plan.intent.approvers, approvers_needed(config, plan.intent)),
        approvals=_approvals(status, now, persons_of(config)),
        points=[
            PointChosen(
                asset=one.asset,
                snapshot=str(one.snapshot),
                step=one.step,
                content=time_of(one.content) or "",
                lost_seconds=one.loss,
                store=one.store,
                rejected={clipped(each.what): clipped(each.why) for each in one.rejected},
            )
            for one in plan.chosen
        ],
        steps=_steps(status, plan),
        rejected={clipped(one.what): clipped(one.why) for one in plan.rejected},
        notes=[clipped(one) for one in plan.notes],
        failures=[clipped(f"{one.step}: {one.text}") for one in entries if one.deed is Deed.FAILED],
        problems=clipped(str(end.get("problems", ""))),
        not_taken_back=clipped(str(end.get("not_taken_back", ""))),
        review=review,
        review_problem=review_problem,
        entries=[
            EntryRow(
                number=one.number,
                at=time_of(one.at) or "",
                by=clipped(one.by),
                deed=one.deed.value,
                step=one.step,
                text=clipped(one.text, 300),
                ignored=one.number in ignored,
            )
            for one in entries[-_ENTRIES:]
        ],
        entries_total=len(entries),
        freshness=fresh,
        problem=problem,
    )


def _approvals(status: Status, now: int, persons: Persons) -> list[Approval]:
    from holdfast.control.recovering.runs import approvals_of, is_asked
    from holdfast.recovery.reviewing.approvals import approvers_of

    given = approvals_of(status.state, asked=is_asked(status.plan, status.state, persons))
    taken = next((one.at for one in status.entries if one.deed.value == "taken"), now)
    counting = approvers_of(given, status.plan, taken, persons)
    return [
        Approval(
            by=clipped(one.by), at=time_of(one.at) or "", until=time_of(one.until) or "", counts=one.by in counting
        )
        for one in given
    ]


def _steps(status: Status, plan: Plan) -> list[StepShown]:
    from holdfast.control.recovering.history import step_seconds

    took = step_seconds(status.entries)
    begun = _begun(status.entries)
    found = []
    for step in plan.steps:
        one = status.state.steps.get(step.id)
        found.append(
            StepShown(
                id=step.id,
                kind=step.kind.value,
                title=clipped(step.title),
                site=step.site,
                asset=step.asset,
                after=list(step.after),
                state="waiting" if one is None else one.phase.value,
                attempts=0 if one is None else one.attempts,
                begun_at=time_of(begun.get(step.id)),
                seconds=took.get(step.id),
                estimate=_estimate(step.estimate),
                text="" if one is None else clipped(one.text),
                facts={} if one is None else {clipped(k, 80): clipped(str(v), 300) for k, v in one.facts.items()},
                undo=clipped(step.undo),
                no_undo=clipped(step.no_undo),
            )
        )
    return found


def _begun(entries: Sequence[Entry]) -> dict[str, int]:
    return {one.step: one.at for one in entries if one.deed.value == "begun"}


def _estimate(one: Estimate) -> EstimateShown:
    return EstimateShown(seconds=one.seconds, error_seconds=one.error, source=one.source.value, why=clipped(one.why))


def _row(status: Status) -> RunRow:
    from holdfast.recovery.journal.entries import Deed
    from holdfast.recovery.running.progress import progress_of

    plan, entries = status.plan, status.entries
    taken = next((entry.at for entry in entries if entry.deed is Deed.TAKEN), None)
    ended = next((entry.at for entry in reversed(entries) if entry.deed is Deed.ENDED), None)
    last = ended if ended is not None else entries[-1].at
    progress = progress_of(plan, status.state)
    return RunRow(
        run=status.run,
        name=clipped(plan.intent.name),
        site=clipped(plan.site),
        assets=[clipped(one) for one in plan.intent.assets],
        strategy=plan.intent.strategy.value,
        isolated=plan.intent.isolated,
        by=clipped(plan.intent.by),
        state=status.state.word,
        begun=time_of(taken),
        ended=time_of(ended),
        last=time_of(last) or "",
        seconds=None if taken is None else max(0.0, (last - taken) / NANOSECONDS),
        done=progress.done,
        steps=progress.steps,
        planned_seconds=plan.rto.seconds if plan.rto.known else None,
    )
