"""What the supervisor asks of a worker, and what the worker answers: one JSON object on its stdin, lines on its stdout.

Both are the same version of the same program on one machine, and the pipe is theirs alone: no fuzz target.
"""

from __future__ import annotations

import msgspec

from holdfast.training.executing.attempts import Attempt

__all__ = [
    "Place",
    "Checkpoint",
    "Ask",
    "Note",
    "Skipped",
    "MovedAside",
    "Begun",
    "Copy",
    "Saved",
    "Done",
    "Wrong",
    "Answer",
]


class Place(msgspec.Struct, frozen=True):
    """Where snapshots go and come from. `vault` empty: as `holdfast.yaml` declares the asset.

    `replicas`: URLs of copies that are kept up to date, and read from when the vault cannot be.
    """

    asset: str
    folder: str
    vault: str = ""
    options: dict[str, str] = {}
    replicas: list[str] = []
    replica_options: dict[str, str] = {}
    patterns: list[str] = []
    policy: str = "warn"
    verify: bool = True


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint in the watched folder, or one of the vault. `place`: its path relative to the folder.

    `written`: when its newest file was modified, ns since the epoch. `snapshot`: its id, empty when it lies here only.
    """

    place: str
    step: int | None
    written: int
    framework: str = ""
    bytes: int = 0
    snapshot: str = ""
    fingerprint: str = ""


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """`verb`: `look` (what would `begin` do), `begin` (choose, restore, record `attempt`), `save` (`checkpoint`),
    `copy` (bring replicas up to date), `note` (record `attempt`).

    `ended`: the attempt before, as it ended: `begin` records that, too. `restore`: take from the vault; else only what
    lies in the folder counts. `anew`: earlier attempts do not count.
    """

    verb: str
    place: Place
    checkpoint: Checkpoint | None = None
    attempt: Attempt | None = None
    ended: Attempt | None = None
    restore: bool = True
    anew: bool = False
    urgent: bool = False


class _Line(msgspec.Struct, frozen=True, tag_field="is"):
    pass


class Note(_Line, frozen=True, tag="note"):
    """Something that a person should see."""

    message: str


class Skipped(_Line, frozen=True, tag="skipped"):
    """A checkpoint that was not taken, and why."""

    checkpoint: Checkpoint
    reason: str


class MovedAside(_Line, frozen=True, tag="moved-aside"):
    """What a framework would have picked up instead lies at `to` now, as it was."""

    place: str
    to: str
    reason: str


class Begun(_Line, frozen=True, tag="begun"):
    """From where the next start goes on. `chosen` None: from nothing. `restored`: it was fetched from the vault now.

    `verdict`: `go`, `fall-back` (from an older one, because of a loop) or `give-up`, with `reason`; `stuck`: attempts
    without progress. `known`: ids of the snapshots that the vault has, None where it could not be asked.
    """

    chosen: Checkpoint | None
    reason: str
    verdict: str
    stuck: int
    attempt: Attempt | None
    restored: bool = False
    seconds: float = 0.0
    known: list[str] | None = None
    attempts: list[Attempt] = []
    vault: str = ""


class Copy(msgspec.Struct, frozen=True):
    """What one replica has got; `error` says why the newest snapshot is not there, empty when it is."""

    url: str
    bytes: int
    error: str


class Saved(_Line, frozen=True, tag="saved"):
    """A snapshot that is durable."""

    snapshot: str
    bytes: int
    stored: int
    verdict: str
    findings: list[str]
    validated: bool
    copies: list[Copy]
    seconds: float


class Done(_Line, frozen=True, tag="done"):
    """That is all. `copies`: of `copy`."""

    copies: list[Copy] = []


class Wrong(_Line, frozen=True, tag="wrong"):
    """An error of `holdfast.errors`, by its code."""

    code: str
    message: str
    hint: str = ""


Answer = Note | Skipped | MovedAside | Begun | Saved | Done | Wrong
