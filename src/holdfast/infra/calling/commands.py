"""Running a command without a shell in between: its time is limited, and what it says is capped and scrubbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from holdfast.errors import FailedError

__all__ = ["AgainError", "Ran", "run_command", "scrubbed", "without_keys"]

_OUTPUT_MAX: Final = 64 << 10
_TOLD_MAX: Final = 500
_SECRET: Final = re.compile(r"(?i)\b(\w*(?:key|token|secret|passw|credential|authoriz)\w*)(\s*[=:]\s*)\S+")
_LONG: Final = re.compile(r"\b[A-Za-z0-9+/_-]{32,}={0,2}")
_LOOK_SECONDS: Final = 0.25
_KEPT: Final = ("HOLDFAST_CONFIG", "HOLDFAST_SITE")


class Ran(NamedTuple):
    """`said`: the end of its output, scrubbed."""

    code: int
    said: str


class AgainError(FailedError):
    """A failure that another attempt may get past."""

    retry = True


def run_command(
    command: tuple[str, ...],
    environment: Mapping[str, str],
    seconds: float,
    folder: str | None = None,
    *,
    given: bytes = b"",
    over: Callable[[], bool] | None = None,
) -> Ran:
    """Run it in a process group of its own, which is killed when the time is over, or when `over` says so. `given`:
    what it reads on stdin.

    Raises FailedError.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as read:
        read.write(given)
        read.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=read,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise FailedError(f"{command[0]} cannot be run ({error})", object_name=command[0]) from error
        try:
            code = process.wait(seconds) if over is None else _wait(process, seconds, over)
        except subprocess.TimeoutExpired as error:
            raise AgainError(f"{command[0]} took longer than {seconds:.0f} s", object_name=command[0]) from error
        finally:
            _kill(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _OUTPUT_MAX))
        return Ran(code, scrubbed(output.read(_OUTPUT_MAX).decode(errors="replace")))


def _wait(process: subprocess.Popen[bytes], seconds: float, over: Callable[[], bool]) -> int:
    """Its exit code. Raises TimeoutExpired; AgainError where it was given up."""
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        try:
            return process.wait(max(0.0, min(left, _LOOK_SECONDS)))
        except subprocess.TimeoutExpired:
            if left <= _LOOK_SECONDS:
                raise
            if over():
                name = str(process.args[0]) if isinstance(process.args, tuple) else "the command"
                raise AgainError(f"{name} was ended: nobody waits for it any more", object_name=name) from None


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


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command gets of an environment: nothing of Holdfast's own but where holdfast.yaml is, and this site."""
    return {name: value for name, value in environment.items() if not name.startswith("HOLDFAST_") or name in _KEPT}
