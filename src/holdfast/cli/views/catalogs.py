"""Lines of `holdfast catalog`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, short_id
from holdfast.cli.schemas.catalogs import (
    CatalogShown,
    CatalogStatus,
    CatalogUpdated,
    KnownSnapshotFacts,
    KnownTargetFacts,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.units import format_duration, format_size

__all__ = ["catalog_shown_lines", "catalog_status_lines", "catalog_updated_lines"]


def catalog_updated_lines(record: CatalogUpdated, page: Page) -> Iterator[str]:
    columns = [Column("STORE", elastic=True), Column("READ", right=True), Column("GONE", right=True), Column("STATE")]
    rows = [
        (one.store, f"{one.read:,}", f"{one.gone:,}", "NO ANSWER" if one.problem else "up to date")
        for one in record.stores
    ]
    yield from table(columns, rows, page.width)
    notes = [f"{one.store}: {one.problem}" for one in record.stores if one.problem]
    if record.aside is not None:
        notes.append(f"the catalog was damaged: it was set aside as {record.aside}, and made anew")
    yield from folded(notes, page.width)


def catalog_status_lines(record: CatalogStatus, page: Page) -> Iterator[str]:
    shown = ("assets", "snapshots", "replicas", "proofs", "incidents", "plans", "runs")
    facts = [
        ("catalog", record.catalog),
        *((name, f"{record.rows.get(name, 0):,}") for name in shown),
        ("objectives", ", ".join(f"{number:,} {state}" for state, number in record.standings.items()) or "none"),
    ]
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [
        Column("STORE", elastic=True),
        Column("SNAPSHOTS", right=True),
        Column("UNREADABLE", right=True),
        Column("ANSWERED", right=True),
        Column("STATE"),
    ]
    rows = [
        (
            one.store,
            f"{one.snapshots:,}",
            f"{one.unreadable:,}",
            "never" if one.answered is None else age(one.answered, page.now_ns),
            "NO ANSWER" if one.problem else one.state or "as declared",
        )
        for one in record.stores
    ]
    yield from table(columns, rows, page.width)
    yield from folded((f"{one.store}: {one.problem}" for one in record.stores if one.problem), page.width)


def catalog_shown_lines(record: CatalogShown, page: Page) -> Iterator[str]:
    standing = record.standing
    facts = [
        ("asset", f"{record.asset}: {record.kind}" if record.declared else f"{record.asset}, which is not declared"),
        ("home", record.home),
        ("snapshots", f"{record.total:,}"),
    ]
    if standing is not None:
        facts += [("state", standing.state), ("RPO", _target(standing.rpo)), ("RTO", _target(standing.rto))]
    facts += [("site", f"{one.site} {one.condition} since {one.at}: {one.reason}") for one in record.incidents]
    for run in record.runs:
        rehearsed = ", rehearsed" if run.isolated else ""
        facts.append(("run", f"{run.run} at {run.site}{rehearsed}: {run.verdict or 'goes on'}, begun {run.begun}"))
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [
        Column("STORE", elastic=True),
        Column("SNAPSHOTS", right=True),
        Column("NEWEST"),
        Column("CONTENT", right=True),
        Column("READ BACK", right=True),
    ]
    rows = [
        (
            f"{one.store}{' NO ANSWER' if one.problem else ''}",
            f"{one.snapshots:,}",
            short_id(one.newest) if one.newest else "none",
            "–" if one.content is None else age(one.content, page.now_ns),
            "never" if one.proven is None else age(one.proven, page.now_ns),
        )
        for one in record.stores
    ]
    yield from table(columns, rows, page.width)
    if record.snapshots:
        yield ""
        yield from _snapshots(record.snapshots, page)


def _snapshots(found: Iterable[KnownSnapshotFacts], page: Page) -> Iterator[str]:
    columns = [
        Column("SNAPSHOT"),
        Column("STEP", right=True),
        Column("CONTENT", right=True),
        Column("SIZE", right=True),
        Column("VERDICT"),
        Column("AT", elastic=True),
    ]
    rows = [
        (
            short_id(one.id),
            "–" if one.step is None else str(one.step),
            age(one.content, page.now_ns),
            format_size(one.bytes),
            one.verdict,
            f"{count(len(one.stores), 'store')}, {len(one.proven)} read back",
        )
        for one in found
    ]
    yield from table(columns, rows, page.width)


def _target(one: KnownTargetFacts) -> str:
    current = "NOT MEASURED" if one.current is None else format_duration(one.current)
    target = "nothing owed" if one.target is None else f"of {format_duration(one.target)}"
    return f"{one.state}: {current} {target}; {one.reason}"
