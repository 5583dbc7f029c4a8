"""`drills` of `holdfast.yaml`."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import Duration, Level, Name

__all__ = ["Drill"]


class Drill(Section, frozen=True, kw_only=True):
    """A recovery that is rehearsed. Nothing acts on it yet."""

    recovery: Name
    level: Level
    every: Duration
    surprise_within: Duration | None = None
