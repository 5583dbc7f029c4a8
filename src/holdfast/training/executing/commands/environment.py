"""The environment of the command: ours, and from where it goes on, for loops that look for that there."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.training.executing.asks import Begun
from holdfast.training.executing.commands.torch_errors import ERROR_FILE_VARIABLE

__all__ = ["environment_for", "CHECKPOINT_VARIABLE", "STEP_VARIABLE", "RESTART_VARIABLE"]

CHECKPOINT_VARIABLE = "HOLDFAST_CHECKPOINT"
STEP_VARIABLE = "HOLDFAST_CHECKPOINT_STEP"
RESTART_VARIABLE = "HOLDFAST_RESTART"


def environment_for(begun: Begun, folder: Path, restart: int, error_file: Path) -> dict[str, str]:
    """`error_file`: where torch writes how a rank died, unless the user has named another."""
    chosen = begun.chosen
    environment = dict(os.environ)
    environment[CHECKPOINT_VARIABLE] = "" if chosen is None else str(folder / chosen.place)
    environment[STEP_VARIABLE] = "" if chosen is None or chosen.step is None else str(chosen.step)
    environment[RESTART_VARIABLE] = str(restart)
    environment.setdefault(ERROR_FILE_VARIABLE, str(error_file))
    return environment
