"""What workers do of recoveries and drills. The journal at the stores says how far a run is: here nothing is kept."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import plan_file
from holdfast.control.recovering.recovering import Recoveries, Status
from holdfast.control.workflows import Value
from holdfast.control.working.jobs import Job
from holdfast.errors import FailedError, RefusedError, StoreUnreachableError
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress

__all__ = ["drill_run", "recover_check", "recover_run"]


def recover_run(job: Job) -> dict[str, Value]:
    """Begin the run, or go on with it, as its journal says. One that has ended is done, whoever ended it.

    Raises FailedError for a run that ended FAILED or STOPPED, RefusedError with the words of the review, and whatever
    ends a control plane.
    """
    run, target = job.text("run"), job.text("target")
    recoveries = Recoveries(job.sites, told=job.told)
    found = recoveries.status(run)
    if not found.state.verdict:
        job.pause_point()
        watch = _watching(job)
        if found.state.owner:
            job.told(f"goes on with the run {run}, which {found.state.owner} had")
            found = recoveries.adopt(run, target, watch)
        else:
            found = recoveries.run(plan_file(found.plan, found.journal, target), target, watch)
        problem = recoveries.write_evidence(run)  # what becomes of it does not change how the run ended
        if problem:
            job.told(problem)
    return _ended(found)


def recover_check(job: Job) -> dict[str, Value]:
    """Whether a recovery would work now: planned, reviewed, every step asked. Raises RefusedError: what would not."""
    file, review, problems = Recoveries(job.sites, told=job.told).check(Wanted(job.text("name")))
    said = [f"{one.code}: {one.reason}" for one in review.refusals]
    said += [f"{step}: {problem}" for step, problem in problems.items()]
    if said:
        raise RefusedError(
            f"{job.text('name')} would not work now: {'; '.join(said)}",
            hint=f"`holdfast recover check {job.text('name')}` shows it",
        )
    return {
        "site": file.plan.site,
        "steps": len(file.plan.steps),
        "warnings": "; ".join(f"{one.code}: {one.reason}" for one in review.warnings),
    }


def drill_run(job: Job) -> dict[str, Value]:
    """A declared drill, once for a key. One that missed its objective is done: it says so. Raises FailedError for one
    that did not end PASSED.
    """
    from holdfast.control.drilling.declared import run_drill

    done = run_drill(job.sites, job.text("name"), scenario=job.text("scenario"), told=job.told, key=job.key)
    if done.exit_code == 1:
        raise FailedError(
            f"the drill {done.id} ended {done.state.value}",
            hint=f"`holdfast drill report {done.id}` shows what it found",
            object_name=done.id,
        )
    return {
        "drill": done.id,
        "state": done.state.value,
        "missed": done.missed,
        "asset": done.asset,
        "site": done.recovery_site,
        "evidence_problem": done.evidence_problem,
    }


def _watching(job: Job) -> Callable[[Plan, Progress], None]:
    last: list[str] = []

    def watch(plan: Plan, progress: Progress) -> None:
        job.pause_point()
        doing = f": {', '.join(progress.under_way)}" if progress.under_way else ""
        line = f"{progress.done} of {progress.steps} steps{doing}"
        if [line] != last:
            last[:] = [line]
            job.told(line)

    return watch


def _ended(found: Status) -> dict[str, Value]:
    state = found.state
    facts: dict[str, Value] = {
        "run": found.run,
        "verdict": state.verdict,
        "site": found.plan.site,
        "steps": len(state.done),
        "taken": state.taken,
    }
    if not state.verdict:
        raise StoreUnreachableError(f"the run {found.run} has not ended", object_name=found.run)
    if state.verdict != "PASSED":
        broken = [f"{name}: {one.text}" for name, one in state.steps.items() if getattr(one, "text", "")]
        raise FailedError(
            f"the run {found.run} ended {state.verdict}" + (f" ({'; '.join(broken)[:1000]})" if broken else ""),
            hint=f"`holdfast recover status {found.run}` shows what was done, and what was taken back",
            object_name=found.run,
        )
    return facts
