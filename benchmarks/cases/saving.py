"""Saves and restores of tensors and of trees, and what is stored of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..measuring import Word, run
from ..setting import is_in_memory
from . import entrants
from .context import Context
from .episodes import in_turns

__all__ = ["speed_fp32", "speed_bf16", "ratios", "durable", "lora", "dataset", "variants"]


def speed_fp32(context: Context) -> dict[str, Any]:
    """Full states in float32: every tool saves, saves again, restores, saves the states 10 steps later, restores."""
    return _speed(context, "fp32")


def speed_bf16(context: Context) -> dict[str, Any]:
    """The same with weights in bfloat16."""
    return _speed(context, "bf16")


def _speed(context: Context, kind: str) -> dict[str, Any]:
    runners = entrants.for_speed(context)
    first, following = context.part(kind, "first"), context.part(kind, "next")
    return in_turns(runners, first, following, folder=context.setting.ram, rounds=context.rounds)


def ratios(context: Context) -> dict[str, Any]:
    """One state, and the same run 1, 10 and 100 steps later: stored bytes, beside the order-0 entropy of the planes."""
    found: dict[str, Any] = {}
    for kind in ("fp32", "bf16"):
        first = context.part("steps", kind, "+0")
        found[kind] = {"entropy": _entropy(context, first)}
        for later in ("+1", "+10", "+100"):
            found[kind][later] = in_turns(
                entrants.for_ratios(context),
                first,
                context.part("steps", kind, later),
                folder=context.setting.ram,
                rounds=1,
                operations=("save", "save_next") if context.quick else ("save", "save_next", "restore_next"),
            )
    return found


def _entropy(context: Context, folder: Path) -> dict[str, Any]:
    command: list[Word] = [sys.executable, "-m", "benchmarks.entropy", folder]
    found: dict[str, Any] = json.loads(run(command, env=context.setting.environment()).output)
    return found


def durable(context: Context) -> dict[str, Any]:
    """Saves to a disk that have reached it when the command ends."""
    disk = context.setting.disk
    if disk is None:
        return {"skipped": "no folder on a disk was given, and the one for temporary files is in memory"}
    found = in_turns(
        entrants.for_disk(context),
        context.part("fp32", "first"),
        context.part("fp32", "next"),
        folder=disk,
        rounds=context.rounds,
        operations=("save", "save_next"),
    )
    return found | {"in_memory": is_in_memory(disk)}


def lora(context: Context) -> dict[str, Any]:
    """A frozen base with adapters and their moments."""
    return _trees(context, "lora")


def dataset(context: Context) -> dict[str, Any]:
    """Many small files and some large ones; then 2 % of them changed."""
    return _trees(context, "dataset")


def variants(context: Context) -> dict[str, Any]:
    """Models that share a base; then one more, one trained on, one averaged anew."""
    return _trees(context, "variants")


def _trees(context: Context, name: str) -> dict[str, Any]:
    return in_turns(
        entrants.for_trees(context),
        context.part(name, "first"),
        context.part(name, "next"),
        folder=context.setting.ram,
        rounds=1 if context.quick else context.rounds,
        operations=("save", "save_next", "restore_next"),
    )
