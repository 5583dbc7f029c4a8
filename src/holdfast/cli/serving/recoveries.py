"""Recoveries over a server: planned, approved, started and looked at. A worker runs them (docs/workers.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.facts.recoveries import (
    approved_facts,
    checked_facts,
    planned_facts,
    reviewed_facts,
    run_facts,
    runs_facts,
)
from holdfast.cli.schemas.recoveries import (
    RecoverApproved,
    RecoverChecked,
    RecoverPlanned,
    RecoverReviewed,
    RecoverRun,
    RecoverRuns,
)
from holdfast.cli.serving.words import Line, RunId, Word
from holdfast.clock import from_rfc3339
from holdfast.control.authority.acting import acting_as
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile, decode_plan_file, encode_plan_file
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Operation
from holdfast.control.workflows import WorkState
from holdfast.errors import UsageError
from holdfast.recovery.journal.entries import Deed

__all__ = ["OPERATIONS", "Approve", "PlanRecovery", "Say", "ShowRun", "ShowRuns", "Start"]

_RUN = "3f786850e387550fdab8"


class PlanRecovery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`: of a recovery of holdfast.yaml, or of an asset. `as_of`, `fault_at`, `noticed_at`: RFC 3339. `target`: a
    folder of the machine that restores, below one of `serve: {targets: …}`; a rehearsal (`isolated`) has its own.
    """

    name: Word
    to: Line = ""
    as_of: Line = ""
    graceful: bool = False
    isolated: bool = False
    target: Line = ""
    reason: Line = ""
    fault_at: Line = ""
    noticed_at: Line = ""


class ShowRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run by its id."""

    run: RunId


class ShowRuns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`newest`: how many journals are read."""

    newest: Annotated[int, Meta(ge=1, le=200)] = 20


