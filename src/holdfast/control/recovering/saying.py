"""What people say to runs: plans put to the stores, approvals, pausing, resuming, stopping, skipping."""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.recovering.asking import speaker
from holdfast.control.recovering.journals import find_run, first_facts, require_own_plan
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.runs import Status, is_asked, status_of
from holdfast.control.recovering.session import Session
from holdfast.errors import NotFoundError, PermissionDeniedError, RefusedError, UsageError
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.reviewing.approvals import whose
from holdfast.recovery.running.executor import plan_of
from holdfast.vault.vault import Vault

__all__ = ["approve_plan", "begun", "propose_plan", "require_approval_time", "say_to_run"]

_LONGEST_APPROVAL_S: Final = 86_400.0


def begun(session: Session, vault: Vault, file: PlanFile) -> Journal:
    """The journal, read, with the plan in it, as this member writes it: whoever comes first wrote the plan.

    Raises CredentialError, DamageError for another plan, and what reading raises.
    """
    vault.handle.keys.require_keeper("writing the journal of a recovery")
    journal = session.journal(vault, file, speaker(vault))
    try:
        journal.read()
    except NotFoundError:
        text = msgspec.json.encode(file.plan, order="sorted").decode()
        try:
            journal.append(Deed.PLANNED, plan=text, facts=first_facts(file.journal, file.target))
        except RefusedError:
            journal.read()  # somebody else was faster
    plan = plan_of(journal.state)
    require_own_plan(file.run, journal.entries, plan)
    state, by = journal.state, journal.by
    if session.persons.are_one(by, plan.intent.by) and not is_asked(plan, state, session.persons) and not state.verdict:
        # An approver was faster: without this nobody could tell whether who asked is who the plan names.
        journal.append(Deed.ASKED, text=plan_hash(plan))
    return journal


def propose_plan(session: Session, file: PlanFile) -> Status:
    """Put the plan to the stores of its journal, where others see it: it is neither approved nor run by that."""
    vault, intent = session.vault_of(file.plan), file.plan.intent
    session.ask(vault, "recover.plan", file.run, by=intent.by, to=file.plan.site, drill=intent.isolated)
    return status_of(file.run, begun(session, vault, file))


def require_approval_time(seconds: float) -> None:
    """Raises UsageError."""
    if not 0 < seconds <= _LONGEST_APPROVAL_S:
        raise UsageError("an approval lasts for more than no time, and at most a day", hint="--for 1h")


def approve_plan(session: Session, file: PlanFile, seconds: float) -> Entry:
    """Signed with this member's key, for so long. Raises RefusedError for who asked for the plan, or may have."""
    require_approval_time(seconds)
    vault = session.vault_of(file.plan)
    label, intent = speaker(vault), file.plan.intent
    if session.persons.are_one(label, intent.by):
        raise RefusedError(
            f"{label} asked for this recovery, and cannot approve it, too",
            hint="somebody else approves it, with a keeper's key of their own",
        )
    if not session.persons.are_two(label, intent.by):
        raise RefusedError(
            f"{label} may be {intent.by}, who asked for this recovery: nothing says whose that key and that login are",
            hint=f"{whose([intent.by, label], session.persons)} (docs/server.md); or somebody else approves it",
            object_name=file.run,
        )
    session.ask(vault, "approve", file.run, by=intent.by, to=file.plan.site, drill=intent.isolated)
    with recorded_on(vault, "approve", objects={"plan": plan_hash(file.plan)}, names={"run": file.run}):
        journal = begun(session, vault, file)
        until = session.clock.now_ns() + int(seconds * NANOSECONDS)
        return journal.append(Deed.APPROVED, text=plan_hash(file.plan), until=until)


def say_to_run(session: Session, run: str, deed: Deed, step: str, reason: str) -> Status:
    """PAUSED, RESUMED, STOPPED, SKIPPED. Signed with this member's key."""
    vault = session.any_vault()
    journal = find_run(session.sites, vault.handle.keys, run, speaker(vault), session.clock)
    plan = plan_of(journal.state)
    approved = session.approvers(vault, plan, journal.state)
    drill = plan.intent.isolated
    action = "drill.run" if drill else "recover.resume" if deed is Deed.RESUMED else "recover.plan"
    began = next((entry.at for entry in journal.entries if entry.deed is Deed.TAKEN), 0)
    try:
        asked = session.ask(vault, action, run, by=plan.intent.by, to=plan.site, drill=drill, approved_by=approved)
    except PermissionDeniedError:
        if deed is Deed.RESUMED:
            session.require_approved(vault, plan, journal.state, began)  # says why, where that is why
        raise
    session.emergency = asked.emergency
    if deed is Deed.RESUMED:
        session.require_approved(vault, plan, journal.state, began)
    if deed is Deed.SKIPPED:
        _require_skippable(plan, step, reason)
    with recorded_on(vault, action, objects={"said": deed.value}, names={"run": run, "step": step}):
        journal.append(deed, step=step, text=reason)
    return status_of(run, journal)


def _require_skippable(plan: Plan, step: str, reason: str) -> None:
    one = plan.step(step)
    if not reason.strip() or not reason.isprintable():
        raise UsageError("skipping a step needs a reason: one line of text", hint="--reason TEXT")
    if one.kind in (Kind.FENCE, Kind.VERIFY):
        raise RefusedError(
            f"{step} is not skipped: what is restored before a fence, or promoted unread, may be lost",
            hint="stop the run instead",
        )
