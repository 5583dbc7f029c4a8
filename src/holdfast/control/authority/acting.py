"""In whose name something is done: whoever a service has identified, for as long as it does what they asked for.

Without it a process acts for whomever its environment names (`identifying.by_environment`): a command's user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from holdfast.authority.principals import Principal

__all__ = ["acting_as", "acting_for"]

_ACTING: Final[ContextVar[Principal | None]] = ContextVar("holdfast_acting", default=None)


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
