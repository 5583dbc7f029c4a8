"""What people have a server do: plans, approvals, runs, drills, incidents, each in the name of whoever was identified.

The policies are asked by the verbs themselves, with the real principal; entries of journals are the server's, and say
for whom they are (`control.recovering.asking.speaker`). Data goes from the stores to where a worker runs, never to the
client: a client says only below which folders of that machine (`serve.targets`).
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.authority.principals import Principal
from holdfast.authority.resources import PLANE
from holdfast.control.authority.acting import acting_as
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries, Status
from holdfast.errors import FailedError, RefusedError, StoreUnreachableError, UsageError
from holdfast.homes import state_home
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.reviewing.review import Review

if TYPE_CHECKING:
    from holdfast.control.drilling.stopping import Pulled
    from holdfast.control.incidents.model import Incident
    from holdfast.control.service.context import Service
    from holdfast.control.workflows import Workflows, WorkState

__all__ = [
    "acknowledge_incident",
    "approve_run",
    "cancel_work",
    "keep_plan",
    "make_plan",
    "plan_recovery",
    "release_drills",
    "resolve_incident",
    "review_run",
    "say_to_run",
    "start_drill",
    "start_run",
    "status_of_run",
    "stop_drills",
    "workflows_of",
]

_SAYINGS: Final = (Deed.PAUSED, Deed.RESUMED, Deed.STOPPED, Deed.SKIPPED)


def plan_recovery(service: Service, principal: Principal, wanted: Wanted) -> PlanFile:
    """Plan, and put the plan to the stores, where others see and approve it. Raises what planning raises."""
    file = make_plan(service, principal, wanted)
    keep_plan(service, principal, file)
    return file


def make_plan(service: Service, principal: Principal, wanted: Wanted) -> PlanFile:
    """Plan only: nothing is written anywhere. Raises RefusedError for a target that this server restores nothing to."""
    target = target_for(service, wanted.name, wanted.target, isolated=wanted.isolated)
    with acting_as(principal):
        return Recoveries(service.sites()).plan(wanted._replace(target=target))


def keep_plan(service: Service, principal: Principal, file: PlanFile) -> Status:
    """Begin the journal of a plan. The same plan again changes nothing."""
    with acting_as(principal):
        return Recoveries(service.sites()).begin(file)


def target_for(service: Service, name: str, wanted: str, *, isolated: bool) -> str:
    """Where a recovery that was asked for over the network may restore to, as an absolute path; empty: said later.

    Raises RefusedError, UsageError. A rehearsal without a target gets a new folder of the server's own.
    """
    if not wanted:
        return str(_rehearsals(service) / f"{name}-{secrets.token_hex(6)}") if isolated else ""
    path = Path(wanted)
    if not path.is_absolute() or not wanted.isprintable() or ".." in path.parts:
        raise UsageError("the target is an absolute path of the machine that restores, without `..`")
    resolved = path.resolve()
    allowed = [Path(one) for one in service.loaded.config.serve.targets]
    if not any(resolved.is_relative_to(one.resolve()) and resolved != one.resolve() for one in allowed):
        shown = ", ".join(str(one) for one in allowed) or "none"
        raise RefusedError(
            f"{wanted} is no place that this server restores to",
            hint=f"`serve: {{targets: …}}` in holdfast.yaml lists folders below which it does: {shown}",
            object_name=wanted,
        )
    return str(resolved)


def _rehearsals(service: Service) -> Path:
    home = state_home(service.environment)
    if home is None:
        raise FailedError("there is no home folder to rehearse in", hint="set XDG_STATE_HOME")
    return home / "holdfast" / "rehearsals"


def status_of_run(service: Service, principal: Principal, run: str) -> Status:
    """Raises NotFoundError where no store that answers has it."""
    with acting_as(principal):
        return Recoveries(service.sites()).status(run)


def review_run(service: Service, principal: Principal, run: str) -> tuple[PlanFile, Review]:
    """Whether it may be run now, by what the stores say."""
    with acting_as(principal):
        recoveries = Recoveries(service.sites())
        file = recoveries.file_of(run)
        return file, recoveries.review(file)


def approve_run(service: Service, principal: Principal, run: str, seconds: float) -> Entry:
    """Approve exactly the plan that the run's journal holds, for so long. Raises RefusedError for who asked for it."""
    with acting_as(principal):
        recoveries = Recoveries(service.sites())
        return recoveries.approve(recoveries.file_of(run), seconds)


def say_to_run(
    service: Service, principal: Principal, run: str, deed: Deed, *, step: str = "", reason: str = ""
) -> Status:
    """PAUSED, RESUMED, STOPPED or SKIPPED. Raises UsageError for anything else."""
    if deed not in _SAYINGS:
        raise UsageError("a run is told `paused`, `resumed`, `stopped` or `skipped`")
    with acting_as(principal):
        return Recoveries(service.sites()).say(run, deed, step=step, reason=reason)


