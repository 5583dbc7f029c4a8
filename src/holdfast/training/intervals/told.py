"""What a snapshot says about the interval at which it was saved: one entry of its metadata, which others may read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from holdfast.objectives.failure_rates import FailureRate
from holdfast.objectives.intervals import Decider, SaveCost

__all__ = ["IntervalNote", "META_NAME", "note_text", "note_in"]

META_NAME = "interval"
_LONGEST = 8192


class IntervalNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As of the moment of the save: the interval in `seconds`, and which bound decided it.

    `cost` is None before any save was measured, `measured_saves` how many were. `rate` is None where nobody gave or
    estimated one; `step_seconds`: how long a step takes.
    """

    version: int = 1
    seconds: float
    decided_by: Decider
    cost: SaveCost | None = None
    measured_saves: int = 0
    rate: FailureRate | None = None
    rpo_seconds: float | None = None
    step_seconds: float | None = None


def note_text(note: IntervalNote) -> str:
    """As JSON in one line."""
    return msgspec.json.encode(note).decode()


def note_in(metadata: Mapping[str, str]) -> IntervalNote | None:
    """What a snapshot's metadata say; None where they say nothing that can be read: anybody may have written them."""
    text = metadata.get(META_NAME, "")
    if not text or len(text) > _LONGEST:
        return None
    try:
        note = msgspec.json.decode(text.encode("utf-8", "replace"), type=IntervalNote)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return note if note.version == 1 and _possible(note) else None


def _possible(note: IntervalNote) -> bool:
    figures = [note.seconds, note.measured_saves]
    figures += [one for one in (note.rpo_seconds, note.step_seconds) if one is not None]
    if note.cost is not None:
        figures += [note.cost.stopped_seconds, note.cost.slowed_seconds, note.cost.durable_seconds]
    if note.rate is not None:
        if not note.rate.per_second > 0 or math.isinf(1 / note.rate.per_second):
            return False
        parts = (note.rate.low, note.rate.high, note.rate.confidence, note.rate.failures, note.rate.observed_seconds)
        figures += [note.rate.per_second, *(one for one in parts if one is not None)]
    return all(0 <= figure < math.inf for figure in figures)
