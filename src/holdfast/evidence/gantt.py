"""Draws the steps of a run as SVG: a bar each, from its last beginning to its end, and what bounds the RTO."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.clock import from_rfc3339
from holdfast.evidence.markup import Markup, tag
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import MomentKind, StepRow
from holdfast.evidence.timeline_scale import Scale
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration

__all__ = ["gantt_svg"]

_ROW = 34.0
_TOP = 34.0
_AXIS = 30.0
_BOUNDS = (
    (MomentKind.FAULT, "fault"),
    (MomentKind.DETECTED, "detected"),
    (MomentKind.DECIDED, "begun"),
    (MomentKind.EXECUTED, "executed"),
    (MomentKind.VERIFIED, "verified"),
)
_PHASES = {"fence": "detect", "get-compute": "decide", "verify": "verify", "wait-healthy": "verify"}


def gantt_svg(record: Evidence) -> Markup:
    """A figure with title and description; a run without steps gives an empty one."""
    scale = Scale.of(record)
    bottom = _TOP + _ROW * len(record.steps)
    rows = [_row(record, scale, row, _TOP + _ROW * place) for place, row in enumerate(record.steps)]
    return tag(
        "svg",
        tag("title", "Steps of the run", id="gantt-title"),
        tag("desc", _description(record), id="gantt-desc"),
        *rows,
        *_bounds(record, scale, bottom),
        *_axis(scale, bottom),
        class_="timeline gantt",
        role="img",
        aria_labelledby="gantt-title gantt-desc",
        width="100%",
        height=bottom + _AXIS,
    )


def _description(record: Evidence) -> str:
    said = []
    for row in record.steps:
        took = "not measured" if isinstance(row.seconds, NotMeasured) else format_duration(row.seconds)
        said.append(f"{row.title}: {row.state}, {took}.")
    return " ".join(said) or "There are no steps."


def _offset(record: Evidence, utc: str) -> float | None:
    """On the axis of the timeline, which begins where its first moment says."""
    if not utc or not record.timeline:
        return None
    first = record.timeline[0]
    try:
        return (from_rfc3339(utc) - from_rfc3339(first.utc)) / 1e9 + first.offset_seconds
    except (ValueError, OverflowError):
        return None


def _row(record: Evidence, scale: Scale, row: StepRow, top: float) -> Markup:
    begun, ended = _offset(record, row.begun_utc), _offset(record, row.ended_utc)
    took = row.state if isinstance(row.seconds, NotMeasured) else format_duration(row.seconds)
    name = tag("text", f"{row.step} · {took}", x=0, y=top + 12, class_="lane small")
    track = tag("rect", x=0, y=top + 18, width="100%", height=8, class_="ground")
    if begun is None:
        return tag("g", name, track)
    end = scale.end if ended is None else max(ended, begun)
    wide = max(scale.fraction(end) - scale.fraction(begun), 0.003)
    place = min(scale.fraction(begun), 1.0 - wide)
    css = f"phase {_PHASES.get(row.kind, 'execute')}"
    bar = tag("rect", x=f"{place * 100:.3f}%", y=top + 18, width=f"{wide * 100:.3f}%", height=8, class_=css)
    return tag("g", name, track, bar)


def _bounds(record: Evidence, scale: Scale, bottom: float) -> Iterator[Markup]:
    last: float | None = None
    for kind, name in _BOUNDS:
        moment = record.moment(kind)
        if moment is None:
            continue
        x = scale.percent(moment.offset_seconds)
        css = "fault" if kind is MomentKind.FAULT else "tick"
        yield tag("line", x1=x, x2=x, y1=18, y2=bottom, class_=css)
        at = scale.fraction(moment.offset_seconds)
        if last is None or at - last > 0.14:  # a label of eight letters on a phone
            yield tag("text", name, x=x, y=12, class_="small", text_anchor=scale.anchor(moment.offset_seconds))
            last = at


def _axis(scale: Scale, top: float) -> Iterator[Markup]:
    for seconds in scale.ticks():
        x = scale.percent(seconds)
        yield tag("line", x1=x, x2=x, y1=top + 2, y2=top + 8, class_="tick")
        yield tag("text", scale.label(seconds), x=x, y=top + 22, class_="small", text_anchor=scale.anchor(seconds))
