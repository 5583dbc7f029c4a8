"""Drills: which are declared and when they come, what is at work, and what those that have ended measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.evidence import Judged
from holdfast.control.service.reading.keeping import kept
from holdfast.control.service.reading.shapes import Freshness, Page, Problem, Time, clipped, figure, time_of

if TYPE_CHECKING:
    from holdfast.control.drilling.listing import ListedDrill
    from holdfast.control.service.context import Service
    from holdfast.control.workflows import WorkState
    from holdfast.drills.outcomes import DrillOutcome

__all__ = ["DRILLS", "DrillDeclared", "DrillEnded", "DrillPage", "DrillsPage", "MomentShown", "PhaseShown"]
__all__ += ["ScenarioShown", "WorkShown", "drill_page", "drills_page", "work_of"]

DRILLS: Final = "drills"
_SHOWN: Final = 50
_FRESH_S: Final = 3.0
_MOMENTS: Final = 200


class ScenarioShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is broken, and what has to come of it. `real`, `simulated`: in words."""

    name: str
    summary: str
    expects: str
    real: str
    simulated: str


class WorkShown(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work of the queue. `state`: QUEUED, RUNNING, DONE, FAILED or CANCELLED."""

    key: str
    kind: str
    state: str
    what: str
    by: str
    submitted: Time | None
    started: Time | None
    ended: Time | None
    worker: str
    attempt: int
    error: str


class MomentShown(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a drill's timeline; `seconds` from its beginning."""

    kind: str
    seconds: float
    text: str
    site: str


class PhaseShown(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the round trip, with its verdict."""

    name: str
    outcome: str
    detail: str
    seconds: float | None


class DrillEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A drill that has ended. `parts`: of the RTO, name → seconds, null: not measured."""

    id: str
    name: str
    scenario: str
    recovery: str
    asset: str
    level: str
    outcome: str
    why: str
    summary: str
    started: Time
    seconds: float
    fault_site: str
    rpo: Judged
    rto: Judged
    copies: Judged
    parts: dict[str, float | None]


class DrillDeclared(msgspec.Struct, frozen=True, kw_only=True):
    """`next_from`, `next_until`: between these it comes by itself; null: nothing is scheduled here."""

    name: str
    recovery: str
    scenario: str
    level: str
    every_seconds: float
    surprise_within_seconds: float | None
    next_from: Time | None
    next_until: Time | None
    last: DrillEnded | None


class DrillsPage(Page, frozen=True, kw_only=True):
    """`stopped`: why the lever is pulled; empty: it is not. `work`: drills that are queued or under way."""

    declared: list[DrillDeclared]
    scenarios: list[ScenarioShown]
    work: list[WorkShown]
    ended: list[DrillEnded]
    stopped: str
    work_problem: str
    freshness: list[Freshness]
    problem: Problem | None


class DrillPage(Page, frozen=True, kw_only=True):
    """One that has ended, moment by moment."""

    drill: DrillEnded
    moments: list[MomentShown]
    phases: list[PhaseShown]
    faults: list[MomentShown]
    real: list[str]
    simulated: list[str]
    deviations: list[str]
    findings: list[str]
    left: list[str]
    steady: list[str]
    runs: list[str]
    evidence: list[str]
    evidence_problem: str


def drills_page(service: Service) -> DrillsPage:
    """From this machine's reports, the queue of work, and what is declared."""

    def read() -> tuple[list[ListedDrill], list[DrillOutcome], str]:
        from holdfast.control.drilling.listing import kept_outcomes, list_drills
        from holdfast.drills.lever import Lever

        sites = service.sites()
        stopped = Lever(sites.environment, sites.config.organisation).pulled()
        return list_drills(sites), kept_outcomes(sites.environment)[:_SHOWN], stopped

    nothing: tuple[list[ListedDrill], list[DrillOutcome], str] = ([], [], "")
    told = kept(service, DRILLS, read, nothing, seconds=_FRESH_S)
    listed, ended, stopped = told.value
    work, work_problem = work_of(service, "drill.run")
    times = _times(service)
    return DrillsPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        declared=[_declared(one, times) for one in listed],
        scenarios=_scenarios(),
        work=[one for one in work if one.state in ("QUEUED", "RUNNING") or one.error],
        ended=[_ended(one) for one in ended],
        stopped=clipped(stopped),
        work_problem=work_problem,
        freshness=[told.freshness],
        problem=told.problem,
    )


def drill_page(service: Service, drill: str) -> DrillPage:
    """Raises NotFoundError."""
    from holdfast.control.drilling.listing import find_outcome

    one = find_outcome(service.environment, drill[:40])
    facts = one.facts
    return DrillPage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        drill=_ended(one),
        moments=[
            MomentShown(
                kind=moment.kind.value, seconds=moment.offset_seconds, text=clipped(moment.text), site=moment.site
            )
            for moment in facts.moments[:_MOMENTS]
        ],
        phases=[
            PhaseShown(
                name=clipped(phase.name),
                outcome=phase.outcome.value,
                detail=clipped(phase.detail),
                seconds=figure(phase.seconds),
            )
            for phase in facts.phases
        ],
        faults=[
            MomentShown(
                kind="real" if fault.real else "simulated",
                seconds=fault.at.offset_seconds,
                text=clipped(f"{fault.what}: {fault.evidence}" if fault.evidence else fault.what),
                site=fault.site,
            )
            for fault in facts.faults
        ],
        real=[clipped(text) for text in facts.real],
        simulated=[clipped(text) for text in facts.simulated],
        deviations=[clipped(text) for text in facts.deviations],
        findings=[clipped(f"{found.severity}: {found.text}") for found in facts.findings],
        left=[clipped(text) for text in facts.clean_up.left],
        steady=[clipped(text) for text in one.steady],
        runs=list(one.runs),
        evidence=[clipped(text.rpartition("/")[2]) for text in one.evidence],
        evidence_problem=clipped(one.evidence_problem),
    )


