"""The queue of work over a server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.facts.working import cancelled_facts, list_facts, status_facts
from holdfast.cli.schemas.working import WorkerCancelled, WorkerList, WorkerStatus
from holdfast.cli.serving.words import Line
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Nothing, Operation
from holdfast.control.workflows import Phase

__all__ = ["OPERATIONS", "CancelWork", "ListWork"]

_LISTED = 1000


class ListWork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`kind`: only this one. `newest`: so many."""

    kind: Line = ""
    newest: Annotated[int, Meta(ge=1, le=10_000)] = 100


class CancelWork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work by its key."""

    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+=/#-]{0,199}$")]


def _list(asking: Asking, given: ListWork) -> WorkerList:
    queue = acting.workflows_of(asking.service)
    return list_facts(queue.shown, queue.list(given.kind, given.newest))


def _status(asking: Asking, given: Nothing) -> WorkerStatus:
    queue = acting.workflows_of(asking.service)
    open_work = [one for one in queue.list("", _LISTED) if one.state in (Phase.QUEUED, Phase.RUNNING)]
    return status_facts(queue, open_work, list(asking.service.loaded.config.webhooks), asking.service.clock.now_ns())


def _cancel(asking: Asking, given: CancelWork) -> WorkerCancelled:
    shown = acting.workflows_of(asking.service).shown
    return cancelled_facts(shown, acting.cancel_work(asking.service, asking.principal, given.key))


OPERATIONS = (
    Operation(
        "worker.list", "GET", "/work", "work.show", ListWork, WorkerList, _list,
        "What was submitted, the newest first, and what came of it.", tag="work", pages="work", keeps=2,
    ),
    Operation(
        "worker.status", "GET", "/work/status", "work.show", Nothing, WorkerStatus, _status,
        "Who works, how much waits, and what comes again when.", tag="work", keeps=1,
    ),
    Operation(
        "worker.cancel", "POST", "/work/cancellations", "work.change", CancelWork, WorkerCancelled, _cancel,
        "Do not begin a piece of work; of a chore that runs: end it at its next step.", tag="work",
        example={"key": "catalog.update/1"},
    ),
)  # fmt: skip
