"""The port of work that outlives its process: submitted once by a key, done by whichever worker is alive.

::

    workflows = open_workflows(sites)
    workflows.submit("catalog.update", {}, key="catalog.update/by-hand/7")

What does it is behind `Workflows` (`control/working/`, on DBOS), and is loaded when a queue is first opened. The queue
may be lost: what a run has done is in its journal at the stores (design/010).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["Arguments", "Phase", "Problem", "Schedule", "WorkState", "WorkerState", "Workflows", "open_workflows"]
__all__ += ["HookState", "require_key", "run_key", "submit_run"]

Value: TypeAlias = str | int | float | bool
Arguments: TypeAlias = Mapping[str, Value]

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=/#-]{0,199}")
_AGAIN_MAX: Final = 1000
_LANE_MAX: Final = 200  # names of a large group are longer together than a queue's may be


class Phase(StrEnum):
    """How far a piece of work is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why work failed: a code of docs/errors.md, a sentence, and what to do."""

    code: str
    message: str
    hint: str = ""


class WorkState(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work. Times are nanoseconds since the epoch, UTC; None for what has not happened.

    `attempt`: how many workers have begun it so far. `worker`: the one that has it, or had it last. `outcome`: facts
    of work that is DONE; `error`: of work that FAILED.
    """

    key: str
    kind: str
    state: Phase
    arguments: dict[str, Value] = {}
    by: str = ""
    submitted_ns: int = 0
    not_before_ns: int = 0
    started_ns: int | None = None
    ended_ns: int | None = None
    worker: str = ""
    attempt: int = 0
    outcome: dict[str, Value] = {}
    error: Problem | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Work that comes again. It begins at a moment between `next_from_ns` and `next_until_ns`: they are the same but
    for a surprise, whose moment nobody is told. `last_ns`: when it was last submitted. Seconds since the epoch, UTC,
    are cut into periods of `every_s`.
    """

    name: str
    kind: str
    arguments: dict[str, Value] = {}
    every_s: float
    at_s: float = 0.0
    within_s: float = 0.0
    next_from_ns: int
    next_until_ns: int
    last_ns: int | None = None


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that said it is there. `beat_ns`: when it last did, by its own clock. `running`: keys of its work."""

    name: str
    host: str
    pid: int
    started_ns: int
    beat_ns: int
    slots: int
    leaving: bool = False
    running: tuple[str, ...] = ()


class HookState(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver of holdfast.yaml. Times are ns since the epoch. `waiting`: messages that it did not take yet.

    `since_ns`: what happened before is not told; `delivered_ns`: when it took one last; `failing_since_ns`: since when
    it takes none; each None: not so far. `given_up`: messages that it will not get any more. `problem`: the last one.
    """

    name: str
    waiting: int = 0
    since_ns: int | None = None
    delivered: int = 0
    delivered_ns: int | None = None
    given_up: int = 0
    failing_since_ns: int | None = None
    problem: str = ""


States: TypeAlias = list[WorkState]
Schedules: TypeAlias = list[Schedule]
Workers: TypeAlias = list[WorkerState]
Hooks: TypeAlias = list[HookState]


class Workflows(Protocol):
    """A queue of work. Every method may be called from any thread, and raises errors of `holdfast.errors` alone:
    StoreUnreachableError when the database does not answer, DamageError when it cannot be read.
    """

    @property
    def shown(self) -> str:
        """Where it lies, for people: never with a password."""
        ...

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
        """Have it done once. It is durable when this returns; the same key again is the same work.

        `queue`: of two with the same `queue` of one kind the second waits for the first; empty: as the kind has it
        (one for each drill, run, or chore). Raises UsageError for a kind or arguments that are not known, ConflictError
        for a key that other work has.
        """
        ...

    def look(self, key: str) -> WorkState | None:
        """None for a key that nobody submitted, or whose work was forgotten."""
        ...

    def list(self, kind: str = "", limit: int = 100) -> States:
        """The newest first; of one kind, or all."""
        ...

    def cancel(self, key: str) -> WorkState:
        """Do not begin it; where it runs, end it if its kind can be ended. Raises NotFoundError, and RefusedError for
        what has ended, or is ended in another way (the hint says which).
        """
        ...

    def schedules(self) -> Schedules:
        """What comes again, by the file of declarations as it is now."""
        ...

    def workers(self) -> Workers:
        """Who said that it is there, and has not gone."""
        ...

    def hooks(self, names: Sequence[str]) -> Hooks:
        """How receivers of webhooks of these names are."""
        ...

    def close(self) -> None:
        """Afterwards nothing works any more."""
        ...


def open_workflows(sites: DeclaredSites, url: str = "") -> Workflows:
    """The queue of an organisation, made where there is none.

    `url`: a path, or `postgresql://USER@HOST/NAME` without a password; by default HOLDFAST_WORK_DB, which may also be
    `file:PATH` of a file with the address; else an SQLite file in the state folder. Raises MissingExtraError,
    UsageError, CredentialError, StoreUnreachableError, DamageError, RefusedError (another organisation's).
    """
    from holdfast.control.working.opening import open_queue

    return open_queue(sites, url)


def require_key(key: str) -> None:
    """Raises UsageError."""
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{key[:80]!r} cannot be the key of work", hint="letters, digits and ._:@+=/#-, up to 200 of them"
        )


def run_key(run: str, again: int = 0) -> str:
    """Of the work that begins a run or goes on with it; `again`: after so many that failed."""
    return f"recover.run/{run}" + (f"#{again + 1}" if again else "")


def submit_run(workflows: Workflows, run: str, *, asset: str, target: str = "", by: str = "") -> WorkState:
    """Have a run begun or gone on with whose plan is in its journal at the stores. Runs of one asset (of a group:
    `a+b`) come one after the other. Work that failed or was cancelled is submitted anew under the next key.
    """
    arguments: dict[str, Value] = {"run": run}
    lane = asset if len(asset) <= _LANE_MAX else hashlib.sha256(asset.encode()).hexdigest()
    if target:
        arguments["target"] = target
    for again in range(_AGAIN_MAX):
        key = run_key(run, again)
        known = workflows.look(key)
        if known is None:
            return workflows.submit("recover.run", arguments, key=key, queue=lane, by=by)
        if known.state not in (Phase.FAILED, Phase.CANCELLED):
            return known
    raise UsageError(f"the run {run} was submitted {_AGAIN_MAX} times, and never went through")
