"""What a user may say about `train-exec`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from holdfast.training.executing.asks import Place
from holdfast.training.executing.commands.ends import Recoverable

__all__ = ["Settings", "AfterNotice", "Requeue"]


class AfterNotice(Enum):
    """What follows when SIGUSR1 came and a checkpoint was saved: on with it, end, or end and be requeued."""

    CONTINUE = "continue"
    STOP = "stop"
    REQUEUE = "requeue"


class Requeue(Enum):
    """Who starts again: Slurm where this is a job of it, else this program (AUTO); this program; Slurm; whoever reads
    the exit code.
    """

    AUTO = "auto"
    PLACE = "place"
    SLURM = "slurm"
    EXIT = "exit"


class Settings(NamedTuple):
    """Times in seconds. `save_signal`: what SIGUSR1 is passed on as, None: not at all. `requeue_code`: of Requeue.EXIT.

    `hang_after` None: nothing is a hang, unless `hang_learned`.
    """

    command: Sequence[str]
    folder: Path
    place: Place
    restore: bool = True
    anew: bool = False
    interval: float = 2.0
    settle: float = 10.0
    grace: float = 30.0
    save_signal: int | None = 10
    save_wait: float = 300.0
    after_notice: AfterNotice = AfterNotice.CONTINUE
    recoverable: Recoverable = Recoverable()
    requeue: Requeue = Requeue.AUTO
    requeue_code: int = 0
    max_restarts: int = 10
    hang_after: float | None = None
    hang_learned: bool = False
    restart_hung: bool = False
