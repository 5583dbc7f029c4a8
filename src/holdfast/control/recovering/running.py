"""`recover run` and `recover adopt`: a control plane takes a run, and goes on with it to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.recovering.asking import speaker
from holdfast.control.recovering.journals import find_run
from holdfast.control.recovering.places import absolute
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.runs import Status, is_asked, status_of
from holdfast.control.recovering.saying import begun, propose_plan
from holdfast.control.recovering.session import Session
from holdfast.errors import ConflictError, HoldfastError, PermissionDeniedError, RefusedError, StoreUnreachableError
from holdfast.fanout.beside import at_once
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal, new_plane
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.running.executor import Executor, plan_of
from holdfast.recovery.running.progress import Progress
from holdfast.vault.vault import Vault

__all__ = ["Running", "Seen", "Watch"]

_TARGET: Final = "target"
_FOLLOW_SECONDS: Final = 1.0
Watch = Callable[[Plan, Progress], None]
Seen = Callable[[Plan, RunState], None]


class Running:
    """One control plane."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, file: PlanFile, target: str, watch: Watch) -> Status:
        """Run the plan to its end. Raises RefusedError (the review; it is run by another control plane already)."""
        session = self._session
        where = absolute(target or file.target)
        vault = session.vault_of(file.plan)
        journals: list[Journal] = []
        at_once(lambda: journals.append(begun(session, vault, file)), *session.meanwhile(vault, file.plan))
        journal = journals[0].spoken_by(new_plane())
        state = journal.state
        if state.verdict:
            raise RefusedError(f"the run {file.run} has ended: {state.verdict}", hint="plan again: a plan is run once")
        if state.owner:
            raise RefusedError(
                f"the run {file.run} was begun already",
                hint=f"`holdfast recover adopt {file.run}` goes on with it, if its control plane is gone",
            )
        self._ask(vault, "drill.run" if file.plan.intent.isolated else "recover.run", file.run, file.plan, state)
        return self._execute(vault, journal, file.plan, where, watch)

    def adopt(self, run: str, target: str, watch: Watch, without: str = "") -> Status:
        """Go on with a run whose control plane is gone, from what lies at the stores. `without`: a site of its journal
        that is gone for good, as somebody else approved.
        """
        session = self._session
        vault = session.any_vault()
        if without:
            from holdfast.control.recovering.leaving_out import leave_out

            journal = leave_out(session, vault, run, without).spoken_by(new_plane())
        else:
            journal = find_run(session.sites, vault.handle.keys, run, new_plane(), session.clock)
        state, plan = journal.state, plan_of(journal.state)
        if state.verdict:
            raise RefusedError(f"the run {run} has ended: {state.verdict}")
        if not state.owner:
            raise RefusedError(f"nobody has begun the run {run}", hint="`holdfast recover run FILE` begins it")
        action = "drill.run" if plan.intent.isolated else "recover.adopt"
        began = next((entry.at for entry in journal.entries if entry.deed is Deed.TAKEN), 0)
        self._ask(vault, action, run, plan, state, began)
        session.require_approved(vault, plan, state, began)
        said = next((entry.facts for entry in reversed(journal.entries) if entry.deed is Deed.TAKEN), {})
        where = absolute(target or str(said.get(_TARGET, "")))
        self._require_here(state, plan, target)
        return self._execute(vault, journal, plan, where, watch)

    def executor(self, vault: Vault, journal: Journal, plan: Plan, where: Path, watch: Watch) -> Executor:
        """Of this journal's plan, with the actors of this machine."""
        from holdfast.control.recovering.actors.wiring import Wiring

        session = self._session
        wiring = Wiring(session.sites, vault, plan, where, gone=session.gone, told=session.told)
        return Executor(
            journal,
            wiring.actors(journal),
            review=lambda planned, state: session.reviewed(vault, planned, state),
            look=lambda: self._look(plan),
            told=lambda progress: watch(plan, progress),
            terms={_TARGET: str(where)},
            clock=session.clock,
        )

    def _execute(self, vault: Vault, journal: Journal, plan: Plan, where: Path, watch: Watch) -> Status:
        session = self._session
        drill = plan.intent.isolated
        names = {"run": journal.run, "site": plan.site}
        verb = "drill.run" if drill else "recover.run"
        with recorded_on(vault, verb, objects={"plan": plan_hash(plan)}, names=names) as facts:
            try:
                state = self.executor(vault, journal, plan, where, watch).run()
            finally:
                session.gone.set()
            facts.outcome = "done" if state.verdict == "PASSED" else state.verdict.lower()
        if state.verdict == "PASSED":
            from holdfast.control.recovering.actors.wiring import Wiring

            Wiring(session.sites, vault, plan, where, gone=session.gone, told=session.told).settle(journal.run)
        return status_of(journal.run, journal)

    def _require_here(self, state: RunState, plan: Plan, target: str) -> None:
        from holdfast.control.recovering.actors import restoring

        for name in state.done:
            if plan.step(name).kind is Kind.RESTORE and not target:
                facts = state.steps[name].facts
                restoring.require_here(str(facts.get(_TARGET, "")), str(facts.get("machine", "another machine")))

    def _look(self, plan: Plan) -> list[str]:
        """The steady state after a rollback: what is not as it was before, in words."""
        sites = self._session.sites
        sites.learn()
        problems = []
        for name in plan.intent.assets:
            asset = sites.asset(name)
            for site in asset.placement.sites:
                if site in sites.states:
                    problems.append(f"{site}, where {name} lies, is {sites.states[site]}")
        return list(dict.fromkeys(problems))

    def _ask(self, vault: Vault, action: str, run: str, plan: Plan, state: RunState, began: int = 0) -> None:
        """What was approved when the run began (ns) still counts for who goes on with it. Under break-glass no approval
        is needed; that is recorded where the decision is.
        """
        session = self._session
        try:
            asked = session.ask(
                vault,
                action,
                run,
                by=plan.intent.by,
                to=plan.site,
                drill=plan.intent.isolated,
                approved_by=session.approvers(vault, plan, state, began),
            )
        except PermissionDeniedError as error:
            session.require_approved(vault, plan, state, began)  # says why, where that is why
            if not state.approvals or is_asked(plan, state, session.persons):
                raise
            raise RefusedError(
                f"{plan.intent.by} never signed that they asked for {run}, so that who approved it may have, too",
                hint=f"{plan.intent.by} runs it, or puts it to the stores",
                object_name=run,
            ) from error
        session.emergency = asked.emergency


