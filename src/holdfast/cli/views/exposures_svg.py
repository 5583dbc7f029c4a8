"""The chart of exposure as one SVG file: it needs nothing else, and is light or dark as its reader is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from holdfast.cli.phrases import printable
from holdfast.cli.schemas.exposures import AssetExposure, SiteExposure
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

__all__ = ["exposure_svg"]

_WIDTH, _LEFT, _RIGHT = 840.0, 70.0, 20.0
_TOP, _PLOT, _BELOW = 46.0, 150.0, 40.0
_HEIGHT = _TOP + _PLOT + _BELOW
_BINS = 720  # columns: about one for each pixel
_STYLE = """
svg { color-scheme: light dark; font: 12px system-ui, sans-serif; background: var(--paper);
  --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --fill: #b6d7f5; --stroke: #0860b4;
  --bad: #d1242f; --shade: #ffe3e1; --unread: #9a6700 }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #30363d;
  --fill: #143a5e; --stroke: #58a6ff; --bad: #ff7b72; --shade: #4a1d1f; --unread: #d9a72a } }
.paper { fill: var(--paper) } .name { fill: var(--ink); font-weight: 600; font-size: 14px }
text { fill: var(--soft) } .grid { stroke: var(--line) } .area { fill: var(--fill) }
.curve { fill: none; stroke: var(--stroke); stroke-width: 1.5; stroke-linejoin: round } .dot { fill: var(--stroke) }
.unread { fill: none; stroke: var(--unread); stroke-width: 1.5; stroke-dasharray: 3 2 }
.unread-dot { fill: var(--unread) } .owed { stroke: var(--bad); stroke-dasharray: 6 4; stroke-width: 1.5 }
.owed-name { fill: var(--bad); paint-order: stroke; stroke: var(--paper); stroke-width: 4px }
.missed { fill: var(--shade) } .lost { fill: var(--bad); opacity: .45 }
"""


def exposure_svg(record: SiteExposure) -> str:
    """All assets below each other."""
    span = span_of(record.assets, record.since, record.until)
    height = _HEIGHT * max(1, len(record.assets))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img">',
        "<title>Exposure</title>",
        f"<desc>{_text(_said(record))}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH:.0f}" height="{height:.0f}"/>',
    ]
    for number, one in enumerate(record.assets):
        parts.append(f'<g transform="translate(0 {number * _HEIGHT:.0f})">')
        parts += _chart(one, span)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _said(record: SiteExposure) -> str:
    """In words, for who does not see it."""
    told = []
    for one in record.assets:
        if one.worst is None:
            told.append(f"{one.asset}: nothing was recorded.")
        else:
            worst = "everything" if one.worst.seconds is None else format_duration(one.worst.seconds)
            told.append(
                f"{one.asset}: at worst {worst} would have been lost, with {one.worst.site}, at {one.worst.at}; "
                f"more than owed for {format_duration(one.missed_seconds)}."
            )
    return " ".join(told)


def _chart(one: AssetExposure, span: Span) -> Iterator[str]:
    lost = f"lost with {one.site}" if one.site else "lost with the worst site"
    yield f'<text class="name" x="{_LEFT}" y="20">{_text(one.asset)}</text>'
    legend = "; dashed: it had not been read back" if any(not point.measured for point in one.points) else ""
    legend += "; red: nothing would have survived" if any(point.seconds is None for point in one.points) else ""
    yield f'<text x="{_LEFT}" y="36">age of what would survive, {_text(lost)}{legend}</text>'
    ceiling = ceiling_of(one)
    bins = bins_of(one, span, _BINS)
    yield from _stretches(bins, "missed")
    for tick in duration_ticks(ceiling, 5):
        y = _y(tick, ceiling)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick_duration(tick)}</text>'
    for at, text in time_ticks(span, 6):
        x = _LEFT + span.share(at) * (_WIDTH - _LEFT - _RIGHT)
        bottom = _TOP + _PLOT
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        edge = x > _WIDTH - _RIGHT - 4 * len(text)  # the last one would be cut off
        yield f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="{"end" if edge else "middle"}">{text}</text>'
    yield from _curve(bins, ceiling)
    yield from _stretches(bins, "lost")
    if one.rpo:
        y = _y(one.rpo, ceiling)
        yield f'<line class="owed" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        owed = f"owed: {tick_duration(one.rpo)}"
        yield f'<text class="owed-name" x="{_WIDTH - _RIGHT}" y="{y - 5:.1f}" text-anchor="end">{owed}</text>'
    if not one.points:
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        yield f'<text x="{middle}" y="{_TOP + _PLOT / 2}" text-anchor="middle">nothing was recorded</text>'


def _stretches(bins: Sequence[Bin | None], what: str) -> Iterator[str]:
    """Columns next to each other in which that was so, as one rectangle; it lasts until the next point."""
    was = False
    flags = []
    for each in bins:
        was = was if each is None else bool(getattr(each, what))
        flags.append(was)
    last = max((number for number, each in enumerate(bins) if each is not None), default=-1)
    for held, group in groupby(enumerate(flags[: last + 1]), key=lambda one: one[1]):
        numbers = [number for number, _ in group]
        if held:
            x, end = _x(numbers[0]), _x(min(numbers[-1] + 1, last + 1))
            yield f'<rect class="{what}" x="{x:.1f}" y="{_TOP}" width="{max(1.5, end - x):.1f}" height="{_PLOT}"/>'


def _curve(bins: Sequence[Bin | None], ceiling: float) -> Iterator[str]:
    """The line, broken where all would have been lost, and of another kind where nothing had been read back."""
    drawn = [(number, each) for number, each in enumerate(bins) if each is not None]
    for kind, group in groupby(drawn, key=lambda one: (one[1].lost, one[1].measured)):
        lost, measured = kind
        stretch = list(group)
        if lost:
            continue
        points = [point for number, each in stretch for point in _points(number, each, ceiling)]
        name = "curve" if measured else "unread"
        if len(points) == 1:
            x, y = points[0]
            yield f'<circle class="{"dot" if measured else "unread-dot"}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            continue
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if measured:
            bottom = _TOP + _PLOT
            yield f'<polygon class="area" points="{points[0][0]:.1f},{bottom} {line} {points[-1][0]:.1f},{bottom}"/>'
        yield f'<polyline class="{name}" points="{line}"/>'


def _points(number: int, each: Bin, ceiling: float) -> list[tuple[float, float]]:
    """Where the line goes within a column: no peak and no trough of it is lost."""
    x = (_x(number) + _x(number + 1)) / 2
    values = [each.first, each.high, each.low, each.last]
    return [(x, _y(value, ceiling)) for value, _ in groupby(values)]


def _x(column: int) -> float:
    return _LEFT + column / _BINS * (_WIDTH - _LEFT - _RIGHT)


def _y(seconds: float, ceiling: float) -> float:
    return _TOP + _PLOT * (1 - seconds / ceiling)


def _text(text: str) -> str:
    return escape(printable(text))
