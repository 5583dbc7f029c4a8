"""Numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["number", "spread"]


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits, four just above 1; a dash for what was not measured."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{4 if 1 < value < 1.1 else 3}g}"
    return f"{text} {unit}".strip()


def spread(values: Sequence[float]) -> str:
    """The median, and the least and the most: `420 (390–431)`."""
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"
