"""Lines about who did what of bulk work."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cli.phrases import count
from holdfast.cli.schemas.common import WorkerFacts
from holdfast.units import format_duration, format_size

__all__ = ["worker_lines"]

_SHOWN = 8


def worker_lines(workers: Sequence[WorkerFacts]) -> list[tuple[str, str]]:
    """Those who did most, and how many more there were."""
    busiest = sorted(workers, key=lambda one: -one.bytes)
    lines = [
        ("by", f"{one.worker}: {count(one.pieces, 'piece')}, {format_size(one.bytes)}, {format_duration(one.seconds)}")
        for one in busiest[:_SHOWN]
    ]
    return [*lines, ("by", f"{len(busiest) - _SHOWN:,} more")] if len(busiest) > _SHOWN else lines
