"""What `train-exec` tells while it runs: with `--json` these are its lines. The command's arguments are never in them:
they may hold secrets.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from holdfast.training.executing.asks import Checkpoint, Copy

__all__ = [
    "Noted",
    "PassedOver",
    "MovedAside",
    "Resuming",
    "Started",
    "Saving",
    "Saved",
    "NotSaved",
    "Signalled",
    "Estimated",
    "Silent",
    "Ended",
    "Restarting",
    "Requeued",
    "GaveUp",
    "Planned",
    "Finished",
    "ExecEvent",
    "Tell",
]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """`time`: RFC 3339, filled in by who writes it."""

    time: str = ""


class Noted(_Event, frozen=True, kw_only=True, tag="note"):
    """One sentence; `warning`: a person should not miss it."""

    message: str
    warning: bool = False


class PassedOver(_Event, frozen=True, kw_only=True, tag="passed-over"):
    """A snapshot that is not gone on from, and why."""

    checkpoint: Checkpoint
    reason: str


class MovedAside(_Event, frozen=True, kw_only=True, tag="moved-aside"):
    """The framework would have picked it up: it lies at `to` now, as it was."""

    place: str
    to: str
    reason: str


class Resuming(_Event, frozen=True, kw_only=True, tag="resuming"):
    """From where the command goes on; null: from nothing. `restored`: it was fetched from the vault in `seconds`."""

    checkpoint: Checkpoint | None
    restored: bool
    reason: str
    stuck: int
    seconds: float


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """The command runs. `restart`: 0 the first time."""

    pid: int
    restart: int


class Saving(_Event, frozen=True, kw_only=True, tag="saving"):
    """A checkpoint is complete and being saved; `urgent`: at normal priority, since time is short."""

    checkpoint: Checkpoint
    urgent: bool


class Saved(_Event, frozen=True, kw_only=True, tag="saved"):
    """It is durable as `snapshot`."""

    checkpoint: Checkpoint
    snapshot: str
    stored_bytes: int
    verdict: str
    findings: list[str]
    validated: bool
    copies: list[Copy]
    seconds: float


class NotSaved(_Event, frozen=True, kw_only=True, tag="not-saved"):
    """It is not. `retry_seconds` null: it will not be tried again."""

    checkpoint: Checkpoint
    message: str
    retry_seconds: float | None


class Signalled(_Event, frozen=True, kw_only=True, tag="signal"):
    """A signal came; `action` says what is done about it."""

    signal: str
    action: str


class Estimated(_Event, frozen=True, kw_only=True, tag="estimate"):
    """What can be saved in the time that is left, by measured speed (null: nothing was measured). `checkpoint`: the
    newest that is not saved, null when all are. `starts`: its save is begun now, else `reason` says why not.
    """

    checkpoint: Checkpoint | None
    seconds_left: float
    seconds_needed: float | None
    bytes_possible: int | None
    starts: bool
    reason: str


class Silent(_Event, frozen=True, kw_only=True, tag="silent"):
    """Nothing was written for so long, or the command was stopped (`kind`: HANG or SIGSTOP)."""

    kind: str
    seconds: float
    action: str


class Ended(_Event, frozen=True, kw_only=True, tag="ended"):
    """How the command ended: `kind` in the failure vocabulary, `code` as a shell would give it."""

    kind: str
    code: int
    words: str
    seconds: float


class Restarting(_Event, frozen=True, kw_only=True, tag="restarting"):
    """It is started again here."""

    restart: int
    delay_seconds: float
    reason: str


class Requeued(_Event, frozen=True, kw_only=True, tag="requeued"):
    """The scheduler starts it again. `job` empty: by this program's exit code."""

    job: str
    code: int
    reason: str


class GaveUp(_Event, frozen=True, kw_only=True, tag="gave-up"):
    """Starting again leads nowhere. `evidence`: a file with the attempts."""

    reason: str
    evidence: str


class Planned(_Event, frozen=True, kw_only=True, tag="plan"):
    """Of a dry run: a topic (`restore`, `watch`, `save`, `signals`, `requeue`) and what would be done."""

    topic: str
    text: str


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    """The last line. `unsaved`: complete checkpoints that the vault lacks; `durable_step`: the last saved one."""

    code: int
    kind: str
    restarts: int
    saved: int
    unsaved: list[str]
    durable_step: int | None
    seconds: float


ExecEvent = (
    Noted
    | PassedOver
    | MovedAside
    | Resuming
    | Started
    | Saving
    | Saved
    | NotSaved
    | Signalled
    | Estimated
    | Silent
    | Ended
    | Restarting
    | Requeued
    | GaveUp
    | Planned
    | Finished
)


class Tell(Protocol):
    """Receives events, from several threads; quick, and raises nothing."""

    def __call__(self, event: ExecEvent) -> None: ...
