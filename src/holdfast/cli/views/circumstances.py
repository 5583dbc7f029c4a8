"""Lines about circumstances: those of a snapshot, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.circumstances import CircumstanceChange, CircumstanceFacts
from holdfast.cli.views.layout import Column, table

__all__ = ["circumstance_lines", "circumstance_change_lines", "CHANGES_SHOWN"]

CHANGES_SHOWN = 40
_WORTH_SAYING = {"results": "RESULTS", "maybe": "maybe", "harmless": "no"}


def circumstance_lines(facts: Sequence[CircumstanceFacts], page: Page) -> Iterator[str]:
    """A table of all of them; nothing where there are none."""
    if not facts:
        yield "no circumstances: the snapshot does not say under which it was made"
        return
    columns = [Column("CIRCUMSTANCE", elastic=True), Column("VALUE", elastic=True)]
    rows = [[f"{one.area} {one.name}", one.value] for one in facts]
    yield from _shared(columns, rows, page.width)


def circumstance_change_lines(changes: Sequence[CircumstanceChange], page: Page) -> Iterator[str]:
    """What matters most first."""
    if not changes:
        yield "the circumstances are the same"
        return
    columns = [
        Column("MATTERS"),
        Column("CIRCUMSTANCE", elastic=True),
        Column("BEFORE", elastic=True),
        Column("AFTER", elastic=True),
    ]
    rows = [
        [_WORTH_SAYING[one.matters], f"{one.area} {one.name}", one.before or "–", one.after or "–"]
        for one in changes[:CHANGES_SHOWN]
    ]
    yield from _shared(columns, rows, page.width)
    hidden = len(changes) - CHANGES_SHOWN
    if hidden > 0:
        yield f"and {count(hidden, 'difference')} more, which --json lists"


def _shared(columns: list[Column], rows: list[list[str]], width: int) -> list[str]:
    """A table whose elastic columns share what is too much: each cell is cut to its fair part before."""
    fixed = sum(
        max(len(row[i]) for row in [[c.title for c in columns], *rows]) + 2
        for i, column in enumerate(columns)
        if not column.elastic
    )
    elastic = [i for i, column in enumerate(columns) if column.elastic]
    widths = {i: max(len(columns[i].title), *(len(row[i]) for row in rows)) for i in elastic}
    room = width - fixed - 2 * (len(elastic) - 1)
    allowed: dict[int, int] = {}
    for number, i in enumerate(sorted(elastic, key=lambda i: widths[i])):  # what needs little leaves room to the others
        allowed[i] = min(widths[i], (room - sum(allowed.values())) // (len(elastic) - number))
    cut = [[_cut(cell, allowed.get(i, len(cell))) for i, cell in enumerate(row)] for row in rows]
    return table(columns, cut, width)


def _cut(text: str, width: int) -> str:
    """The ends of revisions and digests tell as little as any other part of them."""
    return text if len(text) <= width else f"{text[: max(1, width - 1)]}…"
