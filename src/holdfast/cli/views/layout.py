"""Aligned columns and labelled facts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from holdfast.cli.phrases import printable

__all__ = ["Column", "folded", "table", "fact_lines"]

_GAP = 2
_QUANTITY = re.compile(r"(?<=\d) (?=(?:[KMGTP]iB|B|ms|s|min|h|d)\b)")
_BOUND = "\x00"  # no text has it: `printable` escapes it
_LEAST = 8  # a shortened cell still says something


class Column(NamedTuple):
    """A column of a table. One that is `elastic` is shortened where the line would not fit otherwise."""

    title: str
    right: bool = False
    elastic: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Lines of aligned cells below their titles. No wider than `width`, unless cells that are not elastic are."""
    cells = [[printable(column.title) for column in columns], *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    for i, column in enumerate(columns):
        if column.elastic and excess > 0:
            taken = min(excess, max(0, widths[i] - _LEAST))
            widths[i] -= taken
            excess -= taken
    return [_row(columns, row, widths) for row in cells]


def _row(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        text = _shortened(cell, width) if column.elastic else cell
        shown.append(text.rjust(width) if column.right else text.ljust(width))
    return (" " * _GAP).join(shown).rstrip()


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def fact_lines(facts: Iterable[tuple[str, str]], width: int) -> list[str]:
    """`label  value`, the values below each other; a long one goes on in the next line. Empty ones are left out."""
    kept = [(name, printable(value)) for name, value in facts if value]
    indent = max((len(name) for name, _ in kept), default=0) + _GAP
    lines: list[str] = []
    for name, value in kept:
        # Paths and ids are never broken: one has to be able to copy them. A number stays with its unit.
        bound = _QUANTITY.sub(_BOUND, value)
        wrapped = textwrap.wrap(bound, max(20, width - indent), break_long_words=False, break_on_hyphens=False)
        wrapped = [line.replace(_BOUND, " ") for line in wrapped]
        lines.append(f"{name.ljust(indent)}{wrapped[0] if wrapped else value}")
        lines.extend(" " * indent + line for line in wrapped[1:])
    return lines


def folded(lines: Iterable[str], width: int) -> Iterator[str]:
    """Sentences, those that are too long gone on with in further lines, set in by two. Words are never broken."""
    for line in lines:
        if len(line) <= width:
            yield line
            continue
        before = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(
            line.strip(),
            width,
            initial_indent=before,
            subsequent_indent=before + " " * _GAP,
            break_long_words=False,
            break_on_hyphens=False,
        )
