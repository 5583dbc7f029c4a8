"""Lines of `snapshot quarantine` and `release`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.schemas.quarantines import SnapshotQuarantined, SnapshotReleased
from holdfast.cli.views.layout import fact_lines

__all__ = ["quarantined_lines", "released_lines"]


def quarantined_lines(record: SnapshotQuarantined, page: Page) -> Iterator[str]:
    moves = [f"{name} to {target or 'nowhere: there is no good one before'}" for name, target in record.moves.items()]
    facts = [
        ("snapshot", record.snapshot),
        ("asset", record.asset),
        ("reason", record.reason),
        ("moves", ", ".join(moves) or "no pointer that this key can see"),
    ]
    yield from fact_lines(facts, page.width)


def released_lines(record: SnapshotReleased, page: Page) -> Iterator[str]:
    facts = [("snapshot", record.snapshot), ("asset", record.asset), ("was", record.was or "")]
    yield from fact_lines(facts, page.width)
