"""The training loop: step, say so, save now and then, stop when asked."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.drills.trainer.checkpoint import load_checkpoint, save_checkpoint
from holdfast.drills.trainer.files import make_folder
from holdfast.drills.trainer.heartbeat import HEARTBEAT_NAME, Heartbeat, write_heartbeat
from holdfast.drills.trainer.state import TrainingState

__all__ = ["Settings", "StopRequest", "train"]

_LONGEST_SLEEP_SECONDS = 0.05  # a signal does not end time.sleep, so waiting is done in short naps


class Settings(NamedTuple):
    """What the command line said. `pace_seconds` is the least time that a step takes (0: as fast as it goes).
    `save_on_stop`: a checkpoint of the step in which it was stopped.

    `learning_rate` None: the default, or that of the checkpoint.
    """

    folder: Path
    steps: int
    every: int
    seed: int
    resume: Path | None = None
    bf16: bool = False
    size: str = "small"
    pace_seconds: float = 0.0
    learning_rate: float | None = None
    save_on_stop: bool = False


class StopRequest:
    """Turns SIGTERM into a wish that the loop reads between steps."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take over SIGTERM. Main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def train(
    settings: Settings,
    stop: StopRequest,
    *,
    clock: Clock = SYSTEM_CLOCK,
    say: Callable[[str], None] | None = None,
) -> TrainingState:
    """Train up to `settings.steps`, counted from the start of the run, also when resumed.

    Saves every `every` steps and after the last one; a stop ends the run after the current step and saves nothing,
    unless that is asked for (what a pre-empted job left behind is what most drills are about). `say` receives one JSON
    line per step. Raises what `load_checkpoint` and `save_checkpoint` raise.
    """
    make_folder(settings.folder)
    state = _start(settings)
    report = say or _print_line
    saved = state.step if settings.resume is not None else 0
    if settings.learning_rate is not None:
        state.optimizer.learning_rate = settings.learning_rate
    while state.step < settings.steps and not stop.asked:
        started = clock.monotonic()
        state.advance()
        seconds = clock.monotonic() - started
        beat = Heartbeat(pid=os.getpid(), step=state.step, loss=state.loss, time_ns=clock.now_ns())
        write_heartbeat(settings.folder / HEARTBEAT_NAME, beat)
        report(json.dumps({"step": state.step, "loss": state.loss, "seconds": round(seconds, 6)}))
        if state.step % settings.every == 0 or state.step == settings.steps:
            save_checkpoint(settings.folder, state, clock, bf16=settings.bf16)
            saved = state.step
        _wait_until(started + settings.pace_seconds, clock, stop)
    if stop.asked and settings.save_on_stop and state.step not in (0, saved):
        save_checkpoint(settings.folder, state, clock, bf16=settings.bf16)
    return state


def _start(settings: Settings) -> TrainingState:
    if settings.resume is None:
        return TrainingState(settings.size, settings.seed)
    return load_checkpoint(settings.resume, size=settings.size, seed=settings.seed)


def _wait_until(moment: float, clock: Clock, stop: StopRequest) -> None:
    while not stop.asked and (left := moment - clock.monotonic()) > 0:
        clock.sleep(min(left, _LONGEST_SLEEP_SECONDS))


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
