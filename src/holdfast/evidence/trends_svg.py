"""Draws trends as one SVG: for each asset RTO and RPO over time against their targets. No script, nothing from outside.

The height is logarithmic, as targets are hours and rehearsals seconds. Shapes tell states apart, not colour alone: a
disc is MET, a cross is MISSED, a ring is neither (no target, or INVALID). What was not measured is a tick at the foot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from holdfast.clock import to_rfc3339
from holdfast.evidence.markup import Markup, tag
from holdfast.evidence.trends import AssetTrend, Figure, Point, Trends
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration

__all__ = ["trends_svg"]

_WIDTH, _PANEL, _HEAD, _FOOT = 760.0, 96.0, 26.0, 34.0
_LEFT, _RIGHT = 96.0, 16.0
_STYLE = """
svg { background: #fff; color: #18202b; font: 12px system-ui, "Liberation Sans", Arial, sans-serif; }
text { fill: currentColor; } .small { fill: #556070; font-size: 11px; }
.target { stroke: #b3202a; stroke-dasharray: 5 4; } .axis { stroke: #d5dbe2; }
.met { fill: #0b6b3a; stroke: #0b6b3a; } .missed { stroke: #a3161f; stroke-width: 2.5; fill: none; }
.other { fill: none; stroke: #6a4b00; stroke-width: 2; } .gap { stroke: #6a4b00; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  svg { background: #10141a; color: #e7ebf1; } .small { fill: #a3aebc; } .axis { stroke: #343e4b; }
  .met { fill: #7fdca4; stroke: #7fdca4; } .missed, .target { stroke: #ff9d9d; } .other, .gap { stroke: #f0cd73; }
}
"""


def trends_svg(trends: Trends) -> str:
    """A whole document."""
    height = max(len(trends.assets), 1) * (2 * _PANEL + _HEAD) + _FOOT
    drawn: list[Markup] = []
    for place, asset in enumerate(trends.assets):
        drawn += _asset(asset, place * (2 * _PANEL + _HEAD))
    if not trends.assets:
        drawn.append(tag("text", "There is no evidence yet.", x=16, y=40))
    return (
        tag(
            "svg",
            tag("title", "RTO and RPO of runs over time", id="t"),
            tag("desc", _description(trends), id="d"),
            tag("style", Markup(_STYLE)),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:g} {height:g}",
            role="img",
            aria_labelledby="t d",
        )
        + "\n"
    )


def _description(trends: Trends) -> str:
    said = []
    for asset in trends.assets:
        for one in asset.points:
            said.append(
                f"{asset.asset}, {to_rfc3339(one.at)[:10]}, {one.outcome}: RTO {_told(one.rto)} {one.rto_state}, "
                f"RPO {_told(one.rpo)} {one.rpo_state}."
            )
    return " ".join(said[-200:]) or "No runs."


def _told(value: Figure) -> str:
    return str(value) if isinstance(value, NotMeasured) else format_duration(max(value, 0.0))


def _asset(asset: AssetTrend, top: float) -> Iterator[Markup]:
    yield tag("text", asset.asset, x=16, y=top + 18, font_weight="bold")
    rto = [(one, one.rto, one.rto_target, one.rto_state) for one in asset.points]
    rpo = [(one, one.rpo, one.rpo_target, one.rpo_state) for one in asset.points]
    yield from _panel("RTO", rto, top + _HEAD)
    yield from _panel("RPO", rpo, top + _HEAD + _PANEL)


_Row = tuple[Point, Figure, float | None, str]


def _panel(name: str, rows: Sequence[_Row], top: float) -> Iterator[Markup]:
    known = [value for _, value, _, _ in rows if not isinstance(value, NotMeasured) and value > 0]
    known += [target for _, _, target, _ in rows if target is not None and target > 0]
    low, high = min(known, default=1.0) / 1.6, max(known, default=1.0) * 1.6
    foot = top + _PANEL - 16

    def y(value: float) -> float:
        share = math.log(max(value, low) / low) / math.log(high / low)
        return round(foot - min(share, 1.0) * (_PANEL - 30), 2)

    first, last = rows[0][0].at, rows[-1][0].at

    def x(at: int) -> float:
        share = (at - first) / (last - first) if last > first else 0.5
        return round(_LEFT + 12 + share * (_WIDTH - _LEFT - _RIGHT - 24), 2)

    yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=foot, y2=foot, class_="axis")
    yield tag("text", name, x=16, y=top + 14)
    target = rows[-1][2]
    if target is not None and target > 0:
        yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(target), y2=y(target), class_="target")
        yield tag("text", f"≤ {format_duration(target)}", x=16, y=y(target) + 4, class_="small")
    for one, value, _, state in rows:
        words = f"{to_rfc3339(one.at)[:16]}Z {one.scenario} {one.outcome}: {name} {_told(value)} {state}"
        yield tag(
            "g",
            tag("title", words),
            *_mark(x(one.at), None if isinstance(value, NotMeasured) else y(value), state, foot),
        )
    yield tag("text", to_rfc3339(first)[:10], x=_LEFT, y=foot + 13, class_="small")
    if last > first:
        yield tag("text", to_rfc3339(last)[:10], x=_WIDTH - _RIGHT, y=foot + 13, class_="small", text_anchor="end")


def _mark(x: float, y: float | None, state: str, foot: float) -> Iterator[Markup]:
    if y is None:
        yield tag("line", x1=x, x2=x, y1=foot - 7, y2=foot, class_="gap")
    elif state == "MET":
        yield tag("circle", cx=x, cy=y, r=4.5, class_="met")
    elif state == "MISSED":
        yield tag("path", d=f"M{x - 5:g} {y - 5:g}l10 10m0 -10l-10 10", class_="missed")
    else:
        yield tag("circle", cx=x, cy=y, r=4.5, class_="other")
