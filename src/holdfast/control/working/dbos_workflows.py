"""The port of `holdfast.control.workflows` on DBOS: submitted, looked at and cancelled in its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from holdfast.clock import NANOSECONDS
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import (
    Arguments,
    Hooks,
    Phase,
    Problem,
    Schedules,
    States,
    Workers,
    WorkState,
    require_key,
)
from holdfast.control.working.database import WorkDatabase
from holdfast.control.working.engine import open_client, queue_name
from holdfast.control.working.kinds import kind_called
from holdfast.control.working.sayings import read_arguments, read_said
from holdfast.control.working.tables import prepare_tables
from holdfast.errors import ConflictError, FailedError, HoldfastError, NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from dbos import EnqueueOptions, WorkflowStatus

__all__ = ["DbosWorkflows"]

_MS: Final = 1_000_000
_LIST_MAX: Final = 10_000
_BY_MAX: Final = 200
_PHASES: Final = {
    "ENQUEUED": Phase.QUEUED,
    "DELAYED": Phase.QUEUED,
    "PENDING": Phase.RUNNING,
    "SUCCESS": Phase.DONE,
    "CANCELLED": Phase.CANCELLED,
}
_OPEN: Final = (Phase.QUEUED, Phase.RUNNING)
T = TypeVar("T")


class DbosWorkflows:
    """`holdfast.control.workflows.Workflows`. Opening it makes the tables."""

    def __init__(self, database: WorkDatabase, sites: DeclaredSites) -> None:
        """Raises as `open_workflows` does."""
        self.database = database
        self._sites = sites
        prepare_tables(database, sites.config.organisation)
        self._client = self._said(lambda: open_client(database))

    @property
    def shown(self) -> str:
        return self.database.shown

    def submit(
        self,
        kind: str,
        arguments: Arguments,
        *,
        key: str,
        queue: str = "",
        by: str = "",
        not_before_ns: int = 0,
    ) -> WorkState:
        require_key(key)
        known, given = kind_called(kind), kind_called(kind).require(arguments)
        if len(queue) > _BY_MAX or len(by) > _BY_MAX or not (queue + by).isprintable():
            raise UsageError("`queue` and `by` are lines of text of at most 200 characters")
        before = self.look(key)
        if before is None:
            options: EnqueueOptions = {
                "workflow_name": kind,
                "queue_name": queue_name(known.queue),
                "workflow_id": key,
                "queue_partition_key": known.lane_of(given, queue),
            }
            if by:
                options["authenticated_user"] = by
            delay = (not_before_ns - self._sites.clock.now_ns()) / NANOSECONDS if not_before_ns else 0.0
            if delay > 0:
                options["delay_seconds"] = delay
            self._said(lambda: self._client.enqueue(options, given))
            before = self.look(key)
            if before is None:
                raise FailedError(f"the work {key} was taken away at once")
        if before.kind != kind or before.arguments != given:
            raise ConflictError(
                f"the key {key} is of other work: {before.kind}", hint="another key for other work", object_name=key
            )
        return before

    def look(self, key: str) -> WorkState | None:
        require_key(key)
        found = self._said(lambda: self._client.list_workflows(workflow_ids=[key]))
        return _state_of(found[0]) if found else None

    def list(self, kind: str = "", limit: int = 100) -> States:
        if kind:
            kind_called(kind)
        if not 0 < limit <= _LIST_MAX:
            raise UsageError(f"1 to {_LIST_MAX} pieces of work are listed")
        found = self._said(lambda: self._client.list_workflows(name=kind or None, limit=limit, sort_desc=True))
        return [_state_of(one) for one in found]

    def open_work(self, states: tuple[str, ...] = ("ENQUEUED", "DELAYED", "PENDING")) -> States:
        """What is not at its end."""
        found = self._said(lambda: self._client.list_workflows(status=list(states), limit=_LIST_MAX))
        return [_state_of(one) for one in found]

    def cancel(self, key: str) -> WorkState:
        before = self.look(key)
        if before is None:
            raise NotFoundError(f"there is no work {key}", object_name=key)
        if before.state is Phase.CANCELLED:
            return before
        if before.state not in _OPEN:
            raise RefusedError(f"the work {key} has ended: {before.state}", object_name=key)
        if before.state is Phase.RUNNING:
            ending = kind_called(before.kind).ending
            if ending:
                raise RefusedError(f"the work {key} is being done by {before.worker}", hint=ending, object_name=key)
        self._said(lambda: self._client.cancel_workflow(key))
        after = self.look(key)
        if after is None:
            raise NotFoundError(f"there is no work {key}", object_name=key)
        return after

    def drop(self, key: str) -> None:
        """Cancel it, whatever it is."""
        self._said(lambda: self._client.cancel_workflow(key))

    def forget(self, before_ns: int) -> int:
        """Take away what ended before that time. How many there were."""
        from datetime import UTC, datetime

        until = datetime.fromtimestamp(before_ns / NANOSECONDS, UTC).isoformat()
        ended = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
        with self._speaking():
            found = self._client.list_workflows(
                status=ended, completed_before=until, limit=_LIST_MAX, load_input=False, load_output=False
            )
            if found:
                self._client.delete_workflows([one.workflow_id for one in found])
        return len(found)

    def hand_on(self, gone: Sequence[str]) -> Sequence[str]:
        """Put back into their queues what workers had that are gone. Keys."""
        from holdfast.control.working.hosting import hand_on

        return self._said(lambda: hand_on(self._client, gone))

    def schedules(self) -> Schedules:
        from holdfast.control.working.schedules import known_schedules

        return known_schedules(self.database, self._sites)

    def workers(self) -> Workers:
        from holdfast.control.working.beats import known_workers

        running: dict[str, list[str]] = {}
        for one in self.open_work(("PENDING",)):
            running.setdefault(one.worker, []).append(one.key)
        return known_workers(self.database, running)

    def hooks(self, names: Sequence[str]) -> Hooks:
        from holdfast.control.hooks.states import KIND, known_hooks

        kind = kind_called(KIND)
        lanes = {kind.lane_of({kind.lane: name}, ""): name for name in names}
        waiting = self._said(lambda: self._count_open(kind.queue))
        return known_hooks(self.database, names, {lanes[one]: n for one, n in waiting.items() if one in lanes})

    def _count_open(self, queue: str) -> dict[str, int]:
        """Lane → how many wait or are being done: thousands may, and health asks for it."""
        from sqlalchemy import func, select

        database = self._client._sys_db  # its engine knows which schema its tables are in
        at = database.tables.workflow_status.c
        mine = (at.queue_name == queue_name(queue)) & at.status.in_(("ENQUEUED", "DELAYED", "PENDING"))
        with database.engine.begin() as connection:
            query = select(at.queue_partition_key, func.count()).where(mine).group_by(at.queue_partition_key)
            return {str(lane): int(count) for lane, count in connection.execute(query)}

    def close(self) -> None:
        self._client.destroy()
        self.database.close()

    def _said(self, ask: Callable[[], T]) -> T:
        with self._speaking():
            return ask()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Errors of DBOS, too, come out as ours."""
        try:
            with self.database.speaking():
                yield
        except HoldfastError:
            raise
        except Exception as error:  # DBOS has errors of many kinds, and lets those of its libraries through
            raise FailedError(
                f"the queue of work at {self.shown} failed: {type(error).__name__}: {str(error)[:300]}",
                object_name=self.shown,
            ) from error


