"""An edge cache: a store at a recovery site that is filled with what is worth most there, within a budget of bytes.

What it holds are ordinary snapshots, copied and read back by the mover of tiers, without pointers: so nothing keeps
them there, and a site's names still lie where they are declared to. They leave it by ordinary drops, of which each is
looked at just before: other stores must hold the snapshot, whole and read back, and must give what its class owes.
Restores at that site read packs from it without being told (`reading_near`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from holdfast.config.words import Tier
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import store_name
from holdfast.control.sites.raising import Cache
from holdfast.control.sites.tiers import SiteTiers, TiersPlanned
from holdfast.errors import HoldfastError, NotFoundError, UsageError
from holdfast.replication.tiering.caching import HOUR_PRICE, CacheChoice, choose_cache
from holdfast.replication.tiering.facts import DAY_NS, Facts, Lying, Snapshot
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.moving import Moved
from holdfast.replication.tiering.owing import Owing
from holdfast.replication.tiering.plans import Move, TierPlan, Verb
from holdfast.units import format_size
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import FULL
from holdfast.vault.format.names import PACKS

__all__ = ["CachePlanned", "CacheStatus", "apply_cache", "cache_status", "plan_cache"]


class CachePlanned(NamedTuple):
    """`planned`: the moves at the store, evictions and copies, with costs. `held`: snapshot → why it is neither evicted
    nor copied now. `used`: bytes of packs that lie there now.
    """

    store: str
    budget: int
    choice: CacheChoice
    planned: TiersPlanned
    held: dict[str, str]
    used: int


class CacheStatus(NamedTuple):
    """`there`: snapshots that it is to hold, and that are there, read back by this machine (True) or not (False);
    `missing`: those that are not. `used`: bytes of packs there.
    """

    store: str
    cache: Cache
    there: dict[str, bool]
    missing: tuple[str, ...]
    used: int


def plan_cache(
    tiers: SiteTiers, site: str, budget: int | None, *, store: str = "", hour_price: float = HOUR_PRICE
) -> CachePlanned:
    """What the cache of a site should hold, and the moves that make it so. Writes nothing.

    `budget`: bytes of packs that may lie at the store; None: as it was decided last. 0 empties it. `store`: which store
    of the site (`euw4/hot`); its fastest one that no asset's copies come to. Raises UsageError, NotFoundError.
    """
    guard(tiers.vault, "vault.info")
    name = _store_of(tiers, site, store)
    known = tiers.caches.read().get(name)
    if budget is None and known is None:
        raise UsageError(f"nobody said yet how much {name} may hold", hint="--budget SIZE")
    size = budget if budget is not None or known is None else known.budget
    assert size is not None
    facts, left_out = tiers.facts()
    if name not in {one.name for one in facts.stores}:
        raise NotFoundError(f"no chosen asset lies at {site}", object_name=name)
    mine = set(known.hold) if known is not None else set()
    facts = msgspec.structs.replace(
        facts, raised=tuple(one for one in facts.raised if one.store != name or one.snapshot not in mine)
    )
    reads = {snapshot: sorted(at for s in by.values() for at in s) for snapshot, by in tiers.uses().reads.items()}
    until = facts.now_ns + DAY_NS
    choice = choose_cache(facts, name, until, capacity_bytes=size, reads=reads, hour_price=hour_price)
    planned = tiers.planned(msgspec.structs.replace(facts, raised=(*facts.raised, *choice.raised)), left_out)
    lying = _lying(tiers, name)
    evictions, held = _evictions(planned, name, choice)
    copies, waiting = _copies(planned, name, choice, size, lying)
    plan = msgspec.structs.replace(planned.plan, moves=(*copies, *evictions))
    planned = tiers.costed(planned._replace(plan=plan))
    return CachePlanned(name, size, choice, planned, held | waiting, sum(lying.values()))


def apply_cache(tiers: SiteTiers, wanted: CachePlanned) -> Moved:
    """Evict, collect, copy and read back. What it is to hold is remembered first, so that no plan drops it.

    Broken off anywhere, the next one goes on. Raises PermissionDeniedError, CredentialError before anything moves.
    """
    moves = wanted.planned.plan.moves
    tiers.require_allowed(moves)
    if wanted.budget:
        now = wanted.planned.facts.now_ns
        tiers.caches.set(wanted.store, Cache(budget=wanted.budget, at=now, hold=wanted.choice.hold))
    drops = [move for move in moves if move.verb is Verb.DROP]
    done = tiers.apply(_only(wanted.planned, drops)) if drops else Moved()
    if drops or (wanted.used and not wanted.budget):
        _collect(tiers, wanted.store)
    more = tiers.apply(_only(wanted.planned, [move for move in moves if move.verb is not Verb.DROP]))
    more.done[:0], more.read_back = done.done, more.read_back + done.read_back
    more.held |= done.held
    if not wanted.budget:
        tiers.caches.forget(wanted.store)
    return more


def cache_status(tiers: SiteTiers) -> list[CacheStatus]:
    """The caches of this machine, of the chosen assets' sites. Raises what their stores raise."""
    guard(tiers.vault, "vault.info")
    facts, _ = tiers.facts()
    found = []
    for name, cache in sorted(tiers.caches.read().items()):
        if name not in {one.name for one in facts.stores}:
            continue
        at: dict[str, Lying] = {one.id: one.at[name] for one in facts.snapshots if name in one.at}
        there = {one: at[one].verified_ns is not None for one in cache.hold if one in at}
        missing = tuple(one for one in cache.hold if one not in at)
        found.append(CacheStatus(name, cache, there, missing, sum(_lying(tiers, name).values())))
    return found