def submit(session: Session, file: PlanFile, target: str) -> Status:
    """Put the plan to the stores, and hand it to the workers. Raises RefusedError for a run that has ended."""
    from holdfast.control.workflows import open_workflows, submit_run

    where = target or file.target
    status = propose_plan(session, file)
    if status.state.verdict:
        raise RefusedError(
            f"the run {file.run} has ended: {status.state.verdict}", hint="plan again: a plan is run once"
        )
    by = speaker(session.vault_of(file.plan))
    submit_run(
        open_workflows(session.sites),
        file.run,
        asset="+".join(file.plan.intent.assets),
        target=str(absolute(where)),
        by=by,
    )
    return status


def follow(session: Session, run: str, seen: Seen) -> Status:
    """Until it has ended. Stores that do not answer for a while are asked again, which is told once; raises what the
    first look raises.
    """
    vault = session.any_vault()
    journal = find_run(session.sites, vault.handle.keys, run, "", session.clock)
    plan, silent = plan_of(journal.state), False
    while True:
        seen(plan, journal.state)
        if journal.state.verdict:
            return status_of(run, journal)
        session.clock.sleep(_FOLLOW_SECONDS)
        try:
            journal.read()
        except (StoreUnreachableError, ConflictError) as error:
            if not silent:
                session.told(f"nothing new is known of {run}: {error.message}")
            silent = True
        else:
            if silent:
                session.told(f"the stores say again how {run} stands")
            silent = False


def write_evidence(session: Session, run: str) -> str:
    """Evidence of a run that has ended, at the stores of its journal. Why it was not written; empty: it was.

    What becomes of it never changes the verdict. What makes it is loaded only now: loaded beside the restore it would
    take half a core from it.
    """
    try:
        from holdfast.control.evidencing.writing import write_evidence_of

        write_evidence_of(session.sites, run)
    except HoldfastError as error:
        return f"the evidence of {run} was not written: {error.message}"
    return ""
