"""The states besides weights and optimizer that a run goes on from, as one tree: taken, and given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from holdfast.errors import DamageError, UsageError
from holdfast.training.circumstances.randoms import random_states, restore_random_states

__all__ = ["ResumeState", "Stateful"]

_RANDOM = "random"


@runtime_checkable
class Stateful(Protocol):
    """What PyTorch's schedulers, scalers and optimizers are, and torchdata's `StatefulDataLoader`."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> Any: ...


class ResumeState:
    """Hand everything in once, by name; then save `state_dict()` with the state and call `load_state_dict` to go on.

    ::

        resume = ResumeState(dataloader=loader, scheduler=scheduler, scaler=scaler, generators={"augment": rng})
        saver.save({"model": …, "optimizer": …, "resume": resume.state_dict()}, step=step)

    Random number generators of Python, NumPy and torch are always part of it. In a job of several ranks each rank has
    its own: save them by rank.
    """

    def __init__(self, *, generators: Mapping[str, Any] | None = None, **members: Any) -> None:
        """`members`: anything with `state_dict` and `load_state_dict`, by a name of yours. Raises UsageError."""
        for name, one in members.items():
            if not isinstance(one, Stateful):
                raise UsageError(
                    f"{name} is a {type(one).__name__}, which has no state_dict and load_state_dict",
                    hint="a plain DataLoader has no position: use torchdata's StatefulDataLoader",
                )
            if name == _RANDOM:
                raise UsageError(f"{_RANDOM!r} is what the random number generators are called", hint="another name")
        self._members = dict(members)
        self._generators = dict(generators or {})
        random_states(self._generators)

    def state_dict(self) -> dict[str, Any]:
        """All of them now: `random`, and each member by its name."""
        states = {_RANDOM: random_states(self._generators)}
        return states | {name: one.state_dict() for name, one in self._members.items()}

    def load_state_dict(self, states: Mapping[str, Any], *, strict: bool = True) -> list[str]:
        """Give all of them back. Returns what could not be, in words.

        With `strict` a member that the snapshot lacks, or that is not handed in here, raises DamageError before
        anything is changed: a run that goes on from half of its state goes on from another one. Random numbers are set
        last, as members may draw some.
        """
        if not isinstance(states, Mapping) or not isinstance(states.get(_RANDOM), Mapping):
            raise DamageError("this is no state for a resume: the random numbers are not in it")
        left = [f"{name}: the snapshot has none" for name in self._members if name not in states]
        left += [f"{name}: not handed in here" for name in states if name not in self._members and name != _RANDOM]
        if left and strict:
            raise DamageError(
                f"not all of the state for a resume is there: {'; '.join(sorted(left))}",
                hint="hand in what the saving run did, or pass strict=False to go on without it",
            )
        for name, one in self._members.items():
            if name in states:
                one.load_state_dict(states[name])
        return left + restore_random_states(states[_RANDOM], self._generators)

    def described(self) -> dict[str, str]:
        """Name → what it is, for `circumstances.json`."""
        found = {name: type(one).__name__ for name, one in self._members.items()}
        found[_RANDOM] = ", ".join(random_states())
        return found | {f"generator {name}": type(one).__name__ for name, one in self._generators.items()}