def _store_of(tiers: SiteTiers, site: str, store: str) -> str:
    sites = tiers.sites
    sites.require_site(site)
    landing = {asset.at(site): asset.name for asset in sites.assets.values() if site in asset.placement.sites}
    names = [store_name(site, tier) for tier in Tier if tier in sites.config.sites[site].stores]
    if store and store not in names:
        raise UsageError(f"{store} is no store of {site}", hint=f"it has {', '.join(names)}")
    for name in [store] if store else names:
        if name not in landing:
            return name
    name = store or names[0]
    raise UsageError(
        f"{name} cannot be a cache: the copies of {landing[name]} come to it",
        hint="declare a store of another tier at that site for the cache",
    )


def _lying(tiers: SiteTiers, store: str) -> dict[str, int]:
    """Packs there, and their bytes: also those that wait for being collected."""
    try:
        return {info.key.rpartition("/")[2]: info.size for info in tiers.handle(store).store.list(PACKS)}
    except NotFoundError:
        return {}


def _evictions(planned: TiersPlanned, store: str, choice: CacheChoice) -> tuple[list[Move], dict[str, str]]:
    """Drops of what is not to be held any more, and what cannot be dropped, and why."""
    layout = Layout(planned.facts)
    owings: dict[str, Owing] = {}
    moves, held = [], {}
    for name in choice.leaving:
        snapshot = layout.snapshots[name]
        decision = planned.plan.decision(name)
        if decision is None or store in decision.wanted:
            continue  # another command's asset; or it belongs there, cache or not
        asset = layout.assets[snapshot.asset]
        needs = tuple(sorted(one for one, at in snapshot.at.items() if one != store and at.verified_ns is not None))
        owing = owings.setdefault(asset.name, Owing(layout, asset))
        if snapshot.at[store].pointed_by:
            held[name] = f"it stays: {', '.join(snapshot.at[store].pointed_by)} of {store} points to it"
        elif not needs:
            held[name] = "it stays: no other store is known to have it whole and read back"
        elif not owing.is_met(snapshot, needs):
            held[name] = f"it stays: {'; '.join(owing.problems(snapshot, needs))}"
        else:
            moves.append(_drop(snapshot, store, needs, layout))
    return moves, held


def _drop(snapshot: Snapshot, store: str, needs: tuple[str, ...], layout: Layout) -> Move:
    return Move(
        verb=Verb.DROP,
        snapshot=snapshot.id,
        asset=snapshot.asset,
        store=store,
        reason="it is worth less to the cache than what it holds",
        needs=needs,
        bytes=layout.size_of(snapshot.packs),
        objects=layout.objects_of(snapshot.packs),
    )


def _copies(
    planned: TiersPlanned, store: str, choice: CacheChoice, budget: int, lying: dict[str, int]
) -> tuple[list[Move], dict[str, str]]:
    """The planner's copies there, the worthiest first, as far as the bytes that lie there leave room."""
    facts: Facts = planned.facts
    packs = {one.id: one.packs for one in facts.snapshots}
    of = {move.snapshot: move for move in planned.plan.moves if move.store == store and move.verb is not Verb.DROP}
    moves, held = [], {}
    there, used = set(lying), sum(lying.values())
    for name in choice.hold:
        move = of.get(name)
        if move is None:
            continue
        new = packs[name] - there
        size = sum(facts.packs[pack] for pack in new)
        if new and used + size > budget:
            held[name] = (
                f"it waits: {format_size(used)} lie there, of which some await collection, and {format_size(size)} "
                "more do not fit yet"
            )
            continue
        there |= new
        used += size
        moves.append(msgspec.structs.replace(move, reason=f"the cache is to hold it: {choice.hold[name]}"))
    return moves, held


def _only(planned: TiersPlanned, moves: Sequence[Move]) -> TiersPlanned:
    plan: TierPlan = msgspec.structs.replace(planned.plan, moves=tuple(moves))
    return planned._replace(plan=plan)


def _collect(tiers: SiteTiers, store: str) -> None:
    """Free what nobody needs there any more; what was condemned now goes with the next collection."""
    try:
        vault = tiers.vault_at(store)
        guard(vault, "collect")
        vault.collect(CollectOptions(FULL))
    except HoldfastError as error:
        tiers.sites.progress.note(f"{store} was not collected: {error.message}")
