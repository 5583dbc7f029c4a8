"""The planner: the first site of those asked for where the recovery is possible, and the steps that lead there."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.clock import NANOSECONDS
from holdfast.errors import NotFoundError, RefusedError
from holdfast.recovery.facts import Answer, Asset, Facts, Site
from holdfast.recovery.intents import AsOf, Intent, Pinned, Strategy
from holdfast.recovery.planning.capacity import find_machines
from holdfast.recovery.planning.graph import Part, steps_of, writers_of
from holdfast.recovery.planning.points import agreeing_points
from holdfast.recovery.plans import Plan, Rejected, build_plan
from holdfast.units import format_duration

__all__ = ["FRESH_SECONDS", "plan_recovery"]

FRESH_SECONDS = 3600.0  # facts are older than a plan may be after that, or after three intervals of an asset
_INTERVALS = 3
_LOCAL = (Strategy.PILOT_LIGHT, Strategy.WARM_STANDBY, Strategy.HOT_STANDBY)


def plan_recovery(intent: Intent, facts: Facts) -> Plan:
    """The plan. Of CLOUD_BURST, sites with all machines come before those with fewer, in the order asked for.

    Raises NotFoundError (no such asset), RefusedError (no site will do: the hint has the reason of each; where the
    home is to be stopped in good order and does not answer).
    """
    assets = [_known(facts, name) for name in intent.assets]
    _check_home(facts, intent, assets)
    rejected: list[Rejected] = []
    for name, reduced in _attempts(intent, assets):
        site = facts.site(name)
        found = Rejected(name, "nobody knows that site") if site is None else _at(facts, intent, assets, site, reduced)
        if not isinstance(found, Rejected):
            assert site is not None
            return _plan(facts, intent, assets, site, found, rejected)
        if found not in rejected:
            rejected.append(found)
    reasons = "; ".join(f"{one.what}: {one.why}" for one in rejected)
    raise RefusedError(f"no site will do for {', '.join(intent.assets)}", hint=reasons)


def _known(facts: Facts, name: str) -> Asset:
    asset = facts.asset(name)
    if asset is None:
        raise NotFoundError(f"nothing is known of an asset {name!r}", object_name=name)
    return asset


def _check_home(facts: Facts, intent: Intent, assets: list[Asset]) -> None:
    if not intent.graceful:
        return
    for asset in assets:
        home = facts.site(asset.home) if asset.home else None
        if home is None or home.answer is not Answer.YES or home.state == "failed":
            what = f"{asset.home or 'its home'} {home.answer if home is not None else 'is not known'}"
            raise RefusedError(
                f"{asset.name} cannot be stopped in good order: {what}",
                hint="plan without --graceful: the site is taken for lost, and fenced",
            )


def _attempts(intent: Intent, assets: list[Asset]) -> Iterator[tuple[str, bool]]:
    """Sites in the order in which they are tried, and whether fewer machines will do."""
    for site in intent.to:
        yield site, False
    if intent.strategy in (Strategy.CLOUD_BURST, Strategy.WARM_STANDBY) and any(one.least for one in assets):
        for site in intent.to:
            yield site, True


def _at(facts: Facts, intent: Intent, assets: list[Asset], site: Site, reduced: bool) -> list[Part] | Rejected:
    problem = _site_problem(site, assets, intent)
    if problem is not None:
        return Rejected(site.name, problem)
    machines = find_machines(site, assets, intent.strategy, facts.at, reduced=reduced)
    if isinstance(machines, Rejected):
        return machines
    points, missing = agreeing_points(facts, assets, site.name, intent, local=intent.strategy in _LOCAL)
    if missing:
        return Rejected(site.name, f"no recovery point ({'; '.join(_summed_up(missing))})")
    if intent.strategy is Strategy.HOT_STANDBY:
        for asset in assets:
            if asset.name not in site.restored:
                return Rejected(site.name, f"no restored state of {asset.name} stands there, as a hot standby has it")
    return [Part(asset, point, machines.get(asset.name)) for asset, point in zip(assets, points, strict=True)]


def _summed_up(rejected: list[Rejected]) -> Iterator[str]:
    """Those of one reason together."""
    for why in dict.fromkeys(one.why for one in rejected):
        what = [one.what for one in rejected if one.why == why]
        more = f" and {len(what) - 1} older" if len(what) > 1 else ""
        yield f"{what[0]}{more}: {why}"


def _site_problem(site: Site, assets: list[Asset], intent: Intent) -> str | None:
    if site.state != "ok" and not (site.state == "rebuilding" and intent.isolated):
        return f"it is {site.state}"
    if site.answer is not Answer.YES:
        return f"it {site.answer}"
    for asset in assets:
        if asset.jurisdictions and site.jurisdiction not in asset.jurisdictions:
            return f"it is in {site.jurisdiction}, and {asset.name} may lie in {', '.join(asset.jurisdictions)} only"
    return None


def _plan(
    facts: Facts, intent: Intent, assets: list[Asset], site: Site, parts: list[Part], rejected: list[Rejected]
) -> Plan:
    fresh = min([FRESH_SECONDS, *(_INTERVALS * asset.interval for asset in assets)])
    plan = Plan(
        intent=intent,
        site=site.name,
        facts_at=facts.at,
        fresh_until=facts.at + int(fresh * NANOSECONDS),
        chosen=tuple(part.point.chosen for part in parts),
        steps=tuple(steps_of(facts, intent, site.name, parts)),
        machines=tuple(part.got.machines for part in parts if part.got is not None),
        detecting=facts.detecting,
        deciding=facts.deciding,
        rejected=tuple(rejected),
        notes=tuple(_notes(facts, intent, site, parts)),
    )
    return build_plan(plan, fenced={} if intent.isolated else writers_of(assets))


def _notes(facts: Facts, intent: Intent, site: Site, parts: list[Part]) -> Iterator[str]:
    for part in parts:
        asset, chosen = part.asset, part.point.chosen
        newest = next(iter(facts.snapshots_of(asset.name)), None)
        if isinstance(intent.point, AsOf | Pinned):
            yield f"{asset.name}: as asked for, it goes back by {format_duration(chosen.loss)}"
        elif newest is not None and newest.id != chosen.snapshot:
            more = format_duration((newest.content - chosen.content) / NANOSECONDS)
            why = chosen.rejected[0].why if chosen.rejected else "newer than the others of the group"
            number = len(chosen.rejected)
            yield f"{asset.name}: newer snapshots will not do ({number}), which costs {more}; the newest: {why}"
        if intent.graceful:
            yield f"{asset.name}: what its last save makes is restored if it is whole at {site.name} by then"
        if part.got is not None and part.got.machines.number < part.got.machines.wanted:
            machines = part.got.machines
            yield f"{asset.name}: only {machines.number} of {machines.wanted} machines; it resumes at that world size"
