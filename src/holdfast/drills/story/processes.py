"""The demo's own processes: the trainer and the watch, as a user would start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.errors import FailedError

__all__ = ["OwnProcess", "start_trainer", "start_watch"]


class OwnProcess:
    """A process that the demo started. It ends no others."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._out = log.with_suffix(".out").open("wb")
        self._err = log.with_suffix(".err").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env=dict(environment),
        )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def stop(self, timeout_seconds: float = 30) -> None:
        """SIGTERM, then SIGKILL."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()

    def check(self) -> None:
        """Raises FailedError, with its last words, when the process ended by itself with an error."""
        code = self._process.poll()
        if code:
            raise FailedError(f"{self.name} ended with code {code}: {self._last_words()}", hint=f"see {self.log}.err")

    def _last_words(self) -> str:
        text = self.log.with_suffix(".err").read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "it said nothing"

    def _close(self) -> None:
        self._out.close()
        self._err.close()


def start_trainer(
    name: str,
    folder: Path,
    *,
    steps: int,
    every: int,
    seed: int,
    pace_seconds: float,
    log: Path,
    environment: Mapping[str, str],
    resume: Path | None = None,
) -> OwnProcess:
    """`python -m holdfast.drills.trainer` in `folder`."""
    arguments = ["holdfast.drills.trainer", "--dir", str(folder), "--steps", str(steps), "--every", str(every)]
    arguments += ["--seed", str(seed), "--pace", str(pace_seconds)]
    if resume is not None:
        arguments += ["--resume", str(resume)]
    return OwnProcess(name, arguments, log, environment)


def start_watch(
    name: str,
    folder: Path,
    vault: Path,
    asset: str,
    replicas: Sequence[Path],
    *,
    log: Path,
    environment: Mapping[str, str],
) -> OwnProcess:
    """`holdfast watch`, as a user would run it, looking more often than by default."""
    arguments = ["holdfast.cli.main", "watch", str(folder), "--vault", str(vault), "--asset", asset]
    for replica in replicas:
        arguments += ["--replicate-to", str(replica)]
    arguments += ["--interval", "100ms", "--settle", "200ms", "--json"]
    return OwnProcess(name, arguments, log, environment)
