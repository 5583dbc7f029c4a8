"""Drills in a trial organisation made from nothing: no declaration, no key and no data of anybody's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.drilling.conducting import Order, conduct, drill_id
from holdfast.control.drilling.leftovers import clear_leftovers
from holdfast.control.drilling.taking import taken
from holdfast.drills.lever import Lever
from holdfast.drills.outcomes import DrillOutcome
from holdfast.drills.plants import require_plant
from holdfast.drills.scenarios.catalogue import scenario_called
from holdfast.drills.scenarios.replica_stale import REPLICA_STALE, make_old
from holdfast.drills.stage import Stage
from holdfast.drills.trial.founding import found, sandbox_terms, without_machines
from holdfast.errors import RefusedError

__all__ = ["run_sandbox"]


def run_sandbox(
    scenario: str,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    where: Path | None = None,
    told: Callable[[str], None] = lambda text: None,
    plant: str = "",
    rpo: float = 3600.0,
    rto: float = 300.0,
    keep: bool = False,
) -> DrillOutcome:
    """Raises NotFoundError (no such scenario), RefusedError (the lever; another drill), ConflictError."""
    chosen = scenario_called(scenario)
    require_plant(plant)
    clear_leftovers(environment, told)
    pulled = Lever(environment).pulled()
    if pulled:
        raise RefusedError(f"drills are stopped: {pulled}", hint="`holdfast drill stop --release` lets them go on")
    sites = 4 if chosen.name == "control-plane-killed" else 3
    terms = sandbox_terms(sites, rpo=rpo, rto=rto)
    if plant == "missing-capacity":
        terms = without_machines(terms)

    def prepare(stage: Stage) -> None:
        old = chosen.name == REPLICA_STALE.name or plant == "stale-replica"
        before = (lambda: make_old(stage)) if old else None
        found(stage, chosen, before)

    order = Order(
        id=drill_id(),
        name="",
        scenario=chosen,
        level="simulation",
        terms=terms,
        prepare=prepare,
        copies=2,
        asset_class=terms.asset_class,
        where=where,
        plant=plant,
        keep=keep,
    )
    with taken(environment):
        return conduct(order, environment, clock, told)
