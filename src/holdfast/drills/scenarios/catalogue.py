"""All scenarios by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from holdfast.drills.scenarios.control_plane_killed import CONTROL_PLANE_KILLED
from holdfast.drills.scenarios.keys_lost import KEYS_LOST
from holdfast.drills.scenarios.person_absent import PERSON_ABSENT
from holdfast.drills.scenarios.replica_stale import REPLICA_STALE
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.scenarios.site_lost import SITE_LOST
from holdfast.drills.scenarios.slow_network import SLOW_NETWORK
from holdfast.drills.scenarios.snapshot_corrupt import SNAPSHOT_CORRUPT
from holdfast.drills.scenarios.store_lost import STORE_LOST
from holdfast.errors import NotFoundError

__all__ = ["SCENARIOS", "scenario_called"]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    one.name: one
    for one in (
        SITE_LOST,
        STORE_LOST,
        KEYS_LOST,
        SNAPSHOT_CORRUPT,
        REPLICA_STALE,
        SLOW_NETWORK,
        CONTROL_PLANE_KILLED,
        PERSON_ABSENT,
    )
}


def scenario_called(name: str) -> Scenario:
    """Raises NotFoundError."""
    try:
        return SCENARIOS[name]
    except KeyError:
        known = ", ".join(SCENARIOS)
        raise NotFoundError(f"there is no scenario {name!r}", hint=f"there are {known}", object_name=name) from None
