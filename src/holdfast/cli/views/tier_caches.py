"""Lines of `holdfast tier cache`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, moment, short_id
from holdfast.cli.schemas.tier_caches import TierCache, TierCacheStatus
from holdfast.cli.views.layout import fact_lines, folded
from holdfast.cli.views.tiers import amount_text, held_lines, left_lines, move_lines
from holdfast.units import format_size

__all__ = ["planned_lines", "status_lines"]


def planned_lines(record: TierCache, page: Page) -> Iterator[str]:
    yield from folded(_planned(record, page), page.width)


def _planned(record: TierCache, page: Page) -> Iterator[str]:
    for move in record.moves if record.dry_run else record.done:
        yield from move_lines(move, "" if record.dry_run else "done: ")
    yield from held_lines(record.held)
    if record.moves or record.held:
        yield ""
    facts = [
        ("store", record.store),
        ("budget", f"{format_size(record.budget)}, of which {format_size(record.used)} lay there"),
        ("to hold", f"{count(len(record.hold), 'snapshot')}, {format_size(record.bytes)}"),
        ("moves", f"{amount_text(record.once)} once" if record.once is not None else "cost not known"),
    ]
    yield from fact_lines(facts, page.width)
    for one in record.hold:
        yield f"{short_id(one.snapshot)} of {one.asset}: {one.why}"
    yield from left_lines("left out", record.left_out)


def status_lines(record: TierCacheStatus, page: Page) -> Iterator[str]:
    yield from folded(_status(record, page), page.width)


def _status(record: TierCacheStatus, page: Page) -> Iterator[str]:
    for number, one in enumerate(record.caches):
        if number:
            yield ""
        facts = [
            ("store", one.store),
            ("decided", moment(one.decided, page.now_ns)),
            ("budget", f"{format_size(one.budget)}, of which {format_size(one.used)} lie there"),
            ("read back", ", ".join(map(short_id, one.verified)) or "none"),
        ]
        facts += [("not read back", ", ".join(map(short_id, one.unverified)))] if one.unverified else []
        facts += [("MISSING", ", ".join(map(short_id, one.missing)))] if one.missing else []
        yield from fact_lines(facts, page.width)
