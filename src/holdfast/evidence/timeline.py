"""Draws the timeline of a drill as SVG: positions in percent, heights and text in pixels, so that it fits a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.evidence.markup import Markup, join, tag
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Arrival, ArrivalState, MomentKind, SnapshotRow
from holdfast.evidence.timeline_scale import Scale, spread
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration

__all__ = ["timeline_svg"]

_ROW = 52.0  # height of a lane: a line of text, a track, the labels of its dots
_TOP = 30.0
_TRACK = 26.0  # from the top of a lane to its track
_BRACKETS = 52.0
_AXIS = 26.0


def timeline_svg(record: Evidence) -> Markup:
    """The whole drill: training, what each site held, the fault, and what was lost and needed. Figure with caption."""
    scale = Scale.of(record)
    sites = [site.name for site in record.scope.sites]
    lanes_end = _TOP + _ROW * (1 + len(sites))
    height = lanes_end + _BRACKETS + _AXIS
    drawn = [
        _loss_band(record, scale, lanes_end),
        _training(record, scale),
        *(_site_track(record, scale, name, _TOP + _ROW * (1 + index)) for index, name in enumerate(sites)),
        _fault_line(record, scale, lanes_end),
        _lane_name("Training", _TOP),
        *(_site_lane(record, scale, name, _TOP + _ROW * (1 + index)) for index, name in enumerate(sites)),
        _brackets(record, scale, lanes_end),
        _axis(scale, lanes_end + _BRACKETS),
    ]
    title, description = "Timeline of the drill", _description(record)
    return tag(
        "svg",
        tag("title", title, id="timeline-title"),
        tag("desc", description, id="timeline-desc"),
        *drawn,
        class_="timeline",
        role="img",
        aria_labelledby="timeline-title timeline-desc",
        width="100%",
        height=height,
    )


def _description(record: Evidence) -> str:
    sentences = [f"Seconds from the start of the drill. Site {record.scenario.fault_site} is lost"]
    fault = record.moment(MomentKind.FAULT)
    sentences[0] += f" at {fault.offset_seconds:.1f} s." if fault else ", when was not recorded."
    for name, value in record.results.measured.split.parts():
        told = "not measured" if isinstance(value, NotMeasured) else format_duration(value)
        sentences.append(f"{name.capitalize()}: {told}.")
    for row in record.snapshots:
        holders = [arrival.site for arrival in row.arrivals if _is_complete(arrival)]
        where = f"on site {', '.join(holders)}" if holders else "on no site"
        sentences.append(f"Snapshot of step {_step(row)} at {row.content_offset_seconds:.1f} s, complete {where}.")
    return " ".join(sentences)


def _training(record: Evidence, scale: Scale) -> Markup:
    fault, resumed = _offset(record, MomentKind.FAULT), _offset(record, MomentKind.EXECUTED)
    finished = _offset(record, MomentKind.FINISHED)
    end = scale.end if finished is None else finished
    bars = [_bar(scale, 0.0, end if fault is None else fault, "run"), *_phases(record, scale)]
    if resumed is not None:
        bars.append(_bar(scale, resumed, end, "run"))
    middle = _TOP + _TRACK
    ticks = [_line(scale, at, middle - 9, middle + 9, "checkpoint") for at in _checkpoints(record)]
    return tag("g", *bars, *ticks)


def _phases(record: Evidence, scale: Scale) -> Iterable[Markup]:
    """The parts of the recovery up to the moment when training runs again."""
    kinds = (MomentKind.FAULT, MomentKind.DETECTED, MomentKind.DECIDED, MomentKind.EXECUTED)
    names = ("detect", "decide", "execute")
    for name, first, last in zip(names, kinds[:-1], kinds[1:], strict=True):
        start, end = _offset(record, first), _offset(record, last)
        if start is not None and end is not None:
            yield _bar(scale, start, end, f"phase {name}")


def _checkpoints(record: Evidence) -> list[float]:
    seen = [moment.offset_seconds for moment in record.timeline if moment.kind is MomentKind.CHECKPOINT]
    return seen or [row.content_offset_seconds for row in record.snapshots]


def _site_track(record: Evidence, scale: Scale, site: str, top: float) -> Markup:
    fault = _offset(record, MomentKind.FAULT)
    end = scale.end if fault is None or site != record.scenario.fault_site else fault
    return _line_across(scale, 0.0, end, top + _TRACK, "track")


def _site_lane(record: Evidence, scale: Scale, site: str, top: float) -> Markup:
    lost, used = site == record.scenario.fault_site, site == record.results.recovery_site
    name = f"Site {site}" + (" (lost)" if lost else " (recovered here)" if used else "")
    held = [(row, arrival) for row in record.snapshots for arrival in row.arrivals if arrival.site == site]
    seen = [(row, arrival) for row, arrival in held if not isinstance(arrival.offset_seconds, NotMeasured)]
    dots = [dot for row, arrival in seen for dot in _dot(record, scale, row, arrival, top + _TRACK)]
    labels = _dot_labels(record, scale, seen, top + _TRACK + 20)
    return tag("g", _lane_name(name, top), *dots, *labels)


def _dot(record: Evidence, scale: Scale, row: SnapshotRow, arrival: Arrival, y: float) -> Iterable[Markup]:
    if isinstance(arrival.offset_seconds, NotMeasured):
        return
    x = scale.percent(arrival.offset_seconds)
    if row.snapshot_id == record.results.recovery_point and arrival.site == record.results.recovery_site:
        yield tag("circle", cx=x, cy=y, r=9, class_="ring")
    yield tag("circle", cx=x, cy=y, r=5, class_="dot" if _is_complete(arrival) else "dot partial")


def _dot_labels(
    record: Evidence, scale: Scale, seen: Sequence[tuple[SnapshotRow, Arrival]], y: float
) -> Iterable[Markup]:
    used = record.results.recovery_point
    wanted = [
        (scale.fraction(arrival.offset_seconds), row.snapshot_id == used, _step(row))
        for row, arrival in seen
        if not isinstance(arrival.offset_seconds, NotMeasured)
    ]
    for fraction, _, label in spread(wanted):
        yield _text(f"{fraction * 100:.3f}%", y, label, "small", anchor="middle")


def _loss_band(record: Evidence, scale: Scale, bottom: float) -> Markup:
    content, fault = _content_offset(record), _offset(record, MomentKind.FAULT)
    if content is None or fault is None:
        return join()
    return tag(
        "rect",
        x=scale.percent(content),
        width=scale.width(content, fault),
        y=_TOP,
        height=bottom - _TOP,
        class_="loss",
    )


def _fault_line(record: Evidence, scale: Scale, bottom: float) -> Markup:
    fault = _offset(record, MomentKind.FAULT)
    if fault is None:
        return join()
    label = f"site {record.scenario.fault_site} lost"
    return join(
        _line(scale, fault, _TOP - 6, bottom, "fault"),
        _text(scale.percent(fault), _TOP - 12, label, "fault-name", anchor=scale.anchor(fault)),
    )


def _brackets(record: Evidence, scale: Scale, top: float) -> Markup:
    content, fault = _content_offset(record), _offset(record, MomentKind.FAULT)
    good = _offset(record, MomentKind.VERIFIED)
    verdict = record.results.verdict
    drawn = []
    if fault is not None and content is not None and not isinstance(verdict.rpo.measured, NotMeasured):
        label = f"RPO {format_duration(verdict.rpo.measured)}"
        drawn.append(_bracket(scale, (content, fault), top + 18, label, "rpo"))
    if fault is not None and good is not None and not isinstance(verdict.rto.measured, NotMeasured):
        label = f"RTO {format_duration(verdict.rto.measured)}"
        drawn.append(_bracket(scale, (fault, good), top + 42, label, "rto"))
    return tag("g", *drawn)


def _bracket(scale: Scale, span: tuple[float, float], y: float, label: str, class_: str) -> Markup:
    start, end = span
    to_the_left = scale.fraction(start) > 0.5
    anchor = "end" if to_the_left else "start"
    # the label stands beside the bracket, on the side where there is more room
    shift = -10 if to_the_left else 10
    at = scale.percent(start if to_the_left else end)
    return tag(
        "g",
        _line_across(scale, start, end, y, "reach"),
        _line(scale, start, y - 5, y + 5, "reach"),
        _line(scale, end, y - 5, y + 5, "reach"),
        tag("text", label, x=at, y=y + 4, dx=shift, text_anchor=anchor, class_="figure"),
        class_=class_,
    )


def _axis(scale: Scale, top: float) -> Markup:
    ticks = [
        join(
            _line(scale, seconds, top, top + 5, "tick"),
            _text(scale.percent(seconds), top + 19, scale.label(seconds), "small", anchor=scale.anchor(seconds)),
        )
        for seconds in scale.ticks()
    ]
    return tag("g", _line_across(scale, 0.0, scale.end, top, "tick"), *ticks)


def _lane_name(name: str, top: float) -> Markup:
    return _text("0", top + 12, name, "lane", anchor="start")


def _text(x: str, y: float, text: str, class_: str, *, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def _bar(scale: Scale, start: float, end: float, class_: str) -> Markup:
    width = scale.width(start, end)
    return tag("rect", x=scale.percent(start), width=width, y=_TOP + _TRACK - 5, height=10, class_=class_)


def _line(scale: Scale, at: float, y1: float, y2: float, class_: str) -> Markup:
    x = scale.percent(at)
    return tag("line", x1=x, x2=x, y1=y1, y2=y2, class_=class_)


def _line_across(scale: Scale, start: float, end: float, y: float, class_: str) -> Markup:
    return tag("line", x1=scale.percent(start), x2=scale.percent(end), y1=y, y2=y, class_=class_)


def _offset(record: Evidence, kind: MomentKind) -> float | None:
    moment = record.moment(kind)
    return None if moment is None else moment.offset_seconds


def _content_offset(record: Evidence) -> float | None:
    row = record.recovery_snapshot()
    return None if row is None else row.content_offset_seconds


def _is_complete(arrival: Arrival) -> bool:
    return arrival.state in (ArrivalState.COMPLETE, ArrivalState.VERIFIED)


def _step(row: SnapshotRow) -> str:
    return "?" if isinstance(row.step, NotMeasured) else str(row.step)
