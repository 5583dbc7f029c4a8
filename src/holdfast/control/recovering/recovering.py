"""Recoveries of declared assets: planned from what is probed, reviewed, approved, run, adopted and checked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.recovering.actors import restoring
from holdfast.control.recovering.actors.wiring import Wiring
from holdfast.control.recovering.asking import ask
from holdfast.control.recovering.history import Past, past_of
from holdfast.control.recovering.intending import Wanted, intent_of, runbook_of
from holdfast.control.recovering.journals import (
    choose_journal,
    find_run,
    first_facts,
    journal_at,
    newest_runs,
    require_own_plan,
)
from holdfast.control.recovering.opening import open_anywhere, require_whole_copies
from holdfast.control.recovering.places import absolute
from holdfast.control.recovering.plan_files import PlanFile, plan_file
from holdfast.control.recovering.probing import Prober
from holdfast.control.recovering.runs import (
    Status,
    approvals_of,
    lost_homes,
    status_of,
    without_approvals,
)
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.journal import Journal, new_plane
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.planning.graph import writers_of
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.reviewing.approvals import approvers_of
from holdfast.recovery.reviewing.review import Review, review_plan
from holdfast.recovery.runbooks.inserting import insert_runbook
from holdfast.recovery.running.executor import Executor, plan_of
from holdfast.recovery.running.progress import Progress
from holdfast.vault.vault import Vault

__all__ = ["Recoveries", "Status"]

_PAST_RUNS: Final = 5
_LONGEST_APPROVAL_S: Final = 86_400.0
_TARGET: Final = "target"


class Recoveries:
    """In the name of whoever opened the vault. `learn()` of the sites is called here, before anything is decided."""

    def __init__(self, sites: DeclaredSites, *, told: Callable[[str], None] = lambda text: None) -> None:
        """`told`: what a person has to hear while a run goes on."""
        self._sites, self._told = sites, told
        sites.learn()
        self._clock = sites.clock
        self._gone = threading.Event()
        self._emergency = False

    def plan(self, wanted: Wanted) -> PlanFile:
        """Probe, and plan. Raises what planning raises (RefusedError with the reason of each site), and opening."""
        intent, assets = intent_of(self._sites, wanted)
        require_whole_copies(assets)
        vault = open_anywhere(self._sites, assets)
        label = vault.handle.keys.label
        ask(vault, "recover.plan", wanted.name, by=label, to=intent.to[0], drill=intent.isolated)
        intent = msgspec.structs.replace(intent, by=label)
        prober = self._prober(vault, assets, intent.to)
        facts = prober.facts(lost_homes(intent, assets))
        plan = plan_recovery(intent, facts)
        runbook = runbook_of(self._sites, wanted.name)
        if runbook is not None:
            home = next((one.home for one in facts.assets if one.home), "")
            fenced = {} if intent.isolated else writers_of(list(facts.assets))
            plan = insert_runbook(plan, runbook[0], runbook[1], fenced=fenced, home=home)
        journal = choose_journal(prober.answering_stores(facts), lost_homes(intent, assets))
        return plan_file(plan, journal, wanted.target)

    def review(self, file: PlanFile) -> Review:
        """By what the stores say now, and by the approvals that were given."""
        vault = self._vault(file.plan)
        ask(
            vault,
            "recover.review",
            file.run,
            by=file.plan.intent.by,
            to=file.plan.site,
            drill=file.plan.intent.isolated,
        )
        try:
            state = self._journal(vault, file, "").read()
        except NotFoundError:
            state = RunState()
        return self._reviewed(vault, file.plan, state)

    def approve(self, file: PlanFile, seconds: float) -> Entry:
        """Signed with this member's key, for so long. Raises RefusedError for who asked for the plan."""
        if not 0 < seconds <= _LONGEST_APPROVAL_S:
            raise UsageError("an approval lasts for more than no time, and at most a day", hint="--for 1h")
        vault = self._vault(file.plan)
        label = vault.handle.keys.label
        intent = file.plan.intent
        if label == intent.by:
            raise RefusedError(
                f"{label} asked for this recovery, and cannot approve it, too",
                hint="somebody else approves it, with a keeper's key of their own",
            )
        ask(vault, "approve", file.run, by=intent.by, to=file.plan.site, drill=intent.isolated)
        with recorded_on(vault, "approve", objects={"plan": plan_hash(file.plan)}, names={"run": file.run}):
            journal = self._begun(vault, file, label)
            until = self._clock.now_ns() + int(seconds * NANOSECONDS)
            return journal.append(Deed.APPROVED, text=plan_hash(file.plan), until=until)

    def run(self, file: PlanFile, target: str, watch: Callable[[Plan, Progress], None]) -> Status:
        """Run the plan to its end. Raises RefusedError (the review; it is run by another control plane already)."""
        where = absolute(target or file.target)
        vault = self._vault(file.plan)
        journal = self._begun(vault, file, new_plane(), label=vault.handle.keys.label)
        state = journal.read()
        if state.verdict:
            raise RefusedError(f"the run {file.run} has ended: {state.verdict}", hint="plan again: a plan is run once")
        if state.owner:
            raise RefusedError(
                f"the run {file.run} was begun already",
                hint=f"`holdfast recover adopt {file.run}` goes on with it, if its control plane is gone",
            )
        self._ask_to_run(vault, "drill.run" if file.plan.intent.isolated else "recover.run", file.run, file.plan, state)
        return self._execute(vault, journal, file.plan, where, watch)

    def adopt(self, run: str, target: str, watch: Callable[[Plan, Progress], None]) -> Status:
        """Go on with a run whose control plane is gone, from what lies at the stores."""
        vault = self._any_vault()
        journal = find_run(self._sites, vault.handle.keys, run, new_plane(), self._clock)
        state, plan = journal.state, plan_of(journal.state)
        if state.verdict:
            raise RefusedError(f"the run {run} has ended: {state.verdict}")
        if not state.owner:
            raise RefusedError(f"nobody has begun the run {run}", hint="`holdfast recover run FILE` begins it")
        action = "drill.run" if plan.intent.isolated else "recover.adopt"
        began = next((entry.at for entry in journal.entries if entry.deed is Deed.TAKEN), 0)
        self._ask_to_run(vault, action, run, plan, state, began)
        said = next((entry.facts for entry in reversed(journal.entries) if entry.deed is Deed.TAKEN), {})
        where = absolute(target or str(said.get(_TARGET, "")))
        for name in state.done:
            if plan.step(name).kind is Kind.RESTORE and not target:
                facts = state.steps[name].facts
                restoring.require_here(str(facts.get(_TARGET, "")), str(facts.get("machine", "another machine")))
        return self._execute(vault, journal, plan, where, watch)

    def status(self, run: str) -> Status:
        """Raises NotFoundError where no store that answers has it."""
        vault = self._any_vault()
        journal = find_run(self._sites, vault.handle.keys, run, "", self._clock)
        return status_of(run, journal)

    def runs(self, limit: int) -> list[Status]:
        """The newest, as far as their journals can be read."""
        vault = self._any_vault()
        found = []
        for run in newest_runs(self._sites, vault.handle.keys, limit, self._clock):
            journal = find_run(self._sites, vault.handle.keys, run, "", self._clock)
            found.append(status_of(run, journal))
        return found

    def say(self, run: str, deed: Deed, *, step: str = "", reason: str = "") -> Status:
        """What a person says to a run: PAUSED, RESUMED, STOPPED, SKIPPED. Signed with this member's key."""
        vault = self._any_vault()
        label = vault.handle.keys.label
        journal = find_run(self._sites, vault.handle.keys, run, label, self._clock)
        plan = plan_of(journal.state)
        approved = self._approvers(plan, journal.state)
        drill = plan.intent.isolated
        action = "drill.run" if drill else "recover.resume" if deed is Deed.RESUMED else "recover.plan"
        ask(vault, action, run, by=plan.intent.by, to=plan.site, drill=drill, approved_by=approved)
        if deed is Deed.SKIPPED:
            self._require_skippable(plan, step, reason)
        with recorded_on(vault, action, objects={"said": deed.value}, names={"run": run, "step": step}):
            journal.append(deed, step=step, text=reason)
        return status_of(run, journal)

    def check(self, wanted: Wanted) -> tuple[PlanFile, Review, dict[str, str]]:
        """Plan, review and ask every step whether it could be done now: nothing is changed."""
        file = self.plan(wanted)
        vault = self._vault(file.plan)
        review = self._reviewed(vault, file.plan, RunState())
        review = without_approvals(review)
        where = absolute(file.target or str(Path.cwd() / f"recover-check-{file.run}"))
        journal = self._journal(vault, file, new_plane())
        executor = self._executor(vault, journal, file.plan, where, lambda plan, progress: None)
        return file, review, executor.check(file.plan)

    def _execute(
        self, vault: Vault, journal: Journal, plan: Plan, where: Path, watch: Callable[[Plan, Progress], None]
    ) -> Status:
        drill = plan.intent.isolated
        names = {"run": journal.run, "site": plan.site}
        with recorded_on(
            vault, "drill.run" if drill else "recover.run", objects={"plan": plan_hash(plan)}, names=names
        ) as facts:
            try:
                state = self._executor(vault, journal, plan, where, watch).run()
            finally:
                self._gone.set()
            facts.outcome = "done" if state.verdict == "PASSED" else state.verdict.lower()
        if state.verdict == "PASSED":
            self._wiring(vault, plan, where).settle(journal.run)
        return status_of(journal.run, journal)

    def _executor(
        self, vault: Vault, journal: Journal, plan: Plan, where: Path, watch: Callable[[Plan, Progress], None]
    ) -> Executor:
        return Executor(
            journal,
            self._wiring(vault, plan, where).actors(journal),
            review=lambda planned, state: self._reviewed(vault, planned, state),
            look=lambda: self._look(plan),
            told=lambda progress: watch(plan, progress),
            terms={_TARGET: str(where)},
            clock=self._clock,
        )

    def _wiring(self, vault: Vault, plan: Plan, where: Path) -> Wiring:
        return Wiring(self._sites, vault, plan, where, gone=self._gone, told=self._told)

    def _look(self, plan: Plan) -> list[str]:
        """The steady state after a rollback: what is not as it was before, in words."""
        self._sites.learn()
        problems = []
        for name in plan.intent.assets:
            asset = self._sites.asset(name)
            for site in asset.placement.sites:
                if site in self._sites.states:
                    problems.append(f"{site}, where {name} lies, is {self._sites.states[site]}")
        return list(dict.fromkeys(problems))

    def _ask_to_run(self, vault: Vault, action: str, run: str, plan: Plan, state: RunState, began: int = 0) -> None:
        """What was approved when the run began (ns) still counts for who goes on with it. Under break-glass no approval
        is needed; that is recorded where the decision is.
        """
        asked = ask(
            vault,
            action,
            run,
            by=plan.intent.by,
            to=plan.site,
            drill=plan.intent.isolated,
            approved_by=self._approvers(plan, state) | approvers_of(approvals_of(state), plan, began),
        )
        self._emergency = asked.emergency

    def _approvers(self, plan: Plan, state: RunState) -> set[str]:
        return approvers_of(approvals_of(state), plan, self._clock.now_ns())

    def _reviewed(self, vault: Vault, plan: Plan, state: RunState) -> Review:
        self._sites.learn()
        assets = [self._sites.asset(name) for name in plan.intent.assets]
        prober = self._prober(vault, assets, (plan.site,), past=Past())
        review = review_plan(plan, prober.facts(lost_homes(plan.intent, assets)), approvals_of(state))
        return without_approvals(review) if self._emergency else review

    def _prober(
        self, vault: Vault, assets: Sequence[DeclaredAsset], to: Sequence[str], past: Past | None = None
    ) -> Prober:
        if past is None:
            past = past_of(newest_runs(self._sites, vault.handle.keys, _PAST_RUNS, self._clock))
        return Prober(self._sites, vault, assets, to, past)

    def _vault(self, plan: Plan) -> Vault:
        return open_anywhere(self._sites, [self._sites.asset(name) for name in plan.intent.assets])

    def _any_vault(self) -> Vault:
        whole = [asset for asset in self._sites.assets.values() if not asset.set_name]
        if not whole:
            raise RefusedError("recoveries are of whole copies so far, and all assets lie in stripes")
        return open_anywhere(self._sites, whole)

    def _journal(self, vault: Vault, file: PlanFile, by: str) -> Journal:
        return journal_at(self._sites, vault.handle.keys, file.run, file.journal, by, self._clock)

    def _begun(self, vault: Vault, file: PlanFile, by: str, label: str = "") -> Journal:
        """The journal, with the plan in it: written by whoever comes first. Raises DamageError for another plan."""
        vault.handle.keys.require_keeper("writing the journal of a recovery")
        first = self._journal(vault, file, label or by)
        try:
            first.read()
        except NotFoundError:
            plan = msgspec.json.encode(file.plan, order="sorted").decode()
            try:
                first.append(Deed.PLANNED, plan=plan, facts=first_facts(file.journal))
            except RefusedError:
                first.read()  # somebody else was faster
        require_own_plan(file.run, first.entries, plan_of(first.state))
        if not label:
            return first
        journal = self._journal(vault, file, by)
        journal.read()
        return journal

    def _require_skippable(self, plan: Plan, step: str, reason: str) -> None:
        one = plan.step(step)
        if not reason.strip() or not reason.isprintable():
            raise UsageError("skipping a step needs a reason: one line of text", hint="--reason TEXT")
        if one.kind in (Kind.FENCE, Kind.VERIFY):
            raise RefusedError(
                f"{step} is not skipped: what is restored before a fence, or promoted unread, may be lost",
                hint="stop the run instead",
            )
