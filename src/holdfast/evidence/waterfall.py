"""The recovery, part by part: a bar for each, where it lies between the fault and the proof."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.evidence.markup import Markup, tag
from holdfast.evidence.page_parts import badge, duration
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import MomentKind
from holdfast.objectives import NotMeasured

__all__ = ["waterfall"]

_ENDS = {
    "detect": MomentKind.DETECTED,
    "decide": MomentKind.DECIDED,
    "execute": MomentKind.EXECUTED,
    "verify": MomentKind.VERIFIED,
}


def waterfall(record: Evidence) -> Markup:
    """An ordered list. A part that was not measured says so, and has no bar."""
    return tag("ol", *_parts(record), class_="waterfall")


def _parts(record: Evidence) -> Iterator[Markup]:
    parts = record.results.measured.split.parts()
    total = sum(max(value, 0.0) for _, value in parts if not isinstance(value, NotMeasured)) or 1.0
    before = 0.0
    for name, value in parts:
        moment = record.moment(_ENDS[name])
        bar, told = _bar(0.0, 0.0, name), badge(str(value))
        if not isinstance(value, NotMeasured):
            told = tag("strong", duration(value))
            bar = _bar(before / total, max(value, 0.0) / total, name)
            before += max(value, 0.0)
        heading = tag("p", tag("span", name.capitalize(), class_="name"), " ", told)
        text = tag("p", moment.text if moment else "This point was not reached.", class_="muted")
        yield tag("li", heading, bar, text)


def _bar(start: float, width: float, name: str) -> Markup:
    ground = tag("rect", x=0, y=0, width="100%", height=12, class_="ground")
    part = tag("rect", x=f"{start * 100:.2f}%", y=0, width=f"{width * 100:.2f}%", height=12, class_=f"phase {name}")
    return tag("svg", ground, part, width="100%", height=12, aria_hidden="true")
