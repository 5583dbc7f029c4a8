"""`drills` of `holdfast.yaml`."""

from __future__ import annotations

from typing import Literal

from holdfast.config.section import Section
from holdfast.config.words import Duration, Level, Name

__all__ = ["Drill", "ScenarioName"]

ScenarioName = Literal[
    "",
    "site-lost",
    "store-lost",
    "keys-lost",
    "snapshot-corrupt",
    "replica-stale",
    "slow-network",
    "control-plane-killed",
    "person-absent",
]


class Drill(Section, frozen=True, kw_only=True):
    """A recovery that is rehearsed, `every` so often; `surprise_within`: at a random moment of so long after that.

    `level`: `tabletop` (planned and reviewed), `component` (restored apart from all else), `simulation` (the scenario
    in a trial from nothing), `functional` (the scenario on copies of the asset). `scenario`: empty: `site-lost`.
    `machines`: `functional` starts the asset's service, too, in isolation, on machines of the site that takes over.
    """

    recovery: Name
    level: Level
    every: Duration
    surprise_within: Duration | None = None
    machines: bool = False
    scenario: ScenarioName = ""
