"""When to save: `Interval` asks itself at each step, by what saves cost here and how often training fails."""

from __future__ import annotations

from holdfast.objectives.failure_rates import FailureRate, estimate_rate, given_rate
from holdfast.objectives.intervals import Choice, SaveCost
from holdfast.training.intervals.interval import Interval
from holdfast.training.intervals.told import IntervalNote, note_in

__all__ = ["Interval", "SaveCost", "Choice", "FailureRate", "given_rate", "estimate_rate", "IntervalNote", "note_in"]
