"""A chart of exposure on a terminal: one column for each stretch of time, its worst moment as the height."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, printable
from holdfast.cli.schemas.exposures import AssetExposure, SiteExposure
from holdfast.cli.views.layout import folded
from holdfast.cli.views.scales import (
    Bin,
    Span,
    bins_of,
    ceiling_of,
    duration_ticks,
    span_of,
    tick_duration,
    time_ticks,
)
from holdfast.units import format_duration

__all__ = ["ASCII", "BLOCKS", "Ink", "site_exposure_lines"]

_ROWS = 8
_LABEL = 8  # characters for the axis of durations
_WIDEST = 120


class Ink(NamedTuple):
    """`steps`: a cell from nearly empty to full. `unread`: content that nobody had read back. `all`: nothing would have
    survived. `owed`: the line of the objective. `low`, `corner`, `tick`: of the axes.
    """

    steps: str
    unread: str
    all: str
    owed: str
    low: str
    corner: str
    tick: str


BLOCKS = Ink("▁▂▃▄▅▆▇█", "░", "▓", "┄", "─", "└", "┬")
ASCII = Ink(".:##", ":", "!", "-", "-", "+", "+")


def site_exposure_lines(record: SiteExposure, page: Page, *, ink: Ink = BLOCKS) -> Iterator[str]:
    span = span_of(record.assets, record.since, record.until)
    for number, one in enumerate(record.assets):
        if number:
            yield ""
        yield from folded([_title(one, page)], page.width)
        if not one.points:
            yield "  nothing was recorded: `holdfast site sync` writes it, round after round"
            continue
        yield from _chart(one, span, min(page.width, _WIDEST) - _LABEL - 2, ink)
    shown = [one for one in record.assets if one.points]
    if any(not point.measured for one in shown for point in one.points):
        yield f"{ink.unread} arrived, and not read back there: NOT MEASURED"
    if any(point.seconds is None for one in shown for point in one.points):
        yield f"{ink.all} nothing would have survived"


def _title(one: AssetExposure, page: Page) -> str:
    lost = f"lost with {one.site}" if one.site else "lost with the worst site"
    owed = "" if one.rpo is None else f", owed {tick_duration(one.rpo)}"
    said = f"{printable(one.asset)}: {lost}{owed}"
    if one.worst is None:
        return said
    worst = "ALL" if one.worst.seconds is None else format_duration(one.worst.seconds)
    said += f"; worst {worst}, with {one.worst.site}, {age(one.worst.at, page.now_ns)}"
    missed = f"; more than owed for {format_duration(one.missed_seconds)}" if one.missed_seconds else ""
    return f"{said}{missed}; {count(len(one.points), 'point')}"


def _chart(one: AssetExposure, span: Span, width: int, ink: Ink) -> Iterator[str]:
    ceiling = ceiling_of(one)
    bins = bins_of(one, span, width)
    labels = {int(tick / ceiling * _ROWS): tick_duration(tick) for tick in duration_ticks(ceiling, 4)}
    owed = None if not one.rpo else int(one.rpo / ceiling * _ROWS)
    for row in range(_ROWS - 1, -1, -1):
        cells = (_cell(each, row, ceiling, ink) for each in bins)
        line = "".join(cell if cell != " " or row != owed else ink.owed for cell in cells)
        label = "owed" if row == owed else labels.get(row, "")
        yield f"{label:>{_LABEL}} {line}".rstrip()
    yield from _axis(span, width, ink)


def _cell(each: Bin | None, row: int, ceiling: float, ink: Ink) -> str:
    """What stands in one row of one column."""
    if each is None:
        return " "
    if each.lost:
        return ink.all
    height = max(each.high / ceiling * _ROWS, 1 / len(ink.steps))
    filled = height - row
    if filled <= 0:
        return " "
    if not each.measured:
        return ink.unread
    return ink.steps[min(len(ink.steps) - 1, int(filled * len(ink.steps) - 1e-9))]


def _axis(span: Span, width: int, ink: Ink) -> Iterator[str]:
    line, labels = [ink.low] * width, [" "] * width
    free = 0
    for at, text in time_ticks(span, max(1, width // 16)):
        column = min(width - 1, int(span.share(at) * width))
        start = min(max(0, column - len(text) // 2), width - len(text))
        if start < free:
            continue
        line[column] = ink.tick
        labels[start : start + len(text)] = text
        free = start + len(text) + 2
    yield f"{'':>{_LABEL}} {''.join(line)}"
    yield f"{'UTC':>{_LABEL}} {''.join(labels)}".rstrip()
