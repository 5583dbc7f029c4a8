"""Lines about collections."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, share
from holdfast.cli.schemas.collecting import AmountFacts, VaultCollected
from holdfast.cli.views.layout import fact_lines
from holdfast.cli.views.workers import worker_lines
from holdfast.units import format_size

__all__ = ["collected_lines"]


def collected_lines(record: VaultCollected, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("stored", _amount(record.stored)),
        ("needed", f"{_amount(record.reached)}, by {count(record.snapshots, 'snapshot')}"),
        ("dead in it", f"{format_size(record.dead_bytes)} ({share(record.dead_bytes, record.reached.bytes)})"),
    ]
    if record.rewritten.objects:
        what = "packs" if record.dry_run else "chunks"
        written = f"{record.rewritten.objects} {what}, {format_size(record.rewritten.bytes)}"
        facts.append(("rewritten", f"{written}; frees {format_size(record.rewrite_frees)}"))
    facts.append(("condemned", _amount(record.condemned)))
    if record.rescued:
        facts.append(("needed again", count(record.rescued, "object")))
    facts.append(("deleted", _amount(record.deleted)))
    for waiting in record.waiting:
        until = "" if waiting.until is None else f"; until {waiting.until}"
        facts.append(("waits", f"{_amount(waiting.amount)}: {waiting.reason}{until}"))
    facts += [("writing", lease) for lease in record.active_leases]
    facts += [("note", note) for note in record.notes]
    facts += worker_lines(record.workers)
    if record.dry_run:
        facts.append(("dry run", "nothing was changed"))
    yield from fact_lines(facts, page.width)


def _amount(amount: AmountFacts) -> str:
    return f"{count(amount.objects, 'object')}, {format_size(amount.bytes)}" if amount.objects else "nothing"