def work_of(service: Service, kind: str) -> tuple[list[WorkShown], str]:
    """What the queue has of that kind, the newest first, and why it cannot be asked."""
    if service.workflows is None:
        return [], service.work_problem or "this server has no queue of work"
    workflows = service.workflows

    def read() -> list[WorkShown]:
        return [_work(one) for one in workflows.list(kind, limit=_SHOWN)]

    empty: list[WorkShown] = []
    told = kept(service, f"work {kind}", read, empty, seconds=1.0, wait=2.0)
    return told.value, "" if told.problem is None else told.problem.message


def _work(one: WorkState) -> WorkShown:
    arguments = ", ".join(f"{name} {value}" for name, value in one.arguments.items() if value not in ("", None))
    return WorkShown(
        key=clipped(one.key, 200),
        kind=clipped(one.kind, 80),
        state=str(one.state),
        what=clipped(arguments, 300),
        by=clipped(one.by, 200),
        submitted=time_of(one.submitted_ns or None),
        started=time_of(one.started_ns),
        ended=time_of(one.ended_ns),
        worker=clipped(one.worker, 200),
        attempt=one.attempt,
        error="" if one.error is None else clipped(one.error.message),
    )


def _times(service: Service) -> dict[str, tuple[int, int]]:
    """Drill → between when (ns) it comes next."""
    if service.workflows is None:
        return {}
    workflows = service.workflows

    def read() -> dict[str, tuple[int, int]]:
        return {
            str(one.arguments.get("name", "")): (one.next_from_ns, one.next_until_ns)
            for one in workflows.schedules()
            if one.kind == "drill.run"
        }

    empty: dict[str, tuple[int, int]] = {}
    return kept(service, "schedules", read, empty, seconds=15.0, wait=1.0).value


def _declared(one: ListedDrill, times: dict[str, tuple[int, int]]) -> DrillDeclared:
    begin, end = times.get(one.name, (None, None))
    return DrillDeclared(
        name=one.name,
        recovery=one.recovery,
        scenario=one.scenario,
        level=one.level,
        every_seconds=one.every,
        surprise_within_seconds=one.surprise_within,
        next_from=time_of(begin),
        next_until=time_of(end),
        last=None if one.last is None else _ended(one.last),
    )


def _scenarios() -> list[ScenarioShown]:
    from holdfast.drills.scenarios.catalogue import SCENARIOS

    return [
        ScenarioShown(name=one.name, summary=one.summary, expects=one.expects, real=one.real, simulated=one.simulated)
        for one in SCENARIOS.values()
    ]


def _ended(one: DrillOutcome) -> DrillEnded:
    facts, verdict = one.facts, one.verdict

    def judged(name: str) -> Judged:
        found = getattr(verdict, name)
        return Judged(
            state=found.state.value,
            measured=figure(found.measured),
            target=found.target,
            reason=clipped(found.reason),
        )

    return DrillEnded(
        id=one.id,
        name=clipped(facts.name),
        scenario=clipped(facts.scenario),
        recovery=clipped(one.recovery),
        asset=clipped(one.asset),
        level=one.level,
        outcome=facts.outcome.value,
        why=clipped(facts.why),
        summary=clipped(facts.summary),
        started=time_of(facts.started.at_ns) or "",
        seconds=max(0.0, facts.ended.offset_seconds - facts.started.offset_seconds),
        fault_site=clipped(facts.fault_site),
        rpo=judged("rpo"),
        rto=judged("rto"),
        copies=judged("copies"),
        parts={name: figure(value) for name, value in one.measured.split.parts()},
    )
