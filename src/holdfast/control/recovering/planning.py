"""`recover plan`, `review` and `check`: what is probed becomes a plan; nothing is changed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.recovering.asking import speaker
from holdfast.control.recovering.intending import Wanted, intent_of, runbook_of
from holdfast.control.recovering.journals import choose_journal
from holdfast.control.recovering.plan_files import PlanFile, plan_file
from holdfast.control.recovering.runs import lost_homes, without_approvals
from holdfast.control.recovering.session import Session
from holdfast.errors import NotFoundError
from holdfast.recovery.estimates import Estimate, Source
from holdfast.recovery.facts import Facts
from holdfast.recovery.intents import Intent
from holdfast.recovery.journal.journal import new_plane
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.planning.graph import writers_of
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.runbooks.inserting import insert_runbook

__all__ = ["check_recovery", "make_plan", "review_file"]


def make_plan(session: Session, wanted: Wanted) -> PlanFile:
    """Raises what planning raises (RefusedError with the reason of each site), and opening."""
    sites = session.sites
    intent, assets = intent_of(sites, wanted)
    vault = session.vault_with(assets)
    label = speaker(vault)
    session.ask(vault, "recover.plan", wanted.name, by=label, to=intent.to[0], drill=intent.isolated)
    intent = msgspec.structs.replace(intent, by=label)
    prober = session.prober(vault, assets, intent.to)
    lost = lost_homes(intent, assets)
    facts = _with_times(prober.facts(lost), intent)
    plan = plan_recovery(intent, facts)
    runbook = runbook_of(sites, wanted.name)
    if runbook is not None:
        home = next((one.home for one in facts.assets if one.home), "")
        fenced = {} if intent.isolated else writers_of(list(facts.assets))
        plan = insert_runbook(plan, runbook[0], runbook[1], fenced=fenced, home=home)
    journal = choose_journal(prober.answering_stores(facts), lost)
    return plan_file(plan, journal, wanted.target)


def _with_times(facts: Facts, intent: Intent) -> Facts:
    """What this fault took until it was noticed is known, where both times are: it is not estimated from others."""
    if intent.detecting is None:
        return facts
    noticed = Estimate(seconds=intent.detecting, source=Source.MEASURED, why="this fault, as it was noticed")
    waited = max(0.0, (facts.at - (intent.noticed_at or facts.at)) / NANOSECONDS)
    deciding = facts.deciding
    if deciding.known:
        # Past decisions count from when their fault was noticed: what has passed since then is not to be hoped for.
        deciding = msgspec.structs.replace(deciding, seconds=max(waited, deciding.seconds))
    return msgspec.structs.replace(facts, detecting=noticed, deciding=deciding)


def review_file(session: Session, file: PlanFile) -> Review:
    """By what the stores say now, and by the approvals that were given."""
    vault, intent = session.vault_of(file.plan), file.plan.intent
    session.ask(vault, "recover.review", file.run, by=intent.by, to=file.plan.site, drill=intent.isolated)
    try:
        state = session.journal(vault, file, "").read()
    except NotFoundError:
        state = RunState()
    me = speaker(vault)
    if state.plan and session.persons.are_one(me, intent.by):
        state = msgspec.structs.replace(state, asked_by=(*state.asked_by, me))  # running it, they sign that they asked
    return session.reviewed(vault, file.plan, state)


def check_recovery(session: Session, wanted: Wanted) -> tuple[PlanFile, Review, dict[str, str]]:
    """Plan, review, and ask every step whether it could be done now."""
    from holdfast.control.recovering.running import Running

    file = make_plan(session, wanted)
    vault = session.vault_of(file.plan)
    review = without_approvals(session.reviewed(vault, file.plan, RunState()))
    where = Path(file.target or str(Path.cwd() / f"recover-check-{file.run}")).absolute()
    journal = session.journal(vault, file, new_plane())
    executor = Running(session).executor(vault, journal, file.plan, where, lambda plan, progress: None)
    return file, review, executor.check(file.plan)
