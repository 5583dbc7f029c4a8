"""Lines of `holdfast site fail`, `drain`, `add` and `rebuild`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.sites import MoveFacts, SiteChanged
from holdfast.cli.views.layout import Column, folded, table
from holdfast.cli.views.sites import brief, copied_lines, healed_lines
from holdfast.units import format_size

__all__ = ["site_change_lines"]


def site_change_lines(record: SiteChanged, page: Page) -> Iterator[str]:
    if not record.moves and not record.refusals:
        yield f"no asset lies at {record.site}"
    elif record.moves:
        columns = [
            Column("ASSET", elastic=True),
            Column("HOME"),
            Column("COPIES", right=True),
            Column("OWES", right=True),
            Column("ONLY THERE", right=True),
            Column("TO COPY", right=True),
        ]
        yield from table(columns, [_row(move) for move in record.moves], page.width)
        if record.change == "fail":
            yield from (f"{move.asset}: {_lost(record, move)}" for move in record.moves if not move.stripes)
    for text in record.refusals:
        yield f"refused: {text}"
    if record.told:
        yield from folded([f"told: {', '.join(record.told)}"], page.width)
    yield from folded((f"not told: {text}" for text in record.untold), page.width)
    yield from copied_lines(record.copied)
    yield from healed_lines(record.healed)


def _row(move: MoveFacts) -> tuple[str, ...]:
    moved = move.home_after != move.home_before
    return (
        move.asset,
        f"{move.home_before} → {move.home_after or 'NONE'}" if moved else move.home_before,
        str(move.copies_left),
        "–" if move.copies_owed is None else str(move.copies_owed),
        "?" if move.lost_seconds is None else str(move.only_here),
        _to_copy(move),
    )


def _to_copy(move: MoveFacts) -> str:
    if move.stripes and move.bytes:
        return f"{count(move.packs, 'shard')}, {format_size(move.bytes)}"
    return f"{count(move.to_copy, 'snapshot')}, {format_size(move.bytes)}" if move.to_copy else "nothing"


def _lost(record: SiteChanged, move: MoveFacts) -> str:
    if move.lost_seconds is None:
        return f"{record.site} has no vault, or does not answer: what only it had is not known"
    if not move.only_here:
        return "nothing is lost"
    return f"{count(move.only_here, 'snapshot')} lost, {brief(move.lost_seconds)} of content"
