"""The figures as Markdown tables, and their place in the page."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["tables", "written_into"]

_PLACE = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)


def tables(found: dict[str, Any]) -> str:
    """All parts that were measured."""
    parts = [_machine(found["machine"])]
    for name, table in (
        ("limits", _limits),
        ("overtaking", _overtaking),
        ("distances", _distances),
        ("rounds", _rounds),
        ("costs", _costs),
    ):
        if name in found:
            parts.append(table(found[name]))
    return "\n\n".join(parts)


def written_into(page: str, found: dict[str, Any]) -> str:
    """`page`, with the tables between its marks."""
    return _PLACE.sub(lambda match: f"{match[1]}\n{tables(found)}\n\n{match[2]}", page)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---' for _ in head)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _machine(facts: dict[str, Any]) -> str:
    memory = f"{facts['memory'] / 2**30:.0f} GiB"
    return (
        f"Measured on {facts['cores']} cores ({facts['processor']}), {memory}, {facts['kernel']}, "
        f"Python {facts['python']}, {facts['congestion control']}."
    )


def _limits(rows: list[dict[str, Any]]) -> str:
    keys = sorted({(row["what"] != "raw", row["what"], row["limit_mib"], row["direction"]) for row in rows})
    share = {
        (row["what"], row["limit_mib"], row["direction"], row["connections"]): row["share_of_limit"] for row in rows
    }
    lines = []
    for _, what, limit, direction in keys:
        cells = [f"{share[what, limit, direction, connections]:.1%}" for connections in (1, 8)]
        lines.append([what, f"{limit} MiB/s", direction, *cells])
    title = "**A limit, and what went through**, as a share of it:"
    return f"{title}\n\n{_table(['what', 'limit', 'direction', '1 stream', '8 streams'], lines)}"


def _overtaking(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            f"{row['limit_mib']} MiB/s",
            "1 B" if row["bytes"] == 1 else f"{row['bytes'] >> 10} KiB",
            *(f"{row[name]:.0f} ms" for name in ("alone_ms", "saturated_ms", "saturated_max_ms")),
        ]
        for row in rows
    ]
    title = (
        "**Overtaking**: until a high priority's bytes have arrived, over a new connection, "
        "while eight of a low one saturate the line:"
    )
    return f"{title}\n\n{_table(['limit', 'size', 'alone', 'saturated, median', 'saturated, worst'], lines)}"


def _distances(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            f"{row['loss']:.0%}",
            row["way"],
            f"{row['up_mbit']:.1f} Mbit/s",
            f"{row['down_mbit']:.1f} Mbit/s",
            "" if row["retransmitted"] is None else f"{row['retransmitted']:,}",
        ]
        for row in rows
    ]
    title = "**Distance**: 100 ms there and back, 100 Mbit/s, SeaweedFS at the other end, 16 streams:"
    return f"{title}\n\n{_table(['losses', 'way', 'up', 'down', 'segments sent again'], lines)}"


def _rounds(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            f"{row['round_trip_ms']} ms",
            f"{row['round_s']:.2f} s",
            f"{row['round_max_s']:.2f} s",
            str(row["operations"]),
            str(row["one_after_the_other"]),
        ]
        for row in rows
    ]
    title = (
        "**One more snapshot** (64 KiB), a round of looking, copying, reading back and looking again, SeaweedFS at the "
        "other end:"
    )
    head = ["there and back", "median", "worst", "operations", "one after the other"]
    return f"{title}\n\n{_table(head, lines)}"


def _costs(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["way"], str(row["connections"]), f"{row['gib_per_s']:.2f} GiB/s", f"{row['processor_s_per_gib']:.2f} s"]
        for row in rows
    ]
    title = "**Cost**, over the loopback interface, with processor time of the forwarder alone:"
    return f"{title}\n\n{_table(['way', 'connections', 'speed', 'processor time per GiB'], lines)}"
