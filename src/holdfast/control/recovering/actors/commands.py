"""SHELL and HTTP_CHECK: commands without a shell in between, and one request; what they say is capped and scrubbed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from holdfast.clock import Clock
from holdfast.infra.calling.commands import AgainError, Ran, run_command
from holdfast.infra.health import status_of
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Commanding", "HttpChecking"]

_LOOKING_SECONDS: Final = 60.0


class Commanding:
    """The actor of SHELL. The commands get HOLDFAST_RUN, HOLDFAST_STEP and HOLDFAST_TARGET, and no keys:
    `environment` is without them.
    """

    def __init__(self, target: str, environment: Mapping[str, str], clock: Clock) -> None:
        self._target, self._environment, self._clock = target, environment, clock

    def check(self, task: Task) -> str | None:
        command = _command(task, "check")
        if not command:
            return None
        ran = self._run(command, task, min(task.seconds, _LOOKING_SECONDS))
        return None if ran.code == 0 else f"its check says no (exit code {ran.code}): {ran.said}"

    def act(self, task: Task) -> Facts:
        """Raises FailedError; another attempt may help."""
        ran = self._run(_command(task, "command"), task, task.seconds)
        if ran.code != 0:
            raise AgainError(f"exit code {ran.code}: {ran.said}", object_name=task.step.id)
        return {"exit_code": 0, "said": ran.said}

    def done(self, task: Task) -> Facts | None:
        command = _command(task, "done")
        if not command:
            return None
        ran = self._run(command, task, min(task.seconds, _LOOKING_SECONDS))
        return {"exit_code": 0, "said": ran.said} if ran.code == 0 else None

    def undo(self, task: Task) -> None:
        """Raises FailedError."""
        command = _command(task, "undo")
        if command and (ran := self._run(command, task, task.seconds)).code != 0:
            raise AgainError(f"its undo: exit code {ran.code}: {ran.said}", object_name=task.step.id)

    def _run(self, command: tuple[str, ...], task: Task, seconds: float) -> Ran:
        given = {"HOLDFAST_RUN": task.run, "HOLDFAST_STEP": task.step.id, "HOLDFAST_TARGET": self._target}
        filled = tuple(one.replace("{run}", task.run) for one in command)
        return run_command(filled, {**self._environment, **given}, seconds, over=task.over)


def _command(task: Task, name: str) -> tuple[str, ...]:
    found = task.step.with_.get(name, ())
    return tuple(found) if isinstance(found, tuple | list) else ()


class HttpChecking:
    """The actor of HTTP_CHECK: a GET of `url`, no redirects to elsewhere followed, until it answers with `expect`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check(self, task: Task) -> str | None:
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError when it does not answer so within the step's time."""
        until = self._clock.monotonic() + task.seconds
        wanted, url = int(str(task.step.with_.get("expect", 200))), str(task.step.with_["url"])
        while True:
            said = status_of(url, min(10.0, max(0.1, until - self._clock.monotonic())))
            if said == wanted:
                return {"status": wanted}
            if self._clock.monotonic() + 1.0 >= until or task.over():
                raise AgainError(f"{url} says {said}, and not {wanted}", object_name=url)
            self._clock.sleep(1.0)

    def done(self, task: Task) -> Facts | None:
        return None

    def undo(self, task: Task) -> None:
        """It only looked."""
