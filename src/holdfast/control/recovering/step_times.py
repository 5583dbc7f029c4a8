"""How long steps took, by journals, and what is to be expected of that. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from holdfast.clock import NANOSECONDS
from holdfast.recovery.estimates import UNKNOWN, Estimate, Source
from holdfast.recovery.journal.entries import Deed, Entry

__all__ = ["step_seconds", "usual"]


def step_seconds(entries: Iterable[Entry]) -> dict[str, float]:
    """Step → seconds from its last beginning until it was done, by the clock of the control plane that wrote both."""
    begun: dict[str, Entry] = {}
    found: dict[str, float] = {}
    for entry in entries:
        if entry.deed is Deed.BEGUN:
            begun[entry.step] = entry
        elif entry.deed is Deed.DONE and (before := begun.get(entry.step)) is not None and before.by == entry.by:
            found[entry.step] = max(0.0, (entry.at - before.at) / NANOSECONDS)
    return found


def usual(seconds: Sequence[float], what: str) -> Estimate:
    """The median, and as its error the distance of the one that is farthest from it; UNKNOWN of none."""
    if not seconds:
        return UNKNOWN
    middle = statistics.median(seconds)
    times = "once" if len(seconds) == 1 else f"{len(seconds)} times"
    error = max(abs(one - middle) for one in seconds)
    return Estimate(seconds=middle, error=error, source=Source.MEASURED, why=f"{what} {times} in past runs")
