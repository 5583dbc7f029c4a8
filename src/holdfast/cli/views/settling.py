"""Lines of `snapshot settle`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.schemas.settling import SnapshotsSettled
from holdfast.cli.views.layout import fact_lines

__all__ = ["settled_lines"]


def settled_lines(record: SnapshotsSettled, page: Page) -> Iterator[str]:
    for one in record.settled:
        facts = [
            ("snapshot", one.snapshot),
            ("asset", record.asset),
            ("step", "" if one.step is None else str(one.step)),
            ("save", one.save),
        ]
        yield from fact_lines(facts, page.width)
    if not record.settled:
        yield f"no save of {record.asset} waits to be finished"
