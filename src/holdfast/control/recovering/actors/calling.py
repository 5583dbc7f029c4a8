"""PYTHON, ANSIBLE and WEBHOOK: what a runbook calls besides commands. Their `check`, `done`, `undo` may be commands."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast.config.references import resolve
from holdfast.config.values import SCALARS
from holdfast.config.words import Reference
from holdfast.control.recovering.actors.commands import Commanding
from holdfast.control.recovering.actors.services import Services
from holdfast.errors import RefusedError
from holdfast.infra.calling.playbooks import play, require_ansible
from holdfast.infra.calling.python_calls import call_function
from holdfast.infra.calling.webhooks import post_signed, reach_problem, url_problem
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Calling", "Playing", "Posting"]

_LOOKING_SECONDS: Final = 60.0


class _WithCommands:
    """Faces that the runbook says as commands; those of the kind itself are below."""

    def __init__(self, commanding: Commanding, services: Services, target: str) -> None:
        self._commanding, self._services, self._target = commanding, services, target

    def done(self, task: Task) -> Facts | None:
        """By the command `done`; without one nobody can tell, and it is done again."""
        return self._commanding.done(task)

    def undo(self, task: Task) -> None:
        self._commanding.undo(task)

    def _text(self, task: Task, name: str) -> str:
        return str(task.step.with_.get(name, "")).replace("{run}", task.run)

    def _given(self, task: Task) -> dict[str, str]:
        """What is said to whoever is called: never a secret."""
        return {
            "run": task.run,
            "step": task.step.id,
            "site": task.step.site,
            "target": self._target,
            "key": task.key,
        }

    def _environment(self, task: Task) -> dict[str, str]:
        given = {"HOLDFAST_RUN": task.run, "HOLDFAST_STEP": task.step.id, "HOLDFAST_TARGET": self._target}
        return self._services.given | given


class Calling(_WithCommands):
    """The actor of PYTHON."""

    def check(self, task: Task) -> str | None:
        """The function is there, and says nothing against it."""
        problem = self._commanding.check(task)
        if problem is not None:
            return problem
        told = self._call(task, min(task.seconds, _LOOKING_SECONDS), check=True)
        return str(told["problem"]) if "problem" in told else None

    def act(self, task: Task) -> Facts:
        """Raises FailedError."""
        return self._call(task, task.seconds, check=False)

    def _call(self, task: Task, seconds: float, *, check: bool) -> Facts:
        call, given = self._text(task, "call"), self._given(task)
        folder, environment = self._services.folder, self._environment(task)
        return call_function(call, given, environment, seconds, folder, check=check, over=task.over)


class Playing(_WithCommands):
    """The actor of ANSIBLE."""

    def check(self, task: Task) -> str | None:
        """By `check`, where the runbook has it; else the playbook itself, with nothing changed."""
        require_ansible()
        if task.step.with_.get("check"):
            return self._commanding.check(task)
        self._play(task, max(task.seconds, _LOOKING_SECONDS), check=True)
        return None

    def act(self, task: Task) -> Facts:
        """Raises MissingExtraError, NotFoundError, FailedError."""
        return self._play(task, task.seconds, check=False)

    def _play(self, task: Task, seconds: float, *, check: bool) -> Facts:
        folder = self._services.folder
        inventory = self._text(task, "inventory")
        if inventory and "," not in inventory:
            inventory = str(Path(folder, inventory))
        played = play(
            Path(folder, self._text(task, "playbook")),
            inventory,
            {f"holdfast_{name}": value for name, value in self._given(task).items()},
            self._environment(task),
            seconds,
            check=check,
            over=task.over,
        )
        return {"ok": played.ok, "changed": played.changed}


class Posting(_WithCommands):
    """The actor of WEBHOOK. Its secret is named by a reference, and looked up when it is sent."""

    def check(self, task: Task) -> str | None:
        """Whoever is to get it listens, and the secret is there; nothing is sent."""
        problem = self._commanding.check(task)
        url = self._text(task, "url")
        if problem is None:
            self._secret(task)
            problem = url_problem(url)
        return problem if problem is not None else reach_problem(url)

    def act(self, task: Task) -> Facts:
        """Raises RefusedError, CredentialError, FailedError."""
        text = self._text(task, "body")
        body = text.encode() if text else self._given(task)
        expect = int(str(task.step.with_.get("expect", 0)))
        url, secret = self._text(task, "url"), self._secret(task)
        return {"status": post_signed(url, body, secret, task.key, task.seconds, expect=expect)}

    def _secret(self, task: Task) -> str:
        written = str(task.step.with_.get("secret", ""))
        if not written:
            raise RefusedError(
                f"{task.step.id} has no `secret`, with which it would be signed",
                hint="secret: ${NAME} or file:PATH",
                object_name=task.step.id,
            )
        reference = SCALARS[Reference].read(written)
        return resolve(reference, self._services.folder, self._services.environment).reveal()
