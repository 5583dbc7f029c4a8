"""Who does the steps of a plan: one actor for each kind, with four faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from holdfast.recovery.plans import Kind, Step

__all__ = ["Actor", "Actors", "Facts", "Task", "never_over"]

Facts: TypeAlias = dict[str, str | int | float | bool]


def never_over() -> bool:
    """Of an attempt that nobody gives up."""
    return False


class Task(NamedTuple):
    """A step of a run. `key`: the same at each attempt and for each control plane: what makes an act happen once.
    `seconds`: how long it may take. `over`: whether this attempt was given up (its time is over, or the control plane
    has the run no longer): an act that goes on for long asks it, and ends with an error.
    """

    step: Step
    run: str
    key: str
    seconds: float
    over: Callable[[], bool] = never_over


class Actor(Protocol):
    """All methods raise only errors of `holdfast.errors`; `retry` of an error says whether another attempt may help.

    Called from threads. A process may die in any of them; `done` is asked first by whoever goes on.
    """

    def check(self, task: Task) -> str | None:
        """Without side effects: why it could not be done now, in words; None: it could."""
        ...

    def act(self, task: Task) -> Facts:
        """Do it; what is told of it. Doing it twice with one key has the effect of once. Never called while an earlier
        attempt of this control plane is under way.
        """
        ...

    def done(self, task: Task) -> Facts | None:
        """Whether it is in effect already; None: it is not, or nobody can tell."""
        ...

    def undo(self, task: Task) -> None:
        """Take it back; also where only a part of it, or nothing, is in effect."""
        ...


Actors: TypeAlias = dict[Kind, Actor]
