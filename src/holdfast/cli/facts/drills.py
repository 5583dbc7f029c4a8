"""Facts about drills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.drills import (
    DeclaredDrill,
    DrillCompared,
    DrillFault,
    DrillList,
    DrillPhase,
    DrillPlanned,
    DrillRan,
    DrillScenarios,
    DrillSide,
    LeftOver,
    Refused,
    ScenarioFacts,
    ShortDrill,
)
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.drilling.declared import DrillPlan
from holdfast.control.drilling.listing import ListedDrill
from holdfast.drills.outcomes import DrillOutcome
from holdfast.drills.plants import PLANTS
from holdfast.drills.scenarios.catalogue import SCENARIOS
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.evidence.drill_facts import InjectedFault
from holdfast.objectives import NotMeasured

__all__ = ["compared_facts", "list_facts", "planned_facts", "ran_facts", "scenarios_facts", "short_facts"]

T = TypeVar("T")


def scenario_facts(one: Scenario) -> ScenarioFacts:
    return ScenarioFacts(
        name=one.name,
        disruption=one.disruption.value,
        summary=one.summary,
        expects=one.expects,
        real=one.real,
        simulated=one.simulated,
        sites=one.sites,
    )


def scenarios_facts() -> DrillScenarios:
    return DrillScenarios(scenarios=[scenario_facts(one) for one in SCENARIOS.values()], plants=dict(PLANTS))


def planned_facts(plan: DrillPlan) -> DrillPlanned:
    return DrillPlanned(
        name=plan.name,
        recovery=plan.recovery,
        asset=plan.asset,
        scenario=scenario_facts(plan.scenario),
        level=plan.level,
        store=plan.store,
        snapshots=list(plan.snapshots),
        bytes=plan.size,
        where=clean(str(plan.where)),
        sites=list(plan.sites),
        isolated=clean(plan.isolated),
        refusals=[Refused(code=one.code, reason=clean(one.reason), change=clean(one.change)) for one in plan.refusals],
    )


def short_facts(one: DrillOutcome) -> ShortDrill:
    return ShortDrill(
        id=one.id,
        name=one.facts.name,
        recovery=one.recovery,
        scenario=one.facts.scenario,
        level=one.level,
        state=one.state.value,
        missed=one.missed,
        started=to_rfc3339(one.facts.started.at_ns),
        rpo=_known(one.verdict.rpo.measured),
        rto=_known(one.verdict.rto.measured),
    )


def list_facts(
    config: str, drills: Iterable[ListedDrill], others: Iterable[DrillOutcome], stopped: str, now_ns: int
) -> DrillList:
    return DrillList(
        config=clean(config),
        drills=[_declared(one, now_ns) for one in drills],
        others=[short_facts(one) for one in others],
        stopped=clean(stopped),
    )


def _declared(one: ListedDrill, now_ns: int) -> DeclaredDrill:
    since = None if one.held is None else (now_ns - one.held.facts.started.at_ns) / NANOSECONDS
    late = None if since is None else since - one.every - (one.surprise_within or 0.0)
    return DeclaredDrill(
        name=one.name,
        recovery=one.recovery,
        scenario=one.scenario,
        level=one.level,
        every_seconds=one.every,
        surprise_within_seconds=one.surprise_within,
        last=None if one.last is None else short_facts(one.last),
        overdue_seconds=late if late is not None and late > 0 else None,
    )


def ran_facts(one: DrillOutcome) -> DrillRan:
    facts, split = one.facts, one.measured.split
    return DrillRan(
        drill=one.id,
        name=facts.name,
        recovery=one.recovery,
        asset=one.asset,
        scenario=facts.scenario,
        level=one.level,
        state=one.state.value,
        why=clean(facts.why),
        started=to_rfc3339(facts.started.at_ns),
        ended=to_rfc3339(facts.ended.at_ns),
        rpo=_known(one.verdict.rpo.measured),
        rpo_target=one.verdict.rpo.target,
        rpo_state=one.verdict.rpo.state.value,
        steps_lost=_known(facts.work_lost.steps),
        rto=_known(one.verdict.rto.measured),
        rto_target=one.verdict.rto.target,
        rto_state=one.verdict.rto.state.value,
        detect=_known(split.detect),
        decide=_known(split.decide),
        execute=_known(split.execute),
        verify=_known(split.verify),
        copies=_known(one.measured.copies),
        copies_state=one.verdict.copies.state.value,
        recovery_site=one.recovery_site,
        snapshot=one.snapshot,
        runs=list(one.runs),
        faults=[_fault(each) for each in facts.faults],
        phases=[
            DrillPhase(
                name=each.name,
                verdict=each.outcome.value,
                detail=clean(each.detail),
                seconds=_known(each.seconds),
                run=each.run,
            )
            for each in facts.phases
        ],
        compared={clean(each.name): each.result.value for each in facts.checks},
        absent=[clean(f"{each.role} {each.name}: {each.detail}") for each in facts.absent],
        deviations=[clean(each) for each in facts.deviations],
        findings=[clean(f"{each.severity.value}: {each.text}") for each in facts.findings],
        real=[clean(each) for each in facts.real],
        simulated=[clean(each) for each in facts.simulated],
        exclusions={clean(each.what): clean(each.reason) for each in facts.exclusions},
        clean_up=LeftOver(
            created=[clean(each) for each in facts.clean_up.created],
            removed=[clean(each) for each in facts.clean_up.removed],
            left=[clean(each) for each in facts.clean_up.left],
        ),
        steady=[clean(each) for each in one.steady],
        evidence=[clean(each) for each in one.evidence],
        evidence_problem=clean(one.evidence_problem),
    )


def compared_facts(first: DrillOutcome, second: DrillOutcome) -> DrillCompared:
    """Side by side, from what each measured."""
    one, other = _side(first), _side(second)
    more = None if one.rto is None or other.rto is None else other.rto - one.rto
    return DrillCompared(first=one, second=other, rto_more=more)


def _side(one: DrillOutcome) -> DrillSide:
    split = one.measured.split
    return DrillSide(
        drill=one.id,
        scenario=one.facts.scenario,
        state=one.state.value,
        rpo=_known(one.verdict.rpo.measured),
        rto=_known(one.verdict.rto.measured),
        detect=_known(split.detect),
        decide=_known(split.decide),
        execute=_known(split.execute),
        verify=_known(split.verify),
    )


def _fault(one: InjectedFault) -> DrillFault:
    return DrillFault(
        what=clean(one.what),
        site=one.site,
        at=to_rfc3339(one.at.at_ns),
        real=one.real,
        bit=_known(one.bit),
        evidence=clean(one.evidence),
        healed=None if one.healed is None else to_rfc3339(one.healed.at_ns),
    )


def _known(value: T | NotMeasured) -> T | None:
    return None if isinstance(value, NotMeasured) else value
