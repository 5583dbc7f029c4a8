"""The pieces that the evidence page is made of."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.drills.markup import Child, Markup, tag
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration

__all__ = ["section", "badge", "duration", "number", "facts", "bullets", "table", "code"]

_SIGNS = {"MET": "✓", "PASSED": "✓", "MISSED": "✕", "FAILED": "✕", "NOT_MEASURED": "?", "INVALID": "!"}


def section(title: str, *children: Child) -> Markup:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *children)


def badge(state: str) -> Markup:
    """A state as a word with a sign: colour alone tells nothing."""
    sign = _SIGNS.get(state, "·")
    return tag("span", tag("span", sign, aria_hidden="true"), f" {state}", class_=f"badge {_css(state)}")


def duration(seconds: float | NotMeasured) -> str:
    """`4.2 s`, or NOT_MEASURED."""
    if isinstance(seconds, NotMeasured):
        return str(seconds)
    return f"-{format_duration(-seconds)}" if seconds < 0 else format_duration(seconds)


def number(value: float | NotMeasured, unit: str = "") -> str:
    """`12`, `99.5 %`, or NOT_MEASURED."""
    if isinstance(value, NotMeasured):
        return str(value)
    return f"{value:,.10g} {unit}".rstrip()


def code(text: str) -> Markup:
    """A digest, id or path: breaks anywhere rather than widen the page."""
    return tag("code", text)


def facts(rows: Sequence[tuple[str, Child]]) -> Markup:
    """Terms and what they are."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in rows), class_="facts")


def bullets(items: Sequence[Child], none: str) -> Markup:
    """A list, or a sentence when it is empty."""
    return tag("ul", *(tag("li", item) for item in items)) if items else tag("p", none, class_="muted")


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[Child]], *, classes: Sequence[str] = ()
) -> Markup:
    """A table whose first column heads its rows. It scrolls by itself where the page is too narrow for it.

    `classes`, one per row: CSS classes.
    """
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    marks = list(classes) or [""] * len(rows)
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]), class_=mark)
        for row, mark in zip(rows, marks, strict=True)
    ]
    drawn = tag("table", tag("caption", caption), head, tag("tbody", *body))
    return tag("div", drawn, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _css(state: str) -> str:
    return state.lower().replace("_", "-")
