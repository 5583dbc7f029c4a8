"""SHELL and HTTP_CHECK: commands without a shell in between, and one request; what they say is capped and scrubbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from holdfast.clock import Clock
from holdfast.errors import FailedError
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Commanding", "HttpChecking", "run_command"]

_OUTPUT_MAX: Final = 64 << 10
_TOLD_MAX: Final = 500
_LOOKING_SECONDS: Final = 60.0
_SECRET: Final = re.compile(r"(?i)\b(\w*(?:key|token|secret|passw|credential|authoriz)\w*)(\s*[=:]\s*)\S+")
_LONG: Final = re.compile(r"\b[A-Za-z0-9+/_-]{32,}={0,2}")
_KEPT: Final = ("HOLDFAST_CONFIG", "HOLDFAST_SITE")


class Ran(NamedTuple):
    """`said`: the end of its output, scrubbed."""

    code: int
    said: str


class Commanding:
    """The actor of SHELL. The commands get HOLDFAST_RUN, HOLDFAST_STEP and HOLDFAST_TARGET, and no keys."""

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
            raise _Again(f"exit code {ran.code}: {ran.said}", object_name=task.step.id)
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
            raise _Again(f"its undo: exit code {ran.code}: {ran.said}", object_name=task.step.id)

    def _run(self, command: tuple[str, ...], task: Task, seconds: float) -> Ran:
        kept = {
            name: value
            for name, value in self._environment.items()
            if not name.startswith("HOLDFAST_") or name in _KEPT
        }
        given = {"HOLDFAST_RUN": task.run, "HOLDFAST_STEP": task.step.id, "HOLDFAST_TARGET": self._target}
        filled = tuple(one.replace("{run}", task.run) for one in command)
        return run_command(filled, kept | given, seconds)


class _Again(FailedError):
    """A failure that another attempt may get past."""

    retry = True


def run_command(command: tuple[str, ...], environment: Mapping[str, str], seconds: float) -> Ran:
    """Run it in a process group of its own, which is killed when the time is over. Raises FailedError."""
    import tempfile

    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise FailedError(f"{command[0]} cannot be run ({error})", object_name=command[0]) from error
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise _Again(f"{command[0]} took longer than {seconds:.0f} s", object_name=command[0]) from error
        finally:
            _kill(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _OUTPUT_MAX))
        return Ran(code, scrubbed(output.read(_OUTPUT_MAX).decode(errors="replace")))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """All of the group, also what outlived its first process."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def scrubbed(text: str) -> str:
    """One line, its end, without what looks like a secret."""
    line = " ".join(text.split())
    line = _LONG.sub("[…]", _SECRET.sub(r"\1\2[…]", line))
    return "".join(one if one.isprintable() else "?" for one in line)[-_TOLD_MAX:]


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
            said = _status(url, min(10.0, max(0.1, until - self._clock.monotonic())))
            if said == wanted:
                return {"status": wanted}
            if self._clock.monotonic() + 1.0 >= until:
                raise _Again(f"{url} says {said}, and not {wanted}", object_name=url)
            self._clock.sleep(1.0)

    def done(self, task: Task) -> Facts | None:
        return None

    def undo(self, task: Task) -> None:
        """It only looked."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **options: object) -> None:
        return None


def _status(url: str, seconds: float) -> int | str:
    try:
        with urllib.request.build_opener(_NoRedirects).open(url, timeout=seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError) as error:
        return f"nothing ({scrubbed(str(error))})"
