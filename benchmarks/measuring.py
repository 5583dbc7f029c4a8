"""Runs one command and says what it took: wall time, processor time, and the most memory it held."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

__all__ = ["Took", "Ran", "CommandFailed", "run", "Word"]

Word = str | os.PathLike[str]


class Took(TypedDict):
    """Seconds of wall and processor time, and the largest resident size in bytes (0: not known)."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Ran(NamedTuple):
    """A command that succeeded, and what it printed."""

    took: Took
    output: str


class CommandFailed(Exception):
    """A command could not be run, or ended with another code than 0. One line; `details` is all that it said."""

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details or text


def run(
    command: Sequence[Word],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    talking: bool = False,
) -> Ran:
    """Run to the end; stderr is shown only in the error, or at once with `talking`. An interrupt ends the command, too.

    Raises CommandFailed.

    The largest size that the kernel reports for a child is never below this process's own: keep this process small.
    """
    words = [os.fspath(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if talking else errors,
                start_new_session=True,  # so that an interrupt can end it with all that it started
            )
        except OSError as error:
            raise CommandFailed(f"{words[0]} cannot be run: {error.strerror}") from error
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for behind Popen's back
        output.seek(0)
        text = output.read().decode(errors="replace")
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip() or text.strip()
            name = Path(words[0]).name
            raise CommandFailed(f"{name} ended with {process.returncode}: {_gist(said)}", said)
    took = Took(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, peak_bytes=usage.ru_maxrss * 1024)
    return Ran(took, text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: first asked, so that they tidy up, then killed."""
    for number, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            continue


def _gist(said: str) -> str:
    """The line that names the error: the last that begins so, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (named or lines or [""])[-1][:300]
