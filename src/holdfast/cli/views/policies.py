"""Lines of `policy`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, moment
from holdfast.cli.schemas.policies import (
    ApiKeyCreated,
    ApiKeyFacts,
    ApiKeyList,
    ApiKeyRevoked,
    BreakGlass,
    PolicyChecked,
    PolicyExplained,
    PolicyTable,
)
from holdfast.cli.views.layout import Column, fact_lines, table

__all__ = [
    "checked_lines",
    "explained_lines",
    "table_lines",
    "break_glass_lines",
    "created_lines",
    "list_lines",
    "revoked_lines",
]

_TITLES = {"member-writer": "W", "member-reader": "R", "member-keeper": "K", "break-glass": "BG"}


def checked_lines(record: PolicyChecked, page: Page) -> Iterator[str]:
    facts = [
        ("folder", record.folder),
        ("policies", f"{record.policies:,} in {count(record.files, 'file')}, and {record.built_in} that are built in"),
        ("in force", record.in_force or ""),
        *(("problem", one.message) for one in record.problems),
        *(("look at", finding) for finding in record.findings),
    ]
    yield from fact_lines(facts, page.width)


def explained_lines(record: PolicyExplained, page: Page) -> Iterator[str]:
    facts = [
        ("who", record.principal),
        ("roles", ", ".join(record.roles) or "none"),
        ("action", record.action),
        ("on", record.resource),
        ("decision", record.decision),
        *(("because", reason) for reason in record.reasons),
        *(("policy", f"{one.id} ({one.effect}; {one.file}, line {one.line})") for one in record.policies),
        *(("error", error) for error in record.errors),
    ]
    yield from fact_lines(facts, page.width)


def table_lines(record: PolicyTable, page: Page) -> Iterator[str]:
    """One line for each action; where the kinds of resources differ, one for each."""
    columns = [Column("ACTION"), *(Column(_TITLES.get(one, one.upper())) for one in record.columns)]
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in record.rows:
        merged.setdefault((row.action, tuple(row.allowed)), []).append(row.resource)
    seen = [action for action, _ in merged]
    rows = []
    for (action, allowed), kinds in merged.items():
        name = action if seen.count(action) == 1 else f"{action} {kinds[0]}"
        rows.append([name, *("x" if column in allowed else "." for column in record.columns)])
    yield from table(columns, rows, page.width)
    yield ""
    legend = [
        ("W, R, K", "members of a vault, with a writer's, reader's or keeper's key, in that vault"),
        ("BG", "somebody without any role, in a break-glass session"),
    ]
    yield from fact_lines(legend, page.width)


def break_glass_lines(record: BreakGlass, page: Page) -> Iterator[str]:
    facts = [
        ("session", record.id or "none"),
        ("of", record.person or ""),
        ("reason", record.reason or ""),
        ("until", moment(record.until, page.now_ns) if record.until is not None and record.state == "begun" else ""),
    ]
    yield from fact_lines(facts, page.width)


def created_lines(record: ApiKeyCreated, page: Page) -> Iterator[str]:
    facts = [*_key_facts(record.api_key, page), ("file", record.file or ""), ("key", record.key or "")]
    yield from fact_lines(facts, page.width)


def _key_facts(key: ApiKeyFacts, page: Page) -> list[tuple[str, str]]:
    return [
        ("api key", f"{key.label} ({key.id})"),
        ("person", key.person),
        ("roles", ", ".join(key.roles) or "none"),
        ("scopes", ", ".join(key.scopes) if key.scopes is not None else "all that its roles may do"),
        ("expires", moment(key.expires, page.now_ns) if key.expires is not None else "never"),
        ("revoked", moment(key.revoked, page.now_ns) if key.revoked is not None else ""),
    ]


def list_lines(record: ApiKeyList, page: Page) -> Iterator[str]:
    yield from fact_lines([("keys in", record.register)], page.width)
    if record.keys:
        yield ""
        columns = [Column("ID"), Column("LABEL", elastic=True), Column("ROLES", elastic=True), Column("STATE")]
        columns.append(Column("EXPIRES"))
        rows = [
            [key.id, key.label, ", ".join(key.roles), key.state, (key.expires or "never")[:10]] for key in record.keys
        ]
        yield from table(columns, rows, page.width)


def revoked_lines(record: ApiKeyRevoked, page: Page) -> Iterator[str]:
    yield from fact_lines(_key_facts(record.api_key, page), page.width)