class Approve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seconds`: how long the approval counts; at most a day. `plan`: the hash that was looked at, if it is to be of
    no other.
    """

    run: RunId
    seconds: Annotated[float, Meta(gt=0, le=86400)] = 3600.0
    plan: Line = ""


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`target`: where to restore to, if the plan does not say it."""

    run: RunId
    target: Line = ""


class Say(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`deed`: paused, resumed, stopped or skipped (then `step`, and a `reason`)."""

    run: RunId
    deed: Annotated[str, Meta(pattern="^(paused|resumed|stopped|skipped)$")]
    step: Line = ""
    reason: Line = ""


def _wanted(given: PlanRecovery) -> Wanted:
    return Wanted(
        given.name,
        given.to,
        _time(given.as_of),
        given.graceful,
        given.isolated,
        given.target,
        given.reason,
        _time(given.fault_at),
        _time(given.noticed_at),
    )


def _time(text: str) -> int | None:
    if not text:
        return None
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text[:40]!r} is no time", hint="for example 2026-11-20T10:00:00Z") from error


def _plan(asking: Asking, given: PlanRecovery) -> RecoverPlanned:
    """What was planned is noted before it is put to the stores: the same request again puts the same plan there."""
    if asking.memo.kept is not None:
        file = decode_plan_file(asking.memo.kept, "the plan that was noted")
    else:
        file = acting.make_plan(asking.service, asking.principal, _wanted(given))
        asking.memo.note(encode_plan_file(file))
    acting.keep_plan(asking.service, asking.principal, file)
    return planned_facts(file, None)


def _check(asking: Asking, given: PlanRecovery) -> RecoverChecked:
    wanted = _wanted(given)
    wanted = wanted._replace(
        target=acting.target_for(asking.service, given.name, given.target, isolated=given.isolated)
    )
    with acting_as(asking.principal):
        return checked_facts(*Recoveries(asking.service.sites()).check(wanted))


def _runs(asking: Asking, given: ShowRuns) -> RecoverRuns:
    with acting_as(asking.principal):
        return runs_facts(Recoveries(asking.service.sites()).runs(given.newest))


def _show(asking: Asking, given: ShowRun) -> RecoverRun:
    return run_facts(acting.status_of_run(asking.service, asking.principal, given.run))


def _file(asking: Asking, given: ShowRun) -> PlanFile:
    with acting_as(asking.principal):
        return Recoveries(asking.service.sites()).file_of(given.run)


def _review(asking: Asking, given: ShowRun) -> RecoverReviewed:
    return reviewed_facts(*acting.review_run(asking.service, asking.principal, given.run))


def _approve(asking: Asking, given: Approve) -> RecoverApproved:
    with acting_as(asking.principal):
        file = Recoveries(asking.service.sites()).file_of(given.run)
    facts = planned_facts(file, None)
    if given.plan and given.plan != facts.plan:
        raise UsageError(f"the run {given.run} is of another plan ({facts.plan[:12]})")
    return approved_facts(file, acting.approve_run(asking.service, asking.principal, given.run, given.seconds))


def _start(asking: Asking, given: Start) -> WorkState:
    return acting.start_run(asking.service, asking.principal, given.run, given.target)


def _say(asking: Asking, given: Say) -> RecoverRun:
    deed = Deed(given.deed)
    said = acting.say_to_run(asking.service, asking.principal, given.run, deed, step=given.step, reason=given.reason)
    return run_facts(said)


def _version(record: RecoverRun) -> str:
    """A run's journal only grows: its length says which one was seen."""
    return f"{record.run}/{record.entries}"


OPERATIONS = (
    Operation(
        "recover.plan",
        "POST",
        "/plans",
        "recover.plan",
        PlanRecovery,
        RecoverPlanned,
        _plan,
        "Plan a recovery. The plan is put to the stores, where others see and approve it; nothing else is changed.",
        on="plan",
        tag="recoveries",
        status=201,
        example={"name": "llama-elsewhere", "reason": "us-east does not answer"},
    ),
    Operation(
        "recover.check",
        "POST",
        "/checks",
        "recover.review",
        PlanRecovery,
        RecoverChecked,
        _check,
        "Plan, review, and ask each step whether it could be done now. Nothing is changed.",
        on="plan",
        tag="recoveries",
        example={"name": "llama-elsewhere"},
    ),
    Operation(
        "recover.runs",
        "GET",
        "/runs",
        "recover.list",
        ShowRuns,
        RecoverRuns,
        _runs,
        "The runs whose journals were written to last, the newest first.",
        tag="recoveries",
        pages="runs",
        keeps=2,
    ),
    Operation(
        "recover.run",
        "GET",
        "/runs/{run:str}",
        "recover.review",
        ShowRun,
        RecoverRun,
        _show,
        "A run: how far each step is, who approved it, what is left.",
        on="plan",
        tag="recoveries",
        version=_version,
        keeps=1,
    ),
    Operation(
        "recover.file",
        "GET",
        "/runs/{run:str}/plan",
        "recover.review",
        ShowRun,
        PlanFile,
        _file,
        "The plan of a run, as the file that `holdfast recover plan --out` writes.",
        on="plan",
        tag="recoveries",
    ),
    Operation(
        "recover.review",
        "GET",
        "/runs/{run:str}/review",
        "recover.review",
        ShowRun,
        RecoverReviewed,
        _review,
        "Whether it may be run now: all that the plan relies on is looked at once more, and its approvals.",
        on="plan",
        tag="recoveries",
    ),
    Operation(
        "recover.approve",
        "POST",
        "/runs/{run:str}/approvals",
        "approve",
        Approve,
        RecoverApproved,
        _approve,
        "Approve the plan of a run that somebody else asked for. It is bound to the plan's hash.",
        on="plan",
        tag="recoveries",
        status=201,
        guards="recover.run",
        example={"seconds": 3600, "plan": ""},
    ),
    Operation(
        "recover.start",
        "POST",
        "/runs/{run:str}/start",
        "recover.run",
        Start,
        WorkState,
        _start,
        "Have a worker begin the run, or go on with it. It is reviewed first, and again by the worker.",
        on="plan",
        tag="recoveries",
        status=202,
        guards="recover.run",
        example={},
    ),
    Operation(
        "recover.say",
        "POST",
        "/runs/{run:str}/said",
        "recover.plan",
        Say,
        RecoverRun,
        _say,
        "Tell a run to pause, to go on, to stop and take everything back, or to skip a step.",
        on="plan",
        tag="recoveries",
        guards="recover.run",
        example={"deed": "paused", "reason": "the line is down"},
    ),
)
