"""Having an asset's newest snapshot on the warmest store of a site by a time, and keeping it there for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from holdfast.config.words import Tier
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import store_name
from holdfast.control.sites.thawing import thaw
from holdfast.control.sites.tiers import SiteTiers, TiersPlanned
from holdfast.control.vaults.archived import ArchivedPacks
from holdfast.errors import NotFoundError, UsageError
from holdfast.replication.tiering.facts import NANOSECONDS
from holdfast.replication.tiering.moving import Moved
from holdfast.replication.tiering.plans import Verb
from holdfast.replication.tiering.prewarming import Prewarm, plan_prewarm
from holdfast.stores.archives.port import Speed

__all__ = ["Asking", "Prewarmed", "Prewarming", "plan_prewarming", "prewarm"]


_AHEAD_MAX = 3653 * 86_400.0


class Prewarming(NamedTuple):
    """`planned`: the moves that make it so, with their costs. `start_now`: whether copying has to begin now."""

    prewarm: Prewarm
    planned: TiersPlanned
    start_now: bool
    until_ns: int


def plan_prewarming(tiers: SiteTiers, reference: str, site: str, by_ns: int | None, hold_seconds: float) -> Prewarming:
    """Writes nothing. `by_ns`: None: as soon as possible. Raises NotFoundError, RefusedError (jurisdiction), UsageError
    for times that no plan reaches.
    """
    sites = tiers.sites
    sites.require_site(site)
    ahead = 0.0 if by_ns is None else (by_ns - sites.clock.now_ns()) / NANOSECONDS
    if max(ahead, hold_seconds) > _AHEAD_MAX:
        raise UsageError("nothing is kept warm for longer, or from later on, than ten years from now")
    guard(tiers.vault, "vault.info")
    facts, left_out = tiers.facts()
    asset = reference.partition("@")[0]
    if asset in left_out:
        raise NotFoundError(f"nothing of {asset} can be raised: {left_out[asset]}", object_name=asset)
    snapshot = tiers.find(reference)
    store = store_name(site, next(tier for tier in Tier if tier in sites.config.sites[site].stores))
    if store not in {one.name for one in facts.stores}:
        raise NotFoundError(f"{asset} does not lie at {site}", hint=f"its sites: {', '.join(tiers.sites_of(asset))}")
    by = facts.now_ns if by_ns is None else by_ns
    found = plan_prewarm(facts, [snapshot], store, by, hold_seconds, "it was asked for")
    kept = [one for one in facts.raised if (one.snapshot, one.store) != (snapshot, store)]
    planned = tiers.planned(msgspec.structs.replace(facts, raised=(*kept, *found.raised)), left_out)
    mine = tuple(
        move
        for move in planned.plan.moves
        if move.verb is not Verb.DROP and (move.snapshot, move.store) == (snapshot, store)
    )
    planned = tiers.costed(planned._replace(plan=msgspec.structs.replace(planned.plan, moves=mine)))
    until = max((one.until_ns for one in found.raised), default=by)
    return Prewarming(found, planned, found.start_ns <= facts.now_ns, until)


class Asking(NamedTuple):
    """How archives are asked: how soon it is wanted, for how long to wait, and who hears how it stands."""

    speed: Speed = Speed.STANDARD
    wait_seconds: float = 0.0
    told: Callable[[Sequence[ArchivedPacks]], None] = lambda found: None


class Prewarmed(NamedTuple):
    """`moved`: None where it is too early, or where `waiting` cannot be read yet: then the same command goes on."""

    moved: Moved | None
    waiting: tuple[ArchivedPacks, ...] = ()


def prewarm(tiers: SiteTiers, wanted: Prewarming, asking: Asking | None = None) -> Prewarmed:
    """Remember that it is wanted there, and copy it if that has to begin now; what lies in an archive is asked for
    first, and waited for.

    What is remembered is copied by the next `tier apply`, and not dropped before its time is over.
    """
    how = asking or Asking()
    tiers.require_allowed(wanted.planned.plan.moves)
    tiers.raised.add(wanted.prewarm.raised, wanted.planned.facts.now_ns)
    if not wanted.start_now:
        return Prewarmed(None)
    waiting = thaw(tiers, wanted.planned, speed=how.speed, wait_seconds=how.wait_seconds, told=how.told)
    if waiting:
        return Prewarmed(None, tuple(waiting))
    return Prewarmed(tiers.apply(wanted.planned))