def start_run(service: Service, principal: Principal, run: str, target: str = "") -> WorkState:
    """Have a worker begin the run whose plan lies at the stores, or go on with it.

    Raises RefusedError (the review; it has ended), PermissionDeniedError, and StoreUnreachableError without a queue.
    Reviewed again is it by the worker: this one is so that people hear at once what speaks against it.
    """
    from holdfast.control.recovering.session import Session
    from holdfast.control.workflows import submit_run

    workflows = workflows_of(service)
    with acting_as(principal):
        sites = service.sites()
        status = Recoveries(sites).status(run)
        where = _place_of(service, status, target)
        if status.state.verdict:
            raise RefusedError(f"the run {run} has ended: {status.state.verdict}", hint="plan again")
        plan = status.plan
        session = Session(sites, service.progress.note)
        vault = session.vault_of(plan)
        drill = plan.intent.isolated
        action = "drill.run" if drill else "recover.adopt" if status.state.owner else "recover.run"
        asked = session.ask(
            vault,
            action,
            run,
            by=plan.intent.by,
            to=plan.site,
            drill=drill,
            approved_by=session.approvers(vault, plan, status.state, *_taken_at(status)),
        )
        if not status.state.owner:
            session.emergency = asked.emergency
            _require_passed(run, session.reviewed(vault, plan, status.state))
        return submit_run(workflows, run, asset="+".join(plan.intent.assets), target=where, by=principal.person)


def _place_of(service: Service, status: Status, target: str) -> str:
    """Where a run that is started over the network restores to: as is asked for, as was planned, else a new folder."""
    if target:
        return target_for(service, status.run, target, isolated=False)
    if status.target:
        return status.target
    if status.plan.intent.isolated:
        return str(_rehearsals(service) / f"{status.plan.intent.name}-{status.run}")
    allowed = service.loaded.config.serve.targets
    if not allowed:
        raise RefusedError(
            "nobody said where to restore to",
            hint="`serve: {targets: …}` in holdfast.yaml lists folders below which this server restores",
        )
    return str(Path(allowed[0]) / status.run)


def _taken_at(status: Status) -> tuple[int, ...]:
    """What was approved when the run began still counts for who goes on with it."""
    return tuple(entry.at for entry in status.entries if entry.deed is Deed.TAKEN)[:1]


def _require_passed(run: str, review: Review) -> None:
    if not review.passed:
        said = "; ".join(f"{one.code}: {one.reason}" for one in review.refusals)
        helps = "; ".join(dict.fromkeys(one.change for one in review.refusals if one.change))
        raise RefusedError(f"the run {run} may not be run now: {said}", hint=helps, object_name=run)


def start_drill(service: Service, principal: Principal, name: str, scenario: str = "", key: str = "") -> WorkState:
    """Have a worker rehearse a declared drill. `key`: the same key is the same drill, and happens once."""
    from holdfast.control.drilling.declared import plan_drill
    from holdfast.control.recovering.asking import ask, speaker

    workflows = workflows_of(service)
    with acting_as(principal):
        sites = service.sites()
        plan = plan_drill(sites, name, scenario=scenario)
        vault = sites.open_vault(list(sites.assets.values()))
        ask(vault, "drill.run", name, by=speaker(vault), to=plan.sites[-1], drill=True, environment=sites.environment)
    if plan.refusals:
        said = "; ".join(f"{one.code}: {one.reason}" for one in plan.refusals)
        helps = "; ".join(dict.fromkeys(one.change for one in plan.refusals if one.change))
        raise RefusedError(f"the drill is not safe now: {said}", hint=helps, object_name=name)
    arguments = {"name": name} | ({"scenario": scenario} if scenario else {})
    work = f"drill.run/{name}/{key or secrets.token_hex(8)}"
    return workflows.submit("drill.run", arguments, key=work, by=principal.person)


def stop_drills(service: Service, principal: Principal, reason: str = "") -> Pulled:
    """The lever: every drill stops at its next step, and none begins until `release_drills`."""
    from holdfast.control.drilling.stopping import stop_all

    service.authority().authorise(principal, "drill.stop", PLANE)
    with acting_as(principal):
        return stop_all(service.sites(), reason or "stopped by hand")


def release_drills(service: Service, principal: Principal) -> Pulled:
    """They may begin again: how many stops were lifted, and which stores know of it."""
    from holdfast.control.drilling.stopping import release_all

    service.authority().authorise(principal, "drill.stop", PLANE)
    with acting_as(principal):
        return release_all(service.sites())


def acknowledge_incident(service: Service, principal: Principal, incident: str, note: str = "") -> Incident:
    """Somebody has it in hand."""
    from holdfast.control.incidents.acting import acknowledge

    service.authority().authorise(principal, "incident.change", PLANE)
    with acting_as(principal):
        return acknowledge(service.sites(), incident, by=principal.person, note=note)


def resolve_incident(service: Service, principal: Principal, incident: str, note: str) -> Incident:
    """It is over, for the reason in `note`."""
    from holdfast.control.incidents.acting import resolve

    service.authority().authorise(principal, "incident.change", PLANE)
    with acting_as(principal):
        return resolve(service.sites(), incident, by=principal.person, note=note)


def cancel_work(service: Service, principal: Principal, key: str) -> WorkState:
    """Raises NotFoundError, RefusedError (it has ended, or is ended in another way)."""
    service.authority().authorise(principal, "work.change", PLANE)
    return workflows_of(service).cancel(key)


def workflows_of(service: Service) -> Workflows:
    """Raises StoreUnreachableError where this server has no queue of work."""
    if service.workflows is None:
        raise StoreUnreachableError(
            f"there is no queue of work here: {service.work_problem or 'none was opened'}",
            hint="`holdfast worker status` says more",
        )
    return service.workflows
