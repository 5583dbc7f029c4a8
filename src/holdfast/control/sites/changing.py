"""Changes of sites, each with a plan: a site that failed, that is given up, that is new, or that is built anew.

Nothing here deletes a snapshot. A site that failed and answers again may have what nobody else has: rebuilding begins
with bringing that to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.announcing import Announcing
from holdfast.control.sites.changes import Move, SiteDone, SitePlan
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.states import Change, Condition
from holdfast.control.sites.striped_changes import fail_in_sets, move_homes, plan_sets, rebuild_in_sets
from holdfast.control.sites.telling import spread
from holdfast.errors import ConflictError, RefusedError, UsageError
from holdfast.replication.following.rounds import Copied, Follower, RoundReport
from holdfast.replication.following.routes import Route, site_view
from holdfast.replication.following.views import View
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time

__all__ = ["plan_change", "apply_change"]

_ROUNDS_MAX = 10
_REASON_MAX = 1000


def plan_change(sites: DeclaredSites, site: str, change: Change) -> SitePlan:
    """Changes nothing. Raises NotFoundError for a site that is not declared, and what looking raises."""
    sites.require_site(site)
    assets = [asset for asset in sites.assets.values() if site in asset.placement.sites]
    if change is Change.HOME and not any(asset.set_name for asset in assets):
        barred = f"no stripes lie over {site}; of whole copies, `home` in holdfast.yaml names the home"
        return SitePlan(site, change, True, (), (), barred=(barred,))
    if not assets:
        return SitePlan(site, change, True, (), tuple(_state_refusals(sites, site, change)))
    whole = [asset for asset in assets if not asset.set_name and change is not Change.HOME]
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
    ConflictError when somebody else changed a site since the plan was made; PermissionDeniedError; and for stripes what
    adopting another home raises.
    """
    if plan.barred:
        raise RefusedError(plan.barred[0], object_name=plan.site)
    if plan.refusals and not force:
        raise RefusedError(plan.refusals[0], hint="--force does it all the same", object_name=plan.site)
    if not reason.strip() or not reason.isprintable() or len(reason) > _REASON_MAX:
        raise UsageError(f"site {plan.change.value} needs a reason: one line of text")
    if sites.learn():
        raise ConflictError("somebody else changed a site since this was planned", hint="look at the plan again")
    asking = [move.asset for move in plan.moves if move.asset.home_site != plan.site]
    asking += [asset for each in plan.sets for asset in each.assets]
    vault = sites.open_vault(asking or _any(sites))
    guard(vault, "site.change", to=plan.site)
    with recorded_on(
        vault, "site.change", objects={"change": plan.change.value}, names={"site": plan.site, "reason": reason}
    ):
        return _APPLY[plan.change](Announcing(sites, plan, reason, vault.handle.keys.label), told)


def _fail(said: Announcing, told: Callable[[RoundReport], None]) -> SiteDone:
    places = said.announce(Condition.FAILED)
    said.require_enough_left()
    if any(each.home_before != each.home_after for each in said.plan.sets):
        fail_in_sets(said.sites, said.plan.sets, said.reason)
        places = spread(said.sites)  # what could not be written to a set without its home
    return SiteDone(said.plan, (), None, told=places)


def _drain(said: Announcing, told: Callable[[RoundReport], None]) -> SiteDone:
    """First nobody commits there any more, then what only this site has goes to the others."""
    places = said.announce(Condition.DRAINING)
    said.require_enough_left()
    return _rescue(said.sites, said.plan, told)._replace(told=places)


def _add(said: Announcing, told: Callable[[RoundReport], None]) -> SiteDone:
    return _fill(said.sites, said.plan, told)._replace(told=spread(said.sites))


def _rebuild(said: Announcing, told: Callable[[RoundReport], None]) -> SiteDone:
    """What only this site has goes to the others; what it lacks comes to it; then it is as declared again."""
    sites, plan = said.sites, said.plan
    places = said.announce(Condition.REBUILDING)
    rescued = _rescue(sites, plan, told) if plan.answers else SiteDone(plan, (), True)
    filled = _fill(sites, plan, told)
    sets = tuple(rebuild_in_sets(sites, plan.site, plan.sets))
    settled = bool(rescued.settled) and bool(filled.settled) and not any(each.failed for each in sets)
    if settled:
        said.require_unchanged()
        places = said.announce(None)
    return SiteDone(plan, rescued.copied + filled.copied, settled, sets, places)


def _home(said: Announcing, told: Callable[[RoundReport], None]) -> SiteDone:
    sets = tuple(move_homes(said.sites, said.plan.site, said.plan.sets, said.reason))
    return SiteDone(said.plan, (), not any(each.failed for each in sets), sets)


_APPLY: Mapping[Change, Callable[[Announcing, Callable[[RoundReport], None]], SiteDone]] = {
    Change.FAIL: _fail,
    Change.DRAIN: _drain,
    Change.ADD: _add,
    Change.REBUILD: _rebuild,
    Change.HOME: _home,
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


def _any(sites: DeclaredSites) -> list[DeclaredAsset]:
    return list(sites.assets.values())