def _state_of(one: WorkflowStatus) -> WorkState:
    phase = _PHASES.get(str(one.status), Phase.FAILED)
    error: Problem | None = None
    outcome = {}
    if phase is Phase.DONE:
        said = read_said(one.output)
        error, outcome = said.error, said.facts
        phase = Phase.FAILED if error is not None else phase
    elif phase is Phase.FAILED:
        error = _problem_of(one)
    return WorkState(
        key=one.workflow_id,
        kind=str(one.name or ""),
        state=phase,
        arguments=read_arguments(one.input),
        by=one.authenticated_user or "",
        submitted_ns=(one.created_at or 0) * _MS,
        not_before_ns=(one.delay_until_epoch_ms or 0) * _MS,
        started_ns=None if one.dequeued_at is None else one.dequeued_at * _MS,
        ended_ns=None if one.completed_at is None else one.completed_at * _MS,
        worker=one.executor_id or "",
        attempt=one.recovery_attempts or 0,
        outcome=outcome,
        error=error,
    )


def _problem_of(one: WorkflowStatus) -> Problem:
    if one.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return Problem(
            code="failed",
            message=f"{one.recovery_attempts} workers died while they did it: it is not begun again",
            hint="look at why they died, then submit it under another key",
        )
    if one.status == "ERROR":
        return Problem(code="unexpected", message=str(one.error)[:2000])
    return Problem(code="damage", message=f"the queue holds a state that cannot be: {str(one.status)[:40]!r}")
