"""Changes of a site that stripes lie over: a lost one is left out, another home is adopted, an empty one is filled.

A set keeps its number of sites. So nothing of it is drained or added: a new, empty store comes into a lost one's place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.sets import LostStore, stores_of_set, stripes_of_set
from holdfast.control.sites.states import Change
from holdfast.errors import HoldfastError
from holdfast.replication.striping import (
    Healed,
    HealingPlan,
    StripedStore,
    adopt_home,
    heal_stripes,
    plan_healing,
    plan_rebuild,
    rebuild_site,
    survey_stripes,
)
from holdfast.replication.striping.healing import record_layout
from holdfast.vault.collecting.leases import seen_leases

__all__ = ["SetDone", "SetMove", "fail_in_sets", "move_homes", "plan_sets", "rebuild_in_sets"]


class SetMove(NamedTuple):
    """What a change means for one set of stripes. `home_before`, `home_after`: sites, as the set itself says.

    `answers`: whether the site does; `vacant`: it does, and holds nothing of the set. `work`: what rebuilding reads and
    writes. `spare`: how many more sites may be lost afterwards, −1 when it cannot be read. `refusals`: what `--force`
    overrides; `barred`: what nothing does.
    """

    name: str
    assets: tuple[DeclaredAsset, ...]
    home_before: str
    home_after: str
    answers: bool
    vacant: bool
    work: HealingPlan
    spare: int
    refusals: tuple[str, ...]
    barred: tuple[str, ...]


class SetDone(NamedTuple):
    """What was written to the site. `failed`: sentences."""

    name: str
    assets: tuple[DeclaredAsset, ...]
    work: HealingPlan
    failed: tuple[str, ...]


def plan_sets(sites: DeclaredSites, site: str, change: Change, assets: Iterable[DeclaredAsset]) -> list[SetMove]:
    """For each set of these assets. Asks the failed site, too; changes nothing. Raises RefusedError."""
    sets: dict[str, tuple[DeclaredAsset, ...]] = {}
    for asset in assets:
        sets[asset.set_name] = (*sets.get(asset.set_name, ()), asset)
    if change is Change.HOME:
        return [_planned_home(sites, site, name, found) for name, found in sets.items()]
    return [_planned(sites, site, change, name, found) for name, found in sets.items()]


def fail_in_sets(sites: DeclaredSites, moves: Iterable[SetMove], reason: str) -> None:
    """When the site counts as failed: of the sets whose home it is, another site becomes the home, for good.

    Raises what `adopt_home` raises.
    """
    for move in moves:
        if move.home_before != move.home_after:
            home = move.assets[0].placement.sites.index(move.home_after)
            adopt_home(sites.stripes(move.name), home, reason=reason)


def move_homes(sites: DeclaredSites, site: str, moves: Iterable[SetMove], reason: str) -> list[SetDone]:
    """The site becomes the home of these sets, all of whose sites answer: what the old home has goes to the others
    first, then it is left out while the others agree, and then it is told.

    Who began to write before that goes on with the old home for a minute at most, at all sites: of two who create the
    same name in that time neither wins, and both are told. Raises what `adopt_home` raises.
    """
    done = []
    for move in moves:
        if move.home_before == site:
            continue
        position, store = _position(site, move.assets), sites.stripes(move.name)
        before = heal_stripes(store)
        if before.owed or before.failed:
            problems = (*before.owed, *(f"{key}: {why}" for key, why in before.failed.items()))
            done.append(SetDone(move.name, move.assets, HealingPlan(), problems))
            continue
        opened = [
            LostStore(one.store.url, move.home_before) if one.position == store.layout.home else one.store
            for one in store.sites.members
        ]
        adopt_home(StripedStore(opened, clock=sites.clock, progress=sites.progress), position, reason=reason)
        done.append(_rebuilt(store, _position(move.home_before, move.assets), move))
    return done


def rebuild_in_sets(sites: DeclaredSites, site: str, moves: Iterable[SetMove]) -> list[SetDone]:
    """An empty store gets the shards of the lost one; one that came back gets what it missed."""
    return [_rebuilt(sites.stripes(move.name), _position(site, move.assets), move) for move in moves]


def _planned(sites: DeclaredSites, site: str, change: Change, name: str, assets: tuple[DeclaredAsset, ...]) -> SetMove:
    asset, position = assets[0], _position(site, assets)
    names = ", ".join(one.name for one in assets)
    store, stripes = sites.stripes(name, failed_too=True), stripes_of_set(name)
    if change in (Change.DRAIN, Change.ADD):
        barred = (
            f"{names} lies in stripes {stripes}, which need all of their sites: name a new, empty store in the place "
            f"of {site} in holdfast.yaml, and `holdfast site rebuild {site}`",
        )
        home = asset.placement.home
        return SetMove(name, assets, home, home, True, False, HealingPlan(), stripes.m, (), barred)
    try:
        survey = survey_stripes(store)
    except HoldfastError as error:
        barred = (f"{names}: {error.message}",)
        return SetMove(name, assets, "", "", False, False, HealingPlan(), -1, (), barred)
    member = store.sites.members[position]
    answers, home = not member.trouble, asset.placement.sites[survey.home]
    refusals: list[str] = []
    barred_by: list[str] = []
    others = [
        one
        for number, one in enumerate(asset.placement.sites)
        if number in survey.usable - {position} and one not in sites.states
    ]
    # Where two sides of a cut line said it of each other, whatever answers gives.
    givers = survey.usable - ({position} if member.vacant else set()) if sites.has_too_few(name) else others
    home_after, work = home, HealingPlan()
    if change is Change.FAIL:
        if home == site:
            home_after = others[0] if others else ""
        if not survey.is_readable_without(position):
            barred_by.append(
                f"{names} could not be read any more: only {len(others)} of the other sites of {stripes} answer"
            )
        elif survey.lost_with[position]:
            refusals.append(
                f"{len(survey.lost_with[position])} objects of {names} would be lost with {site}: sync first"
            )
        if answers and not member.vacant:
            more = " and is their home: make sure that nobody reaches it any more" * (home == site)
            refusals.append(f"{site} answers{more}; without it nothing is saved to {names} until it is rebuilt")
        spare = len(others) - stripes.k
    else:
        if not answers:
            refusals.append(f"{stores_of_set(name)[position]} {member.trouble}")
        elif len(givers) < stripes.k:
            barred_by.append(
                f"{names}: only {len(givers)} other sites answer, and {stripes.k} give what is to be written"
            )
        else:
            try:
                work = plan_rebuild(store, position) if member.vacant else plan_healing(store, [position])
            except HoldfastError as error:
                barred_by.append(f"{names}: {error.message}")
        spare = len({*others, site}) - stripes.k
    return SetMove(
        name, assets, home, home_after, answers, member.vacant, work, max(-1, spare), tuple(refusals), tuple(barred_by)
    )


def _planned_home(sites: DeclaredSites, site: str, name: str, assets: tuple[DeclaredAsset, ...]) -> SetMove:
    """Only a set that is whole, and that nobody writes to, gets another home while the old one answers."""
    names, placed = ", ".join(one.name for one in assets), assets[0].placement.sites
    barred: list[str] = []
    home, spare, work = "", -1, HealingPlan()
    try:
        store = sites.stripes(name, failed_too=True)
        survey = survey_stripes(store)
        home = placed[survey.home]
        bad = [
            f"{store} {one.problem}"
            for store, one in zip(stores_of_set(name), survey.lacks, strict=True)
            if one.problem
        ]
        bad += [f"{one} is {sites.states[one].condition.value}" for one in placed if one in sites.states]
        work, spare = plan_healing(store), len(survey.usable) - stripes_of_set(name).k
        if bad:
            barred.append(f"{names}: {bad[0]}: where the old home is lost, `holdfast site fail` moves it")
        elif home != site and (busy := _busy(sites, name)):
            barred.append(f"{names}: {busy}: wait until it is done")
    except HoldfastError as error:
        barred.append(f"{names}: {error.message}")
    return SetMove(name, assets, home, site, not barred, False, work, max(-1, spare), (), tuple(barred))


def _busy(sites: DeclaredSites, name: str) -> str:
    """Who writes to the set now; empty where nobody does."""
    handle = sites.open_at(name).handle
    now = handle.clock.now_ns()
    active = [lease for lease in seen_leases(handle) if not lease.is_over and lease.is_active(now)]
    record = active[0].record if active else None
    return (
        "" if not active else "somebody writes" if record is None else f"{record.label} writes to it ({record.purpose})"
    )


def _rebuilt(store: StripedStore, position: int, move: SetMove) -> SetDone:
    store.sites.forget()
    _ = store.layout
    member = store.sites.members[position]
    try:
        done: Healed = rebuild_site(store, position) if member.vacant else heal_stripes(store, [position])
        if not member.vacant:
            record_layout(store, [member])
    except HoldfastError as error:
        return SetDone(move.name, move.assets, HealingPlan(), (error.message,))
    failed = [f"{key}: {why}" for key, why in done.failed.items()] + [f"{one} differs" for one in done.differing]
    failed += done.owed
    return SetDone(move.name, move.assets, done, tuple(failed))


def _position(site: str, assets: tuple[DeclaredAsset, ...]) -> int:
    return assets[0].placement.sites.index(site)
