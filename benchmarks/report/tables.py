"""Markdown tables, as narrow as their content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .figures import Results, case, seconds, stored
from .numbers import number, spread
from .scaling import by_size
from .targets import Verdict

__all__ = ["table", "verdict_table", "speed_tables", "stored_table", "tree_table", "limit_table", "linear_table"]

WIDTH = 100


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are padded; the first is aligned left, the others right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Every target, what was measured, and the word."""
    rows = []
    for group, target, measured, word in ((v.target.group, v.target, v.measured, v.word) for v in verdicts):
        sign = "≥" if target.least else "≤"
        wanted = f"{sign} {number(target.bound, target.unit)}"
        shown = f"**{word}**" if word == "MISSED" else word
        rows.append([group, target.text, wanted, number(measured, target.unit), shown])
    return table(["", "beside or of", "target", "measured", ""], rows)


_SAVES = {"save": "save", "save_again": "the same again", "save_next": "10 steps later"}
_RESTORES = {"restore": "restore", "restore_next": "restore of 10 steps later"}


def speed_tables(results: Results, name: str) -> str:
    """MB of source a second of every tool: saves, then restores. Empty if not measured."""
    found = case(results, name)
    if found is None:
        return ""
    told = []
    for operations in (_SAVES, _RESTORES):
        rows = [[who, *_speeds(found, who, operations)] for who in found["tools"]]
        told.append(table(["MB/s", *operations.values()], rows))
    return "\n\n".join(told)


def _speeds(found: dict[str, Any], who: str, operations: Iterable[str]) -> list[str]:
    cells = []
    for operation in operations:
        size = found["next_bytes" if operation.endswith("next") else "bytes"]
        cells.append(spread([size / each / 1e6 for each in seconds(found["tools"][who], operation)]))
    return cells


def stored_table(results: Results) -> str:
    """Stored / source of one state and the later ones."""
    found = case(results, "ratios")
    if found is None:
        return ""
    rows = []
    for kind, title in (("fp32", "fp32 full state"), ("bf16", "bf16 weights")):
        for who in found[kind]["+1"]["tools"]:
            fresh = stored(found[kind]["+1"], who)
            later = [stored(found[kind][step], who, "stored_next") for step in ("+1", "+10", "+100")]
            rows.append([f"{title}: {who}", *map(number, [fresh, *later])])
        bound = found[kind]["entropy"]
        rows.append([f"{title}: order-0 bound", number(bound["bound"] / bound["bytes"]), "", "", ""])
    return table(["", "fresh", "+1", "+10", "+100"], rows)


def tree_table(found: dict[str, Any]) -> str:
    """A tree's two versions: seconds and stored bytes of every tool."""
    rows = []
    for who, told in found["tools"].items():
        shares = [stored(found, who), stored(found, who, "stored_next")]
        times = [spread(seconds(told, operation)) for operation in ("save", "save_next", "restore_next")]
        rows.append([who, *times, *map(number, shares)])
    return table(["", "save, s", "next, s", "restore, s", "stored", "added"], rows)


def limit_table(results: Results) -> str:
    """What the machine can do at best."""
    found = case(results, "limits")
    if found is None:
        return ""
    rows = [[name, spread([found["bytes"] / s / 1e6 for s in times])] for name, times in found["seconds"].items()]
    return table(["limit", "MB/s"], rows)


def linear_table(results: Results) -> str:
    """Seconds, speed and memory at each size."""
    rows = [
        [f"{size / 2**20:,.0f} MiB", number(took), number(size / took / 1e6), f"{peak / 2**20:,.0f} MiB"]
        for size, (took, peak) in by_size(results).items()
    ]
    return table(["saved", "seconds", "MB/s", "peak memory"], rows) if rows else ""
