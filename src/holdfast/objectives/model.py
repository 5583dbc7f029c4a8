"""Objectives: what each class of asset owes by default.

============  ===============  ===============  ==============================
class         RPO              RTO              copies
============  ===============  ===============  ==============================
weights       0 (synchronous)  1 h              2 sites, immutable
training      2 h (to 4 h)     4 h (to 8 h)     2 sites
dataset       24 h             24 h             2 sites, or stripes over them
registry      5 min            1 h              2 sites
inference     5 min            15 min           active on 2 sites
development   24 h             24 h             1, away from the source
regulated     as the rule says                  within its jurisdiction
============  ===============  ===============  ==============================
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.errors import UsageError

__all__ = ["AssetClass", "Placement", "Objective", "objective_of"]

_MINUTE = 60.0
_HOUR = 3600.0


class AssetClass(StrEnum):
    """What kind of thing is protected."""

    WEIGHTS = "weights"
    TRAINING = "training"
    DATASET = "dataset"
    REGISTRY = "registry"
    INFERENCE = "inference"
    DEVELOPMENT = "development"
    REGULATED = "regulated"


class Placement(StrEnum):
    """How the copies have to lie."""

    SITES = "sites"  # whole copies on sites that fail independently
    IMMUTABLE_SITES = "immutable-sites"  # the same, and nobody can change them until their term ends
    SITES_OR_STRIPES = "sites-or-stripes"  # whole copies, or stripes of which any site may be lost
    ACTIVE_SITES = "active-sites"  # every copy serves
    REMOTE = "remote"  # away from the source
    JURISDICTION = "jurisdiction"  # only where the rule allows


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """Targets in seconds, and the number of sites that hold a verified copy.

    None means that the class has no target of its own: a rule has to set it, and until then nothing can be met.
    The tolerated values say what is survivable; beyond the target, within tolerance, is still MISSED.
    """

    asset_class: AssetClass
    rpo_seconds: float | None
    rto_seconds: float | None
    copies: int | None
    placement: Placement
    rpo_tolerated_seconds: float | None = None
    rto_tolerated_seconds: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a target that cannot be."""
        times = (self.rpo_seconds, self.rto_seconds, self.rpo_tolerated_seconds, self.rto_tolerated_seconds)
        if any(time is not None and not 0 <= time < float("inf") for time in times):
            raise UsageError(f"a target of the class {self.asset_class} is not a number of seconds from 0 on")
        if self.copies is not None and self.copies < 1:
            raise UsageError(f"the class {self.asset_class} has to ask for at least one copy")


def _defaults() -> dict[AssetClass, Objective]:
    def row(
        asset_class: AssetClass, rpo: float | None, rto: float | None, copies: int | None, placement: Placement
    ) -> Objective:
        return Objective(asset_class=asset_class, rpo_seconds=rpo, rto_seconds=rto, copies=copies, placement=placement)

    rows = [
        row(AssetClass.WEIGHTS, 0.0, _HOUR, 2, Placement.IMMUTABLE_SITES),
        Objective(
            asset_class=AssetClass.TRAINING,
            rpo_seconds=2 * _HOUR,
            rto_seconds=4 * _HOUR,
            copies=2,
            placement=Placement.SITES,
            rpo_tolerated_seconds=4 * _HOUR,
            rto_tolerated_seconds=8 * _HOUR,
        ),
        row(AssetClass.DATASET, 24 * _HOUR, 24 * _HOUR, 2, Placement.SITES_OR_STRIPES),
        row(AssetClass.REGISTRY, 5 * _MINUTE, _HOUR, 2, Placement.SITES),
        row(AssetClass.INFERENCE, 5 * _MINUTE, 15 * _MINUTE, 2, Placement.ACTIVE_SITES),
        row(AssetClass.DEVELOPMENT, 24 * _HOUR, 24 * _HOUR, 1, Placement.REMOTE),
        row(AssetClass.REGULATED, None, None, None, Placement.JURISDICTION),
    ]
    return {objective.asset_class: objective for objective in rows}


_DEFAULTS = _defaults()


def objective_of(asset_class: AssetClass | str) -> Objective:
    """The default objective of a class. Raises UsageError for a class that does not exist."""
    try:
        return _DEFAULTS[AssetClass(asset_class)]
    except ValueError as error:
        classes = ", ".join(AssetClass)
        raise UsageError(f"{asset_class!r} is not a class of assets", hint=f"use one of {classes}") from error
