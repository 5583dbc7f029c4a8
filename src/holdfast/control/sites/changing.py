"""Changes of sites, each with a plan: a site that failed, that is given up, that is new, or that is built anew.

Nothing here deletes a snapshot. A site that failed and answers again may have what nobody else has: rebuilding begins
with bringing that to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.states import Change, Condition, SiteState
from holdfast.control.sites.striped_changes import SetDone, SetMove, fail_in_sets, plan_sets, rebuild_in_sets
from holdfast.errors import RefusedError, UsageError
from holdfast.replication.following.rounds import Copied, Follower, RoundReport
from holdfast.replication.following.routes import Route, site_view
from holdfast.replication.following.views import View
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time

__all__ = ["Change", "Move", "SitePlan", "SiteDone", "plan_change", "apply_change"]

_ROUNDS_MAX = 10


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
    """What was done. `settled`: whether all that was to be copied is there; None where nothing had to be."""

    plan: SitePlan
    copied: tuple[Copied, ...]
    settled: bool | None
    sets: tuple[SetDone, ...] = ()


def plan_change(sites: DeclaredSites, site: str, change: Change) -> SitePlan:
    """Changes nothing. Raises NotFoundError for a site that is not declared, and what looking raises."""
    sites.require_site(site)
    assets = [asset for asset in sites.assets.values() if site in asset.placement.sites]
    if not assets:
        return SitePlan(site, change, True, (), tuple(_state_refusals(sites, site, change)))
    whole = [asset for asset in assets if not asset.set_name]
    sets = plan_sets(sites, site, change, (asset for asset in assets if asset.set_name))
    views = _look(sites, site, whole) if whole else {}
    answers = all(views[asset.at(site)].answered for asset in whole)
    moves = tuple(_move(sites, site, change, asset, views) for asset in whole)
    refusals = [*_refusals(site, change, answers, moves), *(one for each in sets for one in each.refusals)]
    if not any(each.vacant for each in sets):
        refusals = [*_state_refusals(sites, site, change), *refusals]
    return SitePlan(
        site,
        change,
        answers and all(each.answers for each in sets),
        moves,
        tuple(refusals),
        tuple(sets),
        tuple(one for each in sets for one in each.barred),
    )


def apply_change(
    sites: DeclaredSites,
    plan: SitePlan,
    reason: str,
    *,
    force: bool = False,
    told: Callable[[RoundReport], None] = lambda report: None,
) -> SiteDone:
    """Carry it out. Interrupted, it goes on where it was when it is asked for again.

    Raises RefusedError when the plan has refusals, unless `force`d, and when it is barred; UsageError without a reason;
    PermissionDeniedError; and for stripes what adopting another home raises.
    """
    if plan.barred:
        raise RefusedError(plan.barred[0], object_name=plan.site)
    if plan.refusals and not force:
        raise RefusedError(plan.refusals[0], hint="--force does it all the same", object_name=plan.site)
    if not reason.strip() or not reason.isprintable():
        raise UsageError(f"site {plan.change.value} needs a reason: one line of text")
    asking = [move.asset for move in plan.moves if move.asset.home_site != plan.site]
    asking += [asset for each in plan.sets for asset in each.assets]
    vault = sites.open_vault(asking or _any(sites))
    guard(vault, "site.change", to=plan.site)
    with recorded_on(
        vault, "site.change", objects={"change": plan.change.value}, names={"site": plan.site, "reason": reason}
    ):
        return _APPLY[plan.change](sites, plan, reason, told)


def _fail(sites: DeclaredSites, plan: SitePlan, reason: str, told: Callable[[RoundReport], None]) -> SiteDone:
    _set(sites, plan.site, Condition.FAILED, reason)
    fail_in_sets(sites.renewed(), plan.sets, reason)
    return SiteDone(plan, (), None)


def _drain(sites: DeclaredSites, plan: SitePlan, reason: str, told: Callable[[RoundReport], None]) -> SiteDone:
    """First nobody commits there any more, then what only this site has goes to the others."""
    _set(sites, plan.site, Condition.DRAINING, reason)
    return _rescue(sites.renewed(), plan, told)


def _add(sites: DeclaredSites, plan: SitePlan, reason: str, told: Callable[[RoundReport], None]) -> SiteDone:
    return _fill(sites, plan, told)


def _rebuild(sites: DeclaredSites, plan: SitePlan, reason: str, told: Callable[[RoundReport], None]) -> SiteDone:
    """What only this site has goes to the others; what it lacks comes to it; then it is as declared again."""
    _set(sites, plan.site, Condition.REBUILDING, reason)
    now = sites.renewed()
    rescued = _rescue(now, plan, told) if plan.answers else SiteDone(plan, (), True)
    filled = _fill(now, plan, told)
    sets = tuple(rebuild_in_sets(now, plan.site, plan.sets))
    settled = bool(rescued.settled) and bool(filled.settled) and not any(each.failed for each in sets)
    if settled:
        sites.kept_states.clear(plan.site)
    return SiteDone(plan, rescued.copied + filled.copied, settled, sets)


_APPLY: Mapping[Change, Callable[[DeclaredSites, SitePlan, str, Callable[[RoundReport], None]], SiteDone]] = {
    Change.FAIL: _fail,
    Change.DRAIN: _drain,
    Change.ADD: _add,
    Change.REBUILD: _rebuild,
}


def _fill(sites: DeclaredSites, plan: SitePlan, told: Callable[[RoundReport], None]) -> SiteDone:
    """All that is declared to lie there, from its homes and from whoever else has it."""
    if not plan.moves:
        return SiteDone(plan, (), True)
    follower = SiteFollower(sites, [sites.asset(move.asset.name) for move in plan.moves])
    routes = [
        asset.route._replace(targets=(asset.at(plan.site),))._replace(
            givers=tuple(name for name in asset.route.landing if name not in (asset.home, asset.at(plan.site)))
        )
        for asset in follower.assets
        if asset.home_site != plan.site
    ]
    return _settle(follower.follower, routes, plan, told)


def _rescue(sites: DeclaredSites, plan: SitePlan, told: Callable[[RoundReport], None]) -> SiteDone:
    """What only this site has, to the home of each asset as it is now. It may hold what was dropped elsewhere: better
    kept twice than lost once.
    """
    if not plan.moves:
        return SiteDone(plan, (), True)
    follower = SiteFollower(sites, [sites.asset(move.asset.name) for move in plan.moves])
    routes = [
        Route(
            asset.name,
            asset.at(plan.site),
            (asset.home,),
            asset.owed.priority.value,
            others=asset.beside(plan.site, asset.home_site),
        )
        for asset in follower.assets
        if asset.home_site != plan.site
    ]
    return _settle(follower.follower, routes, plan, told)


def _settle(follower: Follower, routes: list[Route], plan: SitePlan, told: Callable[[RoundReport], None]) -> SiteDone:
    """Rounds until everything is there, or a round gets nowhere."""
    follower.routes = routes
    copied: list[Copied] = []
    for _ in range(_ROUNDS_MAX):
        report = follower.run_round()
        told(report)
        copied += report.copied
        if report.settled:
            return SiteDone(plan, tuple(copied), True)
        if not any(one.arrived for one in report.copied):
            break
    return SiteDone(plan, tuple(copied), False)


def _look(sites: DeclaredSites, site: str, assets: list[DeclaredAsset]) -> dict[str, View]:
    """All stores where these assets are declared to lie, in whatever state their sites are."""
    vault = sites.open_vault([asset for asset in assets if site != asset.home_site] or assets)
    guard(vault, "vault.info")
    names = dict.fromkeys(
        name for asset in assets for one in asset.placement.sites for name in (asset.at(one), *asset.beside(one))
    )
    follower = Follower(
        vault.handle,
        [sites.store(name) for name in names],
        [Route(asset.name, asset.home, ()) for asset in assets],
        progress=sites.progress,
    )
    return follower.look()


def _move(sites: DeclaredSites, site: str, change: Change, asset: DeclaredAsset, views: Mapping[str, View]) -> Move:
    route = Route(asset.name, asset.home, (), others=asset.beside(*asset.placement.sites))
    here = site_view(route, asset.at(site), views)
    others = [
        site_view(route, asset.at(one), views)
        for one in asset.placement.sites
        if one != site and one not in sites.states
    ]
    elsewhere = {snapshot: root for view in others for snapshot, root in view.of(asset.name).items()}
    there = here.of(asset.name)
    only_here = [root for snapshot, root in there.items() if snapshot not in elsewhere]
    missing = [root for snapshot, root in elsewhere.items() if snapshot not in there]
    leaving = change in (Change.FAIL, Change.DRAIN)
    sound = [one for one in asset.placement.sites if one not in sites.states and not (leaving and one == site)]
    if not leaving and site not in sound:
        sound = [one for one in asset.placement.sites if one in (*sound, site)]
    return Move(
        asset,
        sound[0] if sound else "",
        tuple(only_here),
        tuple(missing),
        _lost(there, elsewhere) if here.answered and here.vault else None,
        len(sound),
    )


def _lost(there: Mapping[str, Root], elsewhere: Mapping[str, Root]) -> float:
    """Seconds."""
    if not there:
        return 0.0
    newest = max(map(content_time, there.values()))
    others = max(map(content_time, elsewhere.values()), default=min(map(content_time, there.values())))
    return max(0, newest - others) / NANOSECONDS


def _refusals(site: str, change: Change, answers: bool, moves: tuple[Move, ...]) -> list[str]:
    found = []
    for move in moves:
        name = move.asset.name
        if change in (Change.FAIL, Change.DRAIN) and not move.home_after:
            found.append(f"{name} would have no sound site left")
        owed = move.asset.owed.copies.value
        if change is Change.DRAIN and owed is not None and move.copies_left < owed:
            found.append(f"{name} owes {owed} copies, and would have {move.copies_left} without {site}")
        if change is Change.FAIL and answers and move.only_here:
            found.append(
                f"{site} answers, and has {len(move.only_here)} of {name} that nobody else has: drain it instead"
            )
    if change is Change.DRAIN and not answers:
        found.append(f"{site} does not answer: what does not answer is not drained, but failed")
    if change in (Change.ADD, Change.REBUILD) and not answers:
        found.append(f"{site} does not answer")
    return found


def _state_refusals(sites: DeclaredSites, site: str, change: Change) -> list[str]:
    state = sites.states.get(site)
    if change is Change.ADD and state is not None:
        return [f"{site} is {state.condition.value}: rebuild it"]
    if change is Change.REBUILD and state is None:
        return [f"{site} is as declared: there is nothing to come back from"]
    return []


def _set(sites: DeclaredSites, site: str, condition: Condition, reason: str) -> None:
    sites.kept_states.set(site, SiteState(condition, sites.clock.now_ns(), reason))


def _any(sites: DeclaredSites) -> list[DeclaredAsset]:
    return list(sites.assets.values())
