"""Where the lines of drawings go: figures in, coordinates out, for SVG in templates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from holdfast.clock import NANOSECONDS, from_rfc3339
from holdfast.web.pages.layout import Graph, graph_of
from holdfast.web.pages.words import duration, number, size

if TYPE_CHECKING:
    from holdfast.control.service.reading.shapes import Curve

__all__ = ["Bar", "Chart", "Graph", "Label", "Mark", "chart", "graph_of", "marks", "parts"]


class Label(NamedTuple):
    """Text at a place."""

    x: float
    y: float
    text: str


class Mark(NamedTuple):
    """A dot; `over`: above the limit."""

    x: float
    y: float
    over: bool
    title: str


class Chart(NamedTuple):
    """`lines`: stretches of measured points, as `points` of polylines; `areas` below them. `limit`: height of the line
    that is not to be crossed, None where it is out of sight. `said`: the same in words.
    """

    width: float
    height: float
    lines: list[str]
    areas: list[str]
    dots: list[Mark]
    limit: float | None
    across: list[Label]
    along: list[Label]
    said: str


class Bar(NamedTuple):
    """A piece of a bar: from `x`, so wide, of 100."""

    x: float
    width: float
    css: str
    title: str


def chart(curve: Curve, width: float, height: float, *, axes: bool = False, most: int = 400) -> Chart:
    """Time along, value up, from nothing. Without any point that was measured nothing is drawn, and that is said.

    What is no number, or has no end, has no place: it is drawn as what was not measured.
    """
    dots = [(from_rfc3339(dot.at), _drawable(dot.value), dot.at) for dot in curve.dots[-most:]]
    known = [value for _, value, _ in dots if value is not None]
    if not known:
        return Chart(width, height, [], [], [], None, [], [], f"{curve.name}: not measured")
    left, below, above = (62.0, 20.0, 8.0) if axes else (2.0, 2.0, 3.0)
    highest = max(known)
    shown = max(highest, min(curve.limit, 1.6 * highest)) if curve.limit and highest else highest
    top = (shown or 1.0) * 1.06
    first, last = dots[0][0], dots[-1][0]
    wide, tall = width - left - (8.0 if axes else 4.0), height - below - above

    def x(at: int) -> float:
        return round(left + (wide * (at - first) / (last - first) if last > first else wide), 1)

    def y(value: float) -> float:
        return round(above + tall * (1 - value / top), 1)

    limit = y(curve.limit) if curve.limit is not None and curve.limit <= top else None
    stretches = _stretches([(x(at), None if value is None else y(value)) for at, value, _ in dots])
    marks_ = [
        Mark(
            x(at),
            y(value),
            curve.limit is not None and value > curve.limit,
            f"{clock[:16].replace('T', ' ')}: {_said(value, curve.unit)}",
        )
        for at, value, clock in dots
        if value is not None
    ]
    floor = y(0)
    return Chart(
        width,
        height,
        [" ".join(f"{a},{b}" for a, b in one) for one in stretches],
        [
            f"{one[0][0]},{floor} " + " ".join(f"{a},{b}" for a, b in one) + f" {one[-1][0]},{floor}"
            for one in stretches
        ],
        marks_ if axes else marks_[-1:],
        limit,
        [Label(left - 8, y(value), _said(value, curve.unit)) for value in (0.0, top / 2.12, top / 1.06)]
        if axes
        else [],
        _times(dots, x, height) if axes else [],
        _words(curve, known),
    )


def _times(dots: Sequence[tuple[int, float | None, str]], x: object, height: float) -> list[Label]:
    assert callable(x)
    ends = [dots[0], dots[len(dots) // 2], dots[-1]] if len(dots) > 2 else [dots[0], dots[-1]]
    same_day = ends[0][2][:10] == ends[-1][2][:10]
    short = ends[-1][0] - ends[0][0] < 600 * NANOSECONDS
    shown = slice(11, 19 if short else 16) if same_day else slice(5, 16)
    return [Label(x(at), height - 4, clock[shown].replace("T", " ")) for at, _, clock in ends]


def _drawable(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _stretches(points: Iterable[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Unbroken ones: what was not measured is no line."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [one if len(one) > 1 else [(one[0][0] - 1, one[0][1]), one[0]] for one in found if one]


def _said(value: float, unit: str) -> str:
    if unit == "seconds":
        return duration(value) if value else "0 s"
    return size(value) if unit == "bytes" else number(value)


def _words(curve: Curve, known: Sequence[float]) -> str:
    words = f"{curve.name}: now {_said(known[-1], curve.unit)}, between {_said(min(known), curve.unit)}"
    words += f" and {_said(max(known), curve.unit)}"
    if curve.limit is not None:
        over = sum(value > curve.limit for value in known)
        words += f"; above {_said(curve.limit, curve.unit)} in {over} of {len(known)}"
    missing = len(curve.dots) - len(known)
    return words + (f"; {missing} not measured" if missing else "")


def parts(values: Iterable[tuple[str, float, str]]) -> list[Bar]:
    """(name, value, class) → pieces of one bar of 100. Of nothing: none."""
    found = [(name, max(0.0, value), css) for name, value, css in values]
    total = sum(value for _, value, _ in found)
    if total <= 0:
        return []
    bars, at = [], 0.0
    for name, value, css in found:
        wide = 100 * value / total
        bars.append(Bar(round(at, 2), round(wide, 2), css, name))
        at += wide
    return bars


def marks(times: Sequence[str | None], width: float) -> list[float | None]:
    """Places along a line from the first to the last of these times."""
    known = [from_rfc3339(one) for one in times if one]
    if not known:
        return [None for _ in times]
    first, last = min(known), max(known)
    wide = width - 24
    return [
        None
        if not one
        else round(12 + (wide * (from_rfc3339(one) - first) / (last - first) if last > first else wide), 1)
        for one in times
    ]
