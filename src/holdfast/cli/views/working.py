"""Lines of `holdfast worker`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count
from holdfast.cli.schemas.working import WebhookFacts, WorkerCancelled, WorkerList, WorkerStatus, WorkFacts
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.units import format_duration

__all__ = ["worker_cancelled_lines", "worker_list_lines", "worker_status_lines"]


def worker_status_lines(record: WorkerStatus, page: Page) -> Iterator[str]:
    facts = [("queue", record.queue), ("work", f"{record.running:,} running, {record.queued:,} waiting")]
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [
        Column("WORKER", elastic=True),
        Column("RUNNING", right=True),
        Column("SEEN", right=True),
        Column("STATE"),
    ]
    rows = [
        (
            one.name,
            f"{len(one.running)} of {one.slots}",
            format_duration(one.silent),
            "LEAVING" if one.leaving else "there",
        )
        for one in record.workers
    ]
    yield from table(columns, rows, page.width) if rows else ["nobody works: `holdfast worker run` does"]
    if record.schedules:
        yield ""
        columns = [Column("COMES AGAIN", elastic=True), Column("LAST", right=True), Column("NEXT", right=True)]
        yield from table(
            columns,
            [
                (
                    one.name,
                    "never" if one.last is None else age(one.last, page.now_ns),
                    _next(one.next_from, one.next_until, page.now_ns),
                )
                for one in record.schedules
            ],
            page.width,
        )

    if record.webhooks:
        yield ""
        columns = [
            Column("WEBHOOK", elastic=True),
            Column("TAKEN", right=True),
            Column("WAITING", right=True),
            Column("STATE"),
        ]
        yield from table(
            columns,
            [(one.name, f"{one.taken:,}", f"{one.waiting:,}", _hook(one, page.now_ns)) for one in record.webhooks],
            page.width,
        )
        yield from folded([f"{one.name}: {one.problem}" for one in record.webhooks if one.problem], page.width)


def _hook(one: WebhookFacts, now_ns: int) -> str:
    if one.failing_since is not None:
        return f"TAKES NOTHING, {age(one.failing_since, now_ns)}"
    return "takes" if one.taken_at is not None else "not told of anything yet"


def _next(begin: str, end: str, now_ns: int) -> str:
    if begin == end:
        return age(begin, now_ns)
    return f"a surprise before {end[:16].replace('T', ' ')}"


def worker_list_lines(record: WorkerList, page: Page) -> Iterator[str]:
    columns = [
        Column("WORK", elastic=True),
        Column("STATE"),
        Column("SUBMITTED", right=True),
        Column("TOOK", right=True),
    ]
    rows = [(one.key, one.state, age(one.submitted, page.now_ns), _took(one)) for one in record.work]
    yield from table(columns, rows, page.width)
    notes = [f"{one.key}: {one.error.code}: {one.error.message}" for one in record.work if one.error is not None]
    yield from folded(notes, page.width)


def worker_cancelled_lines(record: WorkerCancelled, page: Page) -> Iterator[str]:
    one = record.work
    facts = [("work", one.key), ("kind", one.kind), ("state", one.state)]
    if one.attempt:
        facts.append(("begun", f"by {count(one.attempt, 'worker')}"))
    yield from fact_lines(facts, page.width)


def _took(one: WorkFacts) -> str:
    if one.started is None or one.ended is None:
        return "–"
    from holdfast.clock import NANOSECONDS, from_rfc3339

    return format_duration(max(0.0, (from_rfc3339(one.ended) - from_rfc3339(one.started)) / NANOSECONDS))
