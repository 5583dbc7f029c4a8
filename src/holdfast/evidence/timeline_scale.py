"""From seconds to places on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.evidence.record import Evidence
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration

__all__ = ["Scale", "spread"]

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
_TICKS_MAX = 6  # as many as a phone has room for
_LABEL_GAP = 0.075  # of the width: three digits on a phone


class Scale(NamedTuple):
    """Seconds from the start of the drill, 0 to `end`, on the width of the drawing."""

    end: float

    @classmethod
    def of(cls, record: Evidence) -> Scale:
        """Wide enough for everything that the record dates."""
        times = [moment.offset_seconds for moment in record.timeline]
        times += [row.content_offset_seconds for row in record.snapshots]
        times += [
            arrival.offset_seconds
            for row in record.snapshots
            for arrival in row.arrivals
            if not isinstance(arrival.offset_seconds, NotMeasured)
        ]
        return cls(max(times, default=0.0) or 1.0)

    def fraction(self, seconds: float) -> float:
        """Place in the drawing, 0 to 1; what lies outside is drawn at the edge."""
        return min(max(seconds / self.end, 0.0), 1.0)

    def percent(self, seconds: float) -> str:
        """The same as an SVG coordinate."""
        return f"{self.fraction(seconds) * 100:.3f}%"

    def width(self, start: float, end: float) -> str:
        """Distance as an SVG length."""
        return f"{max(self.fraction(end) - self.fraction(start), 0.0) * 100:.3f}%"

    def anchor(self, seconds: float) -> str:
        """Which end of a label stands at that place, so that the label stays inside."""
        fraction = self.fraction(seconds)
        return "start" if fraction < 0.13 else "end" if fraction > 0.87 else "middle"

    def ticks(self) -> list[float]:
        """Round seconds, at most `_TICKS_MAX` + 1 of them, from 0."""
        step = next((step for step in _STEPS if self.end / step <= _TICKS_MAX), self.end / _TICKS_MAX)
        return [index * step for index in range(int(self.end / step) + 1)]

    def label(self, seconds: float) -> str:
        """`12 s`, `2 min 00 s`."""
        if seconds < 60:
            return f"{seconds:g} s" if seconds == round(seconds) else f"{seconds:.1f} s"
        return format_duration(seconds)


def spread(labels: Sequence[tuple[float, bool, str]]) -> list[tuple[float, bool, str]]:
    """Those (place, is important, text) that can stand side by side: the important ones first, then from the right."""
    chosen: list[tuple[float, bool, str]] = []
    for label in sorted(labels, key=lambda item: (not item[1], -item[0])):
        if all(abs(label[0] - other[0]) >= _LABEL_GAP for other in chosen):
            chosen.append(label)
    return sorted(chosen)
