"""In whose name something is done: whoever a service has identified, for as long as it does what they asked for.

Without it a process acts for whomever its environment names (`identifying.by_environment`): a command's user.
What is decided meanwhile can be noted: an answer that is given to others, too, needs the same decisions about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from holdfast.authority.principals import Principal
from holdfast.authority.resources import Resource

__all__ = ["Noted", "acting_as", "acting_for", "note_decision", "noting"]


class Noted(NamedTuple):
    """What was asked of the policies, and the answer."""

    principal: Principal | None
    action: str
    resource: Resource
    to: Resource | None
    allowed: bool


_ACTING: Final[ContextVar[Principal | None]] = ContextVar("holdfast_acting", default=None)
_NOTES: Final[ContextVar[list[Noted] | None]] = ContextVar("holdfast_notes", default=None)


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """What this thread (or task) does is asked for by this principal: by `Authority.identify`, and in journals.

    Threads that it starts do not know of it: whoever hands on a decision hands on the principal.
    """
    token = _ACTING.set(principal)
    try:
        yield
    finally:
        _ACTING.reset(token)


def acting_for() -> Principal | None:
    """Whom a service acts for; None for a command, which acts for its own user."""
    return _ACTING.get()


@contextmanager
def noting() -> Iterator[list[Noted]]:
    """Every decision that this thread (or task) asks for, as long as it lasts; not those of threads that it starts."""
    notes: list[Noted] = []
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note_decision(noted: Noted) -> None:
    """For whoever listens, if anybody does."""
    notes = _NOTES.get()
    if notes is not None:
        notes.append(noted)
