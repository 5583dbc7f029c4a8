"""The output of `holdfast worker`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record, Seconds, Time

__all__ = [
    "ScheduleFacts",
    "WebhookFacts",
    "WorkFacts",
    "WorkProblem",
    "WorkerCancelled",
    "WorkerEvent",
    "WorkerFactsOfQueue",
]
__all__ += ["WorkerList", "WorkerStatus"]


class WorkerEvent(Record, frozen=True, kw_only=True, tag="holdfast/worker-run/1"):
    """A line of `worker run`. `what`: `started`, `stopped` (the worker); `taken`, `done`, `failed`, `again` (another
    attempt comes), `cancelled`, `handed-over`, `took-over`, `due` (by a schedule); `waiting`, `answering` (the
    database); `note`. Empty: not about any `work`, or `run`.
    """

    at: Time
    what: str
    worker: str
    work: str
    kind: str
    run: str
    text: str


class WorkProblem(msgspec.Struct, frozen=True, kw_only=True):
    """As errors of commands: see docs/errors.md. `unexpected`: none of these."""

    code: str
    message: str
    hint: str


class WorkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work. `attempt`: how many workers began it. `outcome`: of one that is DONE; `error`: of one that
    FAILED.
    """

    key: str
    kind: str
    state: str
    arguments: dict[str, str | int | float | bool]
    by: str
    submitted: Time
    not_before: Time | None
    started: Time | None
    ended: Time | None
    worker: str
    attempt: int
    outcome: dict[str, str | int | float | bool]
    error: WorkProblem | None


class WorkerFactsOfQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A worker. `silent`: seconds since it last said that it is there, by the clocks of both machines."""

    name: str
    host: str
    pid: int
    started: Time
    silent: Seconds
    slots: int
    leaving: bool
    running: list[str]


class ScheduleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Work that comes again: at a moment between `next_from` and `next_until`, which are the same but for surprises."""

    name: str
    kind: str
    every: Seconds
    next_from: Time
    next_until: Time
    last: Time | None


class WebhookFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver of webhooks. `waiting`: messages that it did not take yet; `given_up`: that it will not get any more.
    `told_since`: what happened before is not told; `failing_since`: since when it takes nothing; `problem`: the last.
    """

    name: str
    waiting: int
    told_since: Time | None
    taken: int
    taken_at: Time | None
    given_up: int
    failing_since: Time | None
    problem: str


class WorkerStatus(Record, frozen=True, kw_only=True, tag="holdfast/worker-status/1"):
    """`worker status`. `queued`, `running`: how many pieces of work."""

    queue: str
    at: Time
    queued: int
    running: int
    workers: list[WorkerFactsOfQueue]
    schedules: list[ScheduleFacts]
    webhooks: list[WebhookFacts]


class WorkerList(Record, frozen=True, kw_only=True, tag="holdfast/worker-list/1"):
    """`worker list`: the newest first."""

    queue: str
    work: list[WorkFacts]


class WorkerCancelled(Record, frozen=True, kw_only=True, tag="holdfast/worker-cancel/1"):
    """`worker cancel`."""

    queue: str
    work: WorkFacts
