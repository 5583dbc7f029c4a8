"""Lines of `holdfast tier`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, moment, short_id
from holdfast.cli.schemas.tiers import (
    ArchiveFacts,
    Money,
    TierApplied,
    TierExplained,
    TierHeld,
    TierLeft,
    TierMeasured,
    TierMove,
    TierPlanned,
    TierPrewarmed,
    TierThawing,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.economics.amounts import format_money
from holdfast.units import format_duration, format_size

__all__ = ["planned_lines", "explained_lines", "applied_lines", "measured_lines", "prewarmed_lines"]
__all__ += ["thawing_lines", "move_lines", "held_lines", "left_lines", "amount_text"]

_SHOWN = 5  # of one thing that is said of many snapshots


def planned_lines(record: TierPlanned, page: Page) -> Iterator[str]:
    yield from folded(_planned(record, page), page.width)


def _planned(record: TierPlanned, page: Page) -> Iterator[str]:
    for move in record.moves:
        yield from move_lines(move)
    if record.moves:
        yield ""
    facts = [("snapshots", f"{record.snapshots:,}, {count(len(record.moves), 'move')}")]
    if record.cost is not None:
        cost = record.cost
        facts += [
            ("storage", f"{_money(cost.before)} a month before, {amount_text(cost.after)} after"),
            ("moves", f"{amount_text(cost.once)} once"),
        ]
    else:
        facts.append(("cost", f"not known: {record.no_cost}"))
    facts += [("no price", f"{', '.join(record.unpriced)}: counted as free")] if record.unpriced else []
    yield from fact_lines(facts, page.width)
    yield from record.not_measured
    yield from left_lines("not moved", record.left_out)
    yield from left_lines("PROBLEM", record.problems)


def explained_lines(record: TierExplained, page: Page) -> Iterator[str]:
    yield from folded(_explained(record, page), page.width)


def _explained(record: TierExplained, page: Page) -> Iterator[str]:
    for number, one in enumerate(record.decisions):
        if number:
            yield ""
        yield from one.text
    if record.not_measured:
        yield ""
        yield from record.not_measured


def applied_lines(record: TierApplied, page: Page) -> Iterator[str]:
    yield from folded(_applied(record, page), page.width)


def _applied(record: TierApplied, page: Page) -> Iterator[str]:
    for move in record.done:
        yield from move_lines(move, "done: ")
    yield from held_lines(record.held)
    yield from fact_lines(
        [("copied", format_size(record.copied)), ("read back", format_size(record.read_back))], page.width
    )
    yield from left_lines("not moved", record.left_out)
    yield from left_lines("PROBLEM", record.problems)


def measured_lines(record: TierMeasured, page: Page) -> Iterator[str]:
    columns = [Column("OF", elastic=True), Column("BYTES", right=True), Column("TIME", right=True), Column("RATE")]
    rows = [
        (
            f"verifying {one.asset}" if one.asset else one.store,
            format_size(one.bytes) if one.bytes else "–",
            format_duration(one.seconds) if one.rate is not None else "–",
            f"{format_size(one.rate)}/s" if one.rate is not None else "NOT_MEASURED",
        )
        for one in record.measured
    ]
    yield from table(columns, rows, page.width)
    for one in record.measured:
        if one.reason:
            yield f"{one.asset or one.store}: {one.reason}"


def prewarmed_lines(record: TierPrewarmed, page: Page) -> Iterator[str]:
    yield from folded(_prewarmed(record, page), page.width)


def _prewarmed(record: TierPrewarmed, page: Page) -> Iterator[str]:
    known = {True: "in time", False: "TOO LATE", None: "NOT_MEASURED"}[record.in_time]
    yield from fact_lines(
        [
            ("snapshot", f"{short_id(record.snapshot)} of {record.asset}, {format_size(record.bytes)} to copy"),
            ("store", record.store),
            ("wanted by", moment(record.by, page.now_ns)),
            ("begin", moment(record.start, page.now_ns)),
            ("ready", f"{moment(record.ready, page.now_ns)}, {known}" if record.ready else known),
            ("stays until", moment(record.until, page.now_ns)),
        ],
        page.width,
    )
    yield from record.text
    for move in record.done:
        yield from move_lines(move, "done: ")
    yield from held_lines(record.held)
    yield from archive_lines(record.archives, asked=not record.dry_run)


def thawing_lines(record: TierThawing, page: Page) -> Iterator[str]:
    yield from folded(archive_lines(record.archives, asked=True), page.width)


def archive_lines(archives: Iterable[ArchiveFacts], *, asked: bool) -> Iterator[str]:
    for one in archives:
        takes = "takes hours" if one.seconds is None else f"takes up to {format_duration(one.seconds)}"
        costs = f" and costs about {_money(one.cost)}" if one.cost is not None and one.unasked else ""
        said = "asked for" if asked or not one.unasked else "to be asked for"
        there = f", {one.readable:,} can be read by now" if one.readable else ""
        yield (
            f"{one.store}: {count(one.packs, 'pack')} of {format_size(one.bytes)} in an archive "
            f"({', '.join(one.kinds)}), {said}{there}: getting them {takes}{costs}"
        )


def move_lines(move: TierMove, before: str = "") -> Iterator[str]:
    way = {"copy": f"from {move.source} to {move.store}", "verify": f"at {move.store}", "drop": f"from {move.store}"}
    size = {"copy": format_size(move.bytes), "verify": "read back", "drop": f"frees {format_size(move.bytes)}"}
    yield f"{before}{move.verb} {short_id(move.snapshot)} of {move.asset} {way[move.verb]}, {size[move.verb]}"
    yield f"  {move.reason}"


def held_lines(held: Iterable[TierHeld]) -> Iterator[str]:
    for one in held:
        yield f"NOT done: {one.move.verb} {short_id(one.move.snapshot)} at {one.move.store}: {one.reason}"


def left_lines(word: str, left: Sequence[TierLeft]) -> Iterator[str]:
    """What is said of many is said once."""
    of: dict[str, list[str]] = {}
    for one in left:
        of.setdefault(one.reason, []).append(one.what)
    for reason, names in of.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{word}: {', '.join(names[:_SHOWN])}{more}: {reason}"


def _money(money: Money) -> str:
    doubt = "" if money.confirmed else ", in part unconfirmed"
    return f"{amount_text(money)} (list prices of {money.prices_of}{doubt})"


def amount_text(money: Money) -> str:
    return format_money(money.total, money.currency)
