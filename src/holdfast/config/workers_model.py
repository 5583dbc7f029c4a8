"""`work` of `holdfast.yaml`: what workers do by themselves, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast.config.section import Section
from holdfast.config.words import Clock, Duration

__all__ = ["Again", "Work"]

Slots = Annotated[int, msgspec.Meta(ge=1, le=64)]  # how many pieces a worker does side by side
ScheduledKind = Literal["recover.check", "drill.run", "site.sync", "catalog.update"]


class Again(Section, frozen=True, kw_only=True):
    """Once in each period of `every`, `at` so long after its beginning. Days begin at 00:00 UTC, weeks on Monday."""

    every: Duration
    at: Clock = 0


class Work(Section, frozen=True, kw_only=True):
    """What comes again. `check`: of each recovery whether it would work (every day at 02:00). `sync`: copies that are
    missing (as often as `replicate_every` of the assets says). `catalog`: every 15 min. Drills say it themselves.

    `without`: kinds that no worker begins by itself. `slots`: how many pieces a worker does side by side.
    """

    check: Again | None = None
    sync: Again | None = None
    catalog: Again | None = None
    without: tuple[ScheduledKind, ...] = ()
    slots: Slots = 4
