"""What changes of sites are: planned, and done."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.control.sites.declared import DeclaredAsset
from holdfast.control.sites.states import Change
from holdfast.control.sites.striped_changes import SetDone, SetMove
from holdfast.control.sites.telling import Told
from holdfast.replication.following.rounds import Copied
from holdfast.vault.format.records import Root

__all__ = ["Move", "SiteDone", "SitePlan"]


class Move(NamedTuple):
    """What it means for one asset. `only_here`: snapshots that only this site has; `missing`: what it lacks.

    `lost_seconds`: content there that is newer than the newest elsewhere; None where the site does not answer, or
    has no vault any more: what it had is not known then.
    """

    asset: DeclaredAsset
    home_after: str
    only_here: tuple[Root, ...]
    missing: tuple[Root, ...]
    lost_seconds: float | None
    copies_left: int


class SitePlan(NamedTuple):
    """A change of a site, worked out from what the stores say now. `moves`: of whole copies, `sets`: of stripes.

    `refusals`: sentences: why it should not be done; `barred`: why it cannot be, which no force overrides.
    """

    site: str
    change: Change
    answers: bool
    moves: tuple[Move, ...]
    refusals: tuple[str, ...]
    sets: tuple[SetMove, ...] = ()
    barred: tuple[str, ...] = ()


class SiteDone(NamedTuple):
    """What was done. `settled`: whether all that was to be copied is there; None where nothing had to be. `told`: which
    stores know of it.
    """

    plan: SitePlan
    copied: tuple[Copied, ...]
    settled: bool | None
    sets: tuple[SetDone, ...] = ()
    told: Told = Told((), {})
