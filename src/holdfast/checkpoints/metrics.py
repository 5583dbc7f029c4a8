"""What a checkpoint says of its own training: the losses that the trainers of Hugging Face write into it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

__all__ = ["metrics_of"]

_STATE = "trainer_state.json"
_BYTES_MAX = 64 << 20  # a log line for every step of a long run
_WATCHED = ("loss", "eval_loss", "grad_norm")


def metrics_of(checkpoint: Path) -> dict[str, float]:
    """The newest `loss`, `eval_loss` and `grad_norm` of `trainer_state.json`; empty where there is none to be read.

    They stand in `log_history`, one mapping for each time something was logged, or at the top.
    """
    path = checkpoint / _STATE
    try:
        if not path.is_file() or path.stat().st_size > _BYTES_MAX:
            return {}
        state = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(state, dict):
        return {}
    history = state.get("log_history")
    logged = [*(history if isinstance(history, list) else ()), state]
    found: dict[str, float] = {}
    for record in reversed(logged):
        if isinstance(record, dict):
            for name in _WATCHED:
                value = _number(record.get(name))
                if value is not None:
                    found.setdefault(name, value)
    return found


def _number(value: Any) -> float | None:
    """JSON of Python's holds NaN and Infinity, too: those are what this is for."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
