"""Who does the steps of a plan: one actor for each kind, with four faces."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from holdfast.recovery.plans import Kind, Step

__all__ = ["Actor", "Actors", "Facts", "Task"]

Facts: TypeAlias = dict[str, str | int | float | bool]


class Task(NamedTuple):
    """A step of a run. `key`: the same at each attempt and for each control plane: what makes an act happen once.
    `seconds`: how long it may take.
    """

    step: Step
    run: str
    key: str
    seconds: float


class Actor(Protocol):
    """All methods raise only errors of `holdfast.errors`; `retry` of an error says whether another attempt may help.

    Called from threads. A process may die in any of them; `done` is asked first by whoever goes on.
    """

    def check(self, task: Task) -> str | None:
        """Without side effects: why it could not be done now, in words; None: it could."""
        ...

    def act(self, task: Task) -> Facts:
        """Do it; what is told of it. Doing it twice with one key has the effect of once."""
        ...

    def done(self, task: Task) -> Facts | None:
        """Whether it is in effect already; None: it is not, or nobody can tell."""
        ...

    def undo(self, task: Task) -> None:
        """Take it back; also where only a part of it, or nothing, is in effect."""
        ...


Actors: TypeAlias = dict[Kind, Actor]
