"""What sealing and opening cost: Holdfast beside itself without encryption, in turns."""

from __future__ import annotations

from typing import Any

from ..runners.holdfast_runners import HoldfastLibrary
from .context import Context
from .episodes import in_turns

__all__ = ["encryption"]

_ROUNDS_MORE = 2  # the difference is small beside what else the machine does


def encryption(context: Context) -> dict[str, Any]:
    """Full states in float32: saved and restored with encryption, and with `--no-encryption`."""
    runners = [HoldfastLibrary(context.setting), HoldfastLibrary(context.setting, encrypted=False)]
    return in_turns(
        runners,
        context.part("fp32", "first"),
        context.part("fp32", "next"),
        folder=context.setting.ram,
        rounds=context.rounds + _ROUNDS_MORE,
        operations=("save", "restore"),
    )
