"""HUMAN: a step that is done when a person says so: `recover skip RUN STEP --reason "done: …"`."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.clock import Clock
from holdfast.errors import FailedError, HoldfastError
from holdfast.recovery.journal.state import RunState, StepPhase
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Asking"]

_POLL_SECONDS = 1.0


class Asking:
    """The actor. `state`: what the journal says now, read by itself: called from threads."""

    def __init__(self, state: Callable[[], RunState], told: Callable[[str], None], clock: Clock) -> None:
        self._state, self._told, self._clock = state, told, clock

    def check(self, task: Task) -> str | None:
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError when nobody says it in time, or the run is stopped."""
        self._told(f"{task.step.title}: say `holdfast recover skip {task.run} {task.step.id} --reason …` when done")
        until = self._clock.monotonic() + task.seconds
        while self._clock.monotonic() < until:
            try:
                state = self._state()
            except HoldfastError:
                self._clock.sleep(_POLL_SECONDS)
                continue
            one = state.steps.get(task.step.id)
            if one is not None and one.phase is StepPhase.SKIPPED:
                return {"said": one.text}
            if state.stopped:
                raise FailedError("the run was stopped before anybody did it", object_name=task.step.id)
            if task.over():
                break
            self._clock.sleep(_POLL_SECONDS)
        raise FailedError(f"nobody said within {task.seconds:.0f} s that it is done", object_name=task.step.id)

    def done(self, task: Task) -> Facts | None:
        return None

    def undo(self, task: Task) -> None:
        """What a person did, a person takes back."""
