"""`holdfast train-exec` around the tiny trainer, as processes of their own, and what its events say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast.control.vaults.opening import create
from holdfast.training.executing.events import ExecEvent
from holdfast.vault.vault import Vault

TRAINER = Path(__file__).with_name("tiny_trainer.py")
EXEC = [sys.executable, "-m", "holdfast.cli.main", "train-exec"]
QUICK = ["--settle", "50ms", "--interval", "50ms"]
SECONDS_MAX = 180.0  # a machine that does much else at the same time


class Ran(NamedTuple):
    """How one `train-exec` ended, and its events."""

    code: int
    events: list[Any]
    err: str

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Running:
    """One `train-exec` that runs. End it with `wait`."""

    def __init__(self, arguments: list[str], events: Path, errors: Path, **options: Any) -> None:
        self._events, self._errors = events, errors
        self._began = events.stat().st_size if events.exists() else 0
        with errors.open("wb") as err:
            self.process = subprocess.Popen(arguments, stderr=err, stdout=subprocess.DEVNULL, **options)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def events(self) -> list[Any]:
        if not self._events.exists():
            return []
        data = self._events.read_bytes()[self._began :]
        lines = [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        return [msgspec.json.decode(line, type=ExecEvent) for line in lines]

    def until(self, kind: type[Any], which: Callable[[Any], bool] = lambda event: True) -> Any:
        """The first event of that kind. Fails when the process ends, or too much time passes, before it."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            ended = self.process.poll() is not None
            for event in self.events():
                if isinstance(event, kind) and which(event):
                    return event
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"no {kind.__name__}: {self.events()} {self._errors.read_text()}")
            time.sleep(0.02)

    def wait(self) -> Ran:
        code = self.process.wait(SECONDS_MAX)
        return Ran(code, self.events(), self._errors.read_text())

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class World:
    """A vault, a folder for checkpoints, and `train-exec` between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.vault: Vault = create(str(folder / "vault")).vault

    def command(self, *trainer: str) -> list[str]:
        return [sys.executable, "-S", str(TRAINER), "--dir", str(self.runs), *trainer]

    def start(self, options: list[str], command: list[str], **how: Any) -> Running:
        place = ["--vault", str(self.folder / "vault"), "--asset", "m", "--checkpoints", str(self.runs)]
        events = self.folder / "events"
        given = [*EXEC, *place, *QUICK, "--events", str(events), *options, "--", *command]
        return Running(given, events, self.folder / "err", **how)

    def run(self, options: list[str], command: list[str]) -> Ran:
        return self.start(options, command).wait()

    def starts(self) -> list[int]:
        """The steps from which the trainer began, each time."""
        return [int(line) for line in (self.runs / "starts").read_text().split()]

    def lose_node(self) -> None:
        """Another node: the folder is empty there."""
        self.runs.rename(self.folder / f"lost-{time.monotonic_ns()}")
        self.runs.mkdir()
