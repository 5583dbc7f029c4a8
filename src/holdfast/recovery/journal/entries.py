"""Entries of a run's journal, and the chain that they form: each names the SHA-256 of the stored bytes before it."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from holdfast.errors import DamageError

__all__ = ["Deed", "Entry", "Seal", "VoidError", "FIRST", "chained", "decode_entry", "encode_entry", "is_timed"]

FIRST: Final = "0" * 64  # what the first entry has in place of the hash before it
_TEXT_MAX: Final = 4096
_PLAN_MAX: Final = 4 << 20
_MOMENTS: Final = range(1 << 63)  # ns since the epoch: until the year 2262


class Deed(StrEnum):
    """What an entry says. Those that people may say are `ASKED`, `APPROVED`, `PAUSED`, `RESUMED`, `SKIPPED`,
    `STOPPED` and `WITHOUT`; all others count only from the control plane that has the run.
    """

    PLANNED = "planned"  # `plan`: its canonical JSON
    ASKED = "asked"  # by who asked for it, where somebody else put the plan there; `text`: the hash of the plan
    APPROVED = "approved"  # `text`: the hash of the plan; `until`
    TAKEN = "taken"  # this control plane has the run from now on: it starts it, or adopts it
    BEGUN = "begun"  # of `step`, before anything is done
    DONE = "done"  # of `step`: it is in effect; `facts`: what is told of it
    FAILED = "failed"  # of `step`: this attempt, or its undoing, did not work; `facts`: whether to `retry`
    DROPPED = "dropped"  # of `step`: it was begun by a control plane that is gone, and is not in effect
    UNDOING = "undoing"  # of `step`, before anything of it is taken back: from now on the run only takes back
    UNDONE = "undone"  # of `step`: it was taken back
    SKIPPED = "skipped"  # of `step`, by a person, for the reason in `text`
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"  # by a person: nothing new is begun, and what was done is taken back
    WITHOUT = "without"  # the store in `text` is gone for good: it has no say from now on (`leaving.py`)
    ENDED = "ended"  # `text`: PASSED, FAILED, STOPPED or ERROR


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`number`: its place. `by`: a person, or a control plane (`plane:<id>`). `at`: ns since the epoch, its clock's."""

    run: str
    number: int
    before: str
    deed: Deed
    by: str
    at: int
    step: str = ""
    attempt: int = 0
    text: str = ""
    until: int = 0
    plan: str = ""
    facts: dict[str, str | int | float | bool] = {}


class VoidError(DamageError):
    """Bytes that are no document at all, whoever reads them, by whatever version and configuration."""


class Seal(Protocol):
    """Signs entries and opens them: a vault's documents, in production."""

    def seal(self, name: str, body: bytes) -> bytes:
        """The stored bytes of a body under that name, signed. Raises CredentialError."""
        ...

    def open(self, name: str, data: bytes) -> bytes:
        """The body. Raises UntrustedError (nobody signed it whom the vault trusts), DamageError, CredentialError;
        VoidError for bytes of which no reader can ever make anything.
        """
        ...


_DECODER: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Canonical JSON."""
    return msgspec.json.encode(entry, order="sorted")


def decode_entry(name: str, body: bytes) -> Entry:
    """The entry called `name`. Raises DamageError."""
    try:
        entry = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} is no entry of a run's journal ({error})", object_name=name) from error
    texts = (entry.run, entry.by, entry.step, entry.text, *entry.facts)
    values = [value for value in entry.facts.values() if isinstance(value, str)]
    sound = all(len(text) <= _TEXT_MAX for text in (*texts, *values)) and len(entry.plan) <= _PLAN_MAX
    hexadecimal = len(entry.before) == len(FIRST) and not entry.before.strip("0123456789abcdef")
    if (
        not sound
        or not hexadecimal
        or not is_timed(entry)
        or entry.number < 0
        or entry.attempt < 0
        or not entry.by
        or not entry.run
    ):
        raise DamageError(f"{name} is no entry of a run's journal: it says what cannot be", object_name=name)
    return entry


def is_timed(entry: Entry) -> bool:
    """Whether its times can be told."""
    return entry.at in _MOMENTS and entry.until in _MOMENTS


def chained(stored: bytes) -> str:
    """What the next entry has as `before`."""
    return hashlib.sha256(stored).hexdigest()
