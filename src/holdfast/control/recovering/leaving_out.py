"""A store of a run's journal that is gone for good: another keeper agrees, and the others decide from then on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.recovering.asking import speaker
from holdfast.control.recovering.journals import journal_at, placed_at, require_own_plan
from holdfast.control.recovering.plan_files import is_run_id
from holdfast.control.recovering.saying import require_approval_time
from holdfast.control.recovering.seals import VaultSeal
from holdfast.control.recovering.session import Session
from holdfast.control.recovering.trying import each_at_once
from holdfast.errors import (
    ConflictError,
    DamageError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    RefusedError,
    UsageError,
)
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import RUNS, Journal
from holdfast.recovery.journal.leaving import (
    LeavingOut,
    approval_facts,
    approval_name,
    approval_of,
    decode_leaving_out,
    encode_leaving_out,
)
from holdfast.recovery.reviewing.approvals import whose
from holdfast.recovery.reviewing.persons import signing_label
from holdfast.recovery.running.executor import plan_of
from holdfast.vault.format.series import create_once
from holdfast.vault.vault import Vault

__all__ = ["approve_leaving_out", "leave_out"]

_APPROVALS_MAX: Final = 100


def approve_leaving_out(session: Session, run: str, site: str, seconds: float) -> LeavingOut:
    """Agree, for so long, that the site's store of this journal is gone for good, as the journal stands now.

    Raises RefusedError where it answers, or the others do not agree without it; NotFoundError, UsageError.
    """
    require_approval_time(seconds)
    vault = session.any_vault()
    vault.handle.keys.require_keeper("writing the journal of a recovery")
    journal, store = _left(session, vault, run, site)
    plan = plan_of(journal.state)
    session.ask(vault, "approve", run, by=plan.intent.by, to=plan.site, drill=plan.intent.isolated)
    number, before = journal.head
    by, now = speaker(vault), session.clock.now_ns()
    approval = LeavingOut(
        run=run, number=number, before=before, store=store, by=by, at=now, until=now + int(seconds * NANOSECONDS)
    )
    name = approval_name(run, number, store, by)
    with recorded_on(vault, "approve", objects={"without": store}, names={"run": run}):
        sealed = VaultSeal(vault.handle.keys).seal(name, encode_leaving_out(approval))
        for kept in journal.names:
            create_once(session.sites.store(kept).store, f"{name}/{now:020d}", sealed)
    return approval


def leave_out(session: Session, vault: Vault, run: str, site: str) -> Journal:
    """The journal, from now on without the site's store; nothing is written where it was left out before.

    Raises RefusedError without the approval of another keeper for the journal as it stands now, and as above.
    """
    vault.handle.keys.require_keeper("writing the journal of a recovery")
    done = _left_before(session, vault, run, site)
    if done is not None:
        return done
    journal, store = _left(session, vault, run, site)
    plan = plan_of(journal.state)
    by, now = speaker(vault), session.clock.now_ns()
    found = [(one, sealed) for one, sealed in _approvals(session, vault, journal, store) if one.at <= now < one.until]
    others = [
        (one, sealed)
        for one, sealed in found
        if session.persons.are_two(one.by, by) and signing_label(one.by) != signing_label(by)
    ]
    if not others:
        unsure = [one.by for one, _ in found if not session.persons.are_one(one.by, by)]
        mine = (
            f" (nothing says that {unsure[0]} is not {by})" if unsure else " (your own does not count)" if found else ""
        )
        helps = f"; or {whose([by, *unsure], session.persons)}" if unsure else ""
        raise RefusedError(
            f"nobody else has approved that {run} goes on without {store}{mine}",
            hint=f"another keeper: `holdfast recover approve {run} --without {site} --for 1h`{helps}",
            object_name=run,
        )
    session.ask(
        vault,
        "drill.run" if plan.intent.isolated else "recover.adopt",
        run,
        by=plan.intent.by,
        to=plan.site,
        drill=plan.intent.isolated,
        approved_by={one.by for one, _ in others} | session.approvers(vault, plan, journal.state),
    )
    with recorded_on(vault, "recover.adopt", objects={"without": store}, names={"run": run}):
        approval, sealed = others[0]
        facts = approval_facts(sealed, approval.by)
        # What is written after the approval has ended counts for nothing, and would stand at the stores that are left.
        entry = journal.append(Deed.WITHOUT, text=store, facts=facts, before_ns=approval.until)
    if approval_of(entry, [*journal.names, store], VaultSeal(vault.handle.keys)) is None:
        raise ConflictError(f"the journal of {run} went on meanwhile, without what was approved", hint="look again")
    return journal


def _left_before(session: Session, vault: Vault, run: str, site: str) -> Journal | None:
    placed, _ = placed_at(session.sites, vault.handle.keys, run)
    for stores in placed:
        journal = journal_at(session.sites, vault.handle.keys, run, stores, speaker(vault), session.clock)
        try:
            journal.read()
        except HoldfastError:
            continue
        if any(name not in journal.names for name in stores if name.partition("/")[0] == site):
            require_own_plan(run, journal.entries, plan_of(journal.state))
            return journal
    return None


def _left(session: Session, vault: Vault, run: str, site: str) -> tuple[Journal, str]:
    """The journal at its other stores alone, read; and the store that is to be left out."""
    sites, keys = session.sites, vault.handle.keys
    if not is_run_id(run):
        raise UsageError(f"{run!r} is no id of a run", hint="20 hex digits, as `recover run` and `recover status` say")
    sites.require_site(site)
    placed, _ = placed_at(sites, keys, run)
    if not placed:
        raise NotFoundError(f"no store that answers has a run {run}", object_name=run)
    whole = journal_at(sites, keys, run, placed[0], speaker(vault), session.clock)
    with suppress(HoldfastError):  # it is what this is about
        whole.read()  # what was left out before
    lost = next((name for name in whole.names if name.partition("/")[0] == site), "")
    if not lost or len(whole.names) < 2:
        lies = ", ".join(whole.names)
        raise RefusedError(
            f"the journal of {run} does not need {site}: it lies at {lies}"
            if not lost
            else f"the journal of {run} lies at {lies} alone: nothing of it would be left",
            hint="plan again" if lost else f"`holdfast recover adopt {run}`",
        )
    _require_silent(session, lost, run)
    journal = whole.left_with(lost)
    try:
        state = journal.read()
    except (ConflictError, DamageError) as error:
        raise RefusedError(
            f"the other stores do not agree on the journal of {run} without {lost}: {error.message}",
            hint=f"what counts is known at {lost} alone; if it is gone, plan a new recovery",
            object_name=run,
        ) from error
    require_own_plan(run, journal.entries, plan_of(state))
    return journal, lost


def _require_silent(session: Session, store: str, run: str) -> None:
    """Raises RefusedError where it still has the journal: what is not lost is not left out."""

    def asked(name: str) -> bool:
        with suppress(ObjectNotFoundError):
            return bool(session.sites.store(name).store.get(f"{RUNS}{run}/{0:010d}"))
        return False

    answers, _ = each_at_once({store: store}, asked)
    if answers.get(store):
        raise RefusedError(
            f"{store} answers: it is not gone, and needs not be left out",
            hint=f"`holdfast recover adopt {run}`; what it lacks of the journal is brought to it",
            object_name=store,
        )


def _approvals(session: Session, vault: Vault, journal: Journal, store: str) -> Iterator[tuple[LeavingOut, bytes]]:
    """Those of the journal as it stands; what is none, or of another moment, counts for nothing."""
    number, before = journal.head
    folder = approval_name(journal.run, number, store, "")
    seal, seen = VaultSeal(vault.handle.keys), set[str]()
    for kept in journal.names:
        opened = session.sites.store(kept).store
        for info in list(opened.list(folder))[:_APPROVALS_MAX]:
            if info.key in seen:
                continue
            seen.add(info.key)
            name = info.key.rpartition("/")[0]
            try:
                sealed = opened.get(info.key)
                approval = decode_leaving_out(name, seal.open(name, sealed))
            except HoldfastError as error:
                session.sites.progress.note(f"{info.key} approves nothing: {error.message}")
                continue
            bound = (approval.run, approval.number, approval.before, approval.store)
            if bound == (journal.run, number, before, store) and approval_name(*_named(approval)) == name:
                yield approval, sealed


def _named(approval: LeavingOut) -> tuple[str, int, str, str]:
    return approval.run, approval.number, approval.store, approval.by
