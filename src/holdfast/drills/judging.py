"""From what was noted on the stage to facts, figures and verdicts. Everything was measured before."""

from __future__ import annotations

from typing import Final

from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.record_outcome import Outcome, split_of
from holdfast.evidence.record_setting import CleanUp, Environment, Exercise, Finding, Severity
from holdfast.objectives import AssetClass, Measured, Objective, Placement

__all__ = ["LEVELS", "facts_of", "measured_of", "objective_of_trial"]

LEVELS: Final = {
    "tabletop": Exercise.TABLETOP,
    "component": Exercise.COMPONENT_RESTORE,
    "simulation": Exercise.SIMULATION,
    "functional": Exercise.FUNCTIONAL_FAILOVER,
}


def objective_of_trial(asset_class: str, rpo: float | None, rto: float | None, copies: int | None) -> Objective:
    """Of a class of one's own the targets count, too."""
    known = {one.value for one in AssetClass}
    kind = AssetClass(asset_class) if asset_class in known else AssetClass.DEVELOPMENT
    return Objective(asset_class=kind, rpo_seconds=rpo, rto_seconds=rto, copies=copies, placement=Placement.SITES)


def measured_of(stage: Stage) -> Measured:
    """What this drill measured; all else is NOT_MEASURED."""
    return Measured(
        fault_ns=stage.fault_ns,
        content_ns=stage.content_ns,
        last_change_ns=stage.last_change_ns,
        restored=stage.restored,
        verified=stage.verified,
        split=split_of(stage.recorder.timeline()),
        copies=stage.copies,
    )


def facts_of(
    stage: Stage, drill: str, name: str, scenario: Scenario, level: str, outcome: Outcome, why: str, clean_up: CleanUp
) -> DrillFacts:
    """All of it, as `write_evidence_of` wants it."""
    findings = list(stage.findings)
    if outcome is Outcome.FAILED:
        findings.append(
            Finding(severity=Severity.HIGH, text=why, retest=f"run {scenario.name} again once it is put right")
        )
    return DrillFacts(
        drill_id=drill,
        name=name,
        recovery=stage.trial.terms.recovery,
        scenario=scenario.name,
        disruption=scenario.disruption,
        summary=scenario.summary,
        environment=Environment.SIMULATED if level == "simulation" else Environment.ISOLATED,
        exercise=LEVELS[level],
        outcome=outcome,
        why=why,
        started=stage.began,
        ended=stage.instant(),
        fault_site=stage.fault_site,
        fault_step=stage.fault_step,
        faults=tuple(stage.faults),
        detections=tuple(stage.detections),
        moments=stage.recorder.timeline(),
        real=(*stage.real, scenario.real),
        simulated=(*stage.simulated, scenario.simulated),
        phases=tuple(stage.phases),
        checks=tuple(stage.checks),
        source_count=stage.at_source,
        compared_count=stage.compared,
        copies_verified=stage.copies,
        last_change_ns=stage.last_change_ns,
        work_lost=stage.work_lost,
        people=tuple(dict.fromkeys(stage.people)),
        absent=tuple(stage.absent),
        exclusions=tuple(stage.exclusions),
        deviations=tuple(stage.deviations),
        findings=tuple(findings),
        clean_up=clean_up,
        planted=stage.plant,
    )
