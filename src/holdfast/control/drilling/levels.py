"""The two levels at which nothing is broken: at a table, and one component alone, restored apart from all else."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from holdfast.control.drilling.conducting import Order
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.recovering.runs import Status
from holdfast.control.sites.declared import DeclaredSites
from holdfast.drills.stage import Stage
from holdfast.drills.troubles import DrillFailed, DrillStopped
from holdfast.errors import HoldfastError
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, MomentKind
from holdfast.evidence.record_setting import Disruption
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress

__all__ = ["component_drill", "run_rehearsal", "tabletop_drill"]

_NOTHING_BROKEN: Final = "nothing was broken: what a fault does was not tried"


def tabletop_drill(order: Order, sites: DeclaredSites, recovery: str) -> Order:
    """The recovery is planned and reviewed by what the stores say now, and every step is asked whether it could be."""

    def play(stage: Stage) -> None:
        with stage.phase("plan") as said:
            try:
                file, review, problems = Recoveries(sites).check(Wanted(recovery))
            except HoldfastError as error:
                raise DrillFailed(f"no plan could be made: {error.message}") from error
            stage.mark(MomentKind.PLANNED, f"planned to {file.plan.site}; it would take {file.plan.rto}")
            said.append(f"{len(file.plan.steps)} steps to {file.plan.site}, {file.plan.rto}")
        with stage.phase("review") as said:
            against = [f"{one.code}: {one.reason}" for one in review.refusals]
            against += [f"{step} could not be done: {why}" for step, why in problems.items()]
            if against:
                raise DrillFailed("; ".join(against))
            said.append("nothing speaks against it, and every step could be done")
        detail = "nothing was restored: it was talked through"
        stage.checks.append(
            Check(name="restored content", level=CheckLevel.PRESENT, result=CheckResult.NOT_MEASURED, detail=detail)
        )

    scenario = order.scenario._replace(
        play=play, disruption=Disruption.NONE, real=_NOTHING_BROKEN, simulated="all of it: it is talked through"
    )
    return order._replace(scenario=scenario, prepare=_nothing, evidence_of=sites, commands=False)


def component_drill(order: Order, sites: DeclaredSites, recovery: str) -> Order:
    """The newest good snapshot, from the declared stores, into a folder of the drill's; verified there."""

    def play(stage: Stage) -> None:
        target = stage.trial.folder / "restored" / "component"
        with stage.phase("restore") as said:
            recoveries = Recoveries(sites)
            try:
                file = recoveries.plan(Wanted(recovery, isolated=True, target=str(target)))
                stage.mark(MomentKind.PLANNED, f"a rehearsal is planned: {file.run}")
                status = run_rehearsal(stage, sites, recoveries, file)
            except DrillStopped:
                raise
            except HoldfastError as error:
                raise DrillFailed(f"the component could not be restored: {error.message}") from error
            if status.state.verdict != "PASSED":
                raise DrillFailed(f"the rehearsal {file.run} ended {status.state.verdict}")
            stage.restored = stage.verified = True
            stage.recovery_site = file.plan.site
            chosen = file.plan.chosen[0]
            detail = "all files, links, folders and chunks, by the chunk ids of the snapshot"
            stage.checks.append(
                Check(name="restored content", level=CheckLevel.DECODED, result=CheckResult.PASSED, detail=detail)
            )
            said += [f"{chosen.snapshot} from {chosen.store}, verified", file.run]

    scenario = order.scenario._replace(
        play=play,
        disruption=Disruption.NONE,
        real="the declared stores are read, and all of it is verified",
        simulated=_NOTHING_BROKEN,
    )
    return order._replace(scenario=scenario, prepare=_nothing, evidence_of=sites, commands=False)


def run_rehearsal(stage: Stage, sites: DeclaredSites, recoveries: Recoveries, file: PlanFile) -> Status:
    """Its journal lies at the declared stores: a run of a drill that is to stop has to end there, too, or everybody
    would wait for it. Raises DrillStopped.
    """
    heard: list[DrillStopped] = []

    def heed(plan: Plan, progress: Progress) -> None:
        if heard:
            return
        try:
            stage.look()
        except DrillStopped as error:
            heard.append(error)
            recoveries.say(file.run, Deed.STOPPED, reason=error.message)

    stage.note_run(file.run)
    try:
        status = recoveries.run(file, "", heed)
    except KeyboardInterrupt:
        again = Recoveries(sites)
        with suppress(HoldfastError):
            again.say(file.run, Deed.STOPPED, reason="the drill was interrupted")
            again.adopt(file.run, "", lambda plan, progress: None)
        raise
    stage.runs.append(file.run)
    if heard:
        raise heard[0]
    return status


def _nothing(stage: Stage) -> None:
    return
