"""The pieces that the evidence page is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast.evidence.markup import Child, Markup, tag
from holdfast.objectives import NotMeasured
from holdfast.units import format_duration, format_size

__all__ = [
    "section",
    "badge",
    "css_class",
    "duration",
    "with_units",
    "number",
    "size",
    "facts",
    "bullets",
    "table",
    "code",
    "shortened",
]

_NUMBER_THEN_SPACE = re.compile(r"(?<=[0-9]) (?=[0-9A-Za-z])")
_SIGNS = {"MET": "✓", "PASSED": "✓", "MISSED": "✕", "FAILED": "✕", "NOT_MEASURED": "?", "INVALID": "!"}


def section(title: str, *children: Child) -> Markup:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *children)


def badge(state: str, words: str = "") -> Markup:
    """A state as a word (or the given words) with a sign: colour alone tells nothing."""
    sign = tag("span", _SIGNS.get(state, "·"), aria_hidden="true")
    return tag("span", sign, f" {words or state}", class_=f"badge {css_class(state)}")


def duration(seconds: float | NotMeasured) -> str:
    """`4.2 s`, or NOT_MEASURED."""
    if isinstance(seconds, NotMeasured):
        return str(seconds)
    return with_units(f"-{format_duration(-seconds)}" if seconds < 0 else format_duration(seconds))


def with_units(text: str) -> str:
    """The same, with no line break between a number and its unit."""
    return _NUMBER_THEN_SPACE.sub("\N{NO-BREAK SPACE}", text)


def number(value: float | NotMeasured, unit: str = "") -> str:
    """`12`, `99.5 %`, or NOT_MEASURED."""
    if isinstance(value, NotMeasured):
        return str(value)
    return f"{value:,.10g} {unit}".rstrip()


def code(text: str) -> Markup:
    """A digest, id or path: breaks anywhere rather than widen the page."""
    return tag("code", text)


def shortened(key: str) -> str:
    """The beginning of a public key: the whole of it is in evidence.json."""
    return key if len(key) <= 120 else f"{key[:100]}… ({len(key)} characters)"


def size(count: int) -> str:
    """`64.0 MiB`."""
    return with_units(format_size(count))


def facts(rows: Sequence[tuple[str, Child]]) -> Markup:
    """Terms and what they are."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in rows), class_="facts")


def bullets(items: Sequence[Child], none: str) -> Markup:
    """A list, or a sentence when it is empty."""
    return tag("ul", *(tag("li", item) for item in items)) if items else tag("p", none, class_="muted")


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[Child]], *, classes: Sequence[str] = ()
) -> Markup:
    """A table whose first column heads its rows; on a phone each row becomes a block with the heads beside the cells.

    `classes`, one per row: CSS classes.
    """
    head = tag("tr", *(tag("th", name, scope="col", role="columnheader") for name in heads), role="row")
    marks = list(classes) or [""] * len(rows)
    body = [_table_row(heads, row, mark) for row, mark in zip(rows, marks, strict=True)]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
    )


def _table_row(heads: Sequence[str], cells: Sequence[Child], mark: str) -> Markup:
    # roles say what the elements are anyway, because a phone lays them out as blocks, and then they are forgotten
    first = tag("th", cells[0], scope="row", role="rowheader")
    others = [
        tag("td", tag("div", cell), role="cell", data_label=head)
        for head, cell in zip(heads[1:], cells[1:], strict=True)
    ]
    return tag("tr", first, *others, role="row", class_=mark)


def css_class(state: str) -> str:
    """`NOT_MEASURED` → `not-measured`."""
    return state.lower().replace("_", "-")
