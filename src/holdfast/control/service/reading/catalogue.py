"""What a team may start by itself: declared recoveries and drills, and every asset as it would come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.control.service.reading.board import board_of
from holdfast.control.service.reading.shapes import Page, Problem, attempt, time_of
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.control.sites.declared import DeclaredAsset

__all__ = ["CataloguePage", "DrillOffered", "RecoveryOffered", "catalogue_page"]


class RecoveryOffered(msgspec.Struct, frozen=True, kw_only=True):
    """`declared`: under `recoveries`; else an asset by its own name, as backup and restore to where it lies.

    `state`: of its objective; empty: not known.
    """

    name: str
    assets: list[str]
    strategy: str
    to: list[str]
    approvers: int
    automatic: bool
    declared: bool
    state: str


class DrillOffered(msgspec.Struct, frozen=True, kw_only=True):
    """A declared drill."""

    name: str
    recovery: str
    scenario: str
    level: str
    every_seconds: float


class CataloguePage(Page, frozen=True, kw_only=True):
    """`can_queue`: whether there are workers' queues to hand a run to; else why not, in `work_problem`."""

    recoveries: list[RecoveryOffered]
    drills: list[DrillOffered]
    work_problem: str
    problem: Problem | None


def catalogue_page(service: Service) -> CataloguePage:
    """By the file of declarations alone."""
    config = service.loaded.config
    states = _states(service)
    offered, named = [], set()
    for name, one in config.recoveries.items():
        assets = [one.asset] if one.asset else list(config.groups[one.group].assets)
        named.add(name)
        offered.append(
            RecoveryOffered(
                name=name,
                assets=assets,
                strategy=one.strategy,
                to=list(one.to),
                approvers=one.approvers,
                automatic=one.automatic is not None,
                declared=True,
                state=states.get(assets[0], "") if len(assets) == 1 else "",
            )
        )
    nothing: dict[str, DeclaredAsset] = {}
    placed, problem = attempt(lambda: service.sites().assets, nothing)
    for name, asset in list(placed.items())[:200]:
        if name not in named:
            offered.append(
                RecoveryOffered(
                    name=name,
                    assets=[name],
                    strategy="BACKUP_AND_RESTORE",
                    to=list(asset.placement.sites),
                    approvers=1,
                    automatic=False,
                    declared=False,
                    state=states.get(name, ""),
                )
            )
    return CataloguePage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        recoveries=offered,
        drills=[
            DrillOffered(
                name=name,
                recovery=one.recovery,
                scenario=one.scenario or "site-lost",
                level=one.level,
                every_seconds=one.every,
            )
            for name, one in config.drills.items()
        ],
        work_problem=""
        if service.workflows is not None
        else service.work_problem or "this server has no queue of work",
        problem=problem,
    )


def _states(service: Service) -> dict[str, str]:
    try:
        return {row.standing.asset: row.state.value for row in board_of(service).judged().rows}
    except HoldfastError:
        return {}
