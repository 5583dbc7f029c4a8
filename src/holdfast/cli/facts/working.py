"""Facts about the queue of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.working import (
    ScheduleFacts,
    WebhookFacts,
    WorkerCancelled,
    WorkerEvent,
    WorkerFactsOfQueue,
    WorkerList,
    WorkerStatus,
    WorkFacts,
    WorkProblem,
)
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.workflows import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.control.workflows import Workflows, WorkState
    from holdfast.control.working.happenings import Happened

__all__ = ["cancelled_facts", "event_facts", "list_facts", "status_facts"]


def event_facts(one: Happened) -> WorkerEvent:
    """A line of a worker."""
    return WorkerEvent(
        at=to_rfc3339(one.at_ns),
        what=one.what,
        worker=one.worker,
        work=clean(one.work),
        kind=one.kind,
        run=clean(one.run),
        text=clean(one.text),
    )


def status_facts(
    workflows: Workflows, open_work: Sequence[WorkState], hooks: Sequence[str], now_ns: int
) -> WorkerStatus:
    """Who works, what waits, what comes. `hooks`: names of receivers of webhooks."""
    return WorkerStatus(
        queue=clean(workflows.shown),
        at=to_rfc3339(now_ns),
        queued=sum(one.state is Phase.QUEUED for one in open_work),
        running=sum(one.state is Phase.RUNNING for one in open_work),
        workers=[
            WorkerFactsOfQueue(
                name=clean(one.name),
                host=clean(one.host),
                pid=one.pid,
                started=to_rfc3339(one.started_ns),
                silent=max(0.0, round((now_ns - one.beat_ns) / NANOSECONDS, 3)),
                slots=one.slots,
                leaving=one.leaving,
                running=[clean(key) for key in one.running],
            )
            for one in workflows.workers()
        ],
        schedules=[
            ScheduleFacts(
                name=clean(one.name),
                kind=one.kind,
                every=one.every_s,
                next_from=to_rfc3339(one.next_from_ns),
                next_until=to_rfc3339(one.next_until_ns),
                last=_time(one.last_ns),
            )
            for one in workflows.schedules()
        ],
        webhooks=[
            WebhookFacts(
                name=clean(one.name),
                waiting=one.waiting,
                told_since=_time(one.since_ns),
                taken=one.delivered,
                taken_at=_time(one.delivered_ns),
                given_up=one.given_up,
                failing_since=_time(one.failing_since_ns),
                problem=clean(one.problem),
            )
            for one in (workflows.hooks(hooks) if hooks else [])
        ],
    )


def list_facts(queue: str, found: Sequence[WorkState]) -> WorkerList:
    """What was submitted."""
    return WorkerList(queue=clean(queue), work=[_work(one) for one in found])


def cancelled_facts(queue: str, one: WorkState) -> WorkerCancelled:
    """What became of it."""
    return WorkerCancelled(queue=clean(queue), work=_work(one))


def _work(one: WorkState) -> WorkFacts:
    error = one.error
    return WorkFacts(
        key=clean(one.key),
        kind=clean(one.kind),
        state=one.state.value,
        arguments={clean(name): _value(value) for name, value in one.arguments.items()},
        by=clean(one.by),
        submitted=to_rfc3339(one.submitted_ns),
        not_before=_time(one.not_before_ns or None),
        started=_time(one.started_ns),
        ended=_time(one.ended_ns),
        worker=clean(one.worker),
        attempt=one.attempt,
        outcome={clean(name): _value(value) for name, value in one.outcome.items()},
        error=None
        if error is None
        else WorkProblem(code=clean(error.code), message=clean(error.message), hint=clean(error.hint)),
    )


def _value(value: str | int | float | bool) -> str | int | float | bool:
    return clean(value) if isinstance(value, str) else value


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)
