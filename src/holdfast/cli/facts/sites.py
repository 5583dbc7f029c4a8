"""Facts about sites: what is declared, what they hold, what is exposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from holdfast.cli.facts.workers import worker_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.sites import (
    ArrivalFacts,
    ConfiguredFacts,
    CopiedFacts,
    CopyFacts,
    ExposureFacts,
    HealedFacts,
    SiteFacts,
    SiteList,
    SiteStatus,
    SiteSynced,
    StoreFacts,
    StripesFacts,
    StripeSiteFacts,
)
from holdfast.clock import NANOSECONDS, to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.sites.following import SitesRound, SitesStatus
    from holdfast.control.sites.spreading import SiteCarriers
    from holdfast.control.sites.striped import Healing, SetStatus
    from holdfast.replication.following.configuring import Configured
    from holdfast.replication.following.exposing import Exposure
    from holdfast.replication.following.rounds import Copied
    from holdfast.replication.following.routes import Copy
    from holdfast.replication.following.views import View

__all__ = ["healed_facts", "site_list_facts", "site_status_facts", "planned_sync_facts", "synced_facts", "copied_facts"]


def site_list_facts(sites: DeclaredSites, names: Iterable[str], views: Mapping[str, View] | None = None) -> SiteList:
    """What is declared of these sites; with `views` also what their stores said."""
    return SiteList(config=clean(str(sites.loaded.path)), sites=[_site(sites, name, views) for name in names])


def _site(sites: DeclaredSites, name: str, views: Mapping[str, View] | None) -> SiteFacts:
    from holdfast.config.effective import restore_time
    from holdfast.control.sites.declared import store_name

    site = sites.config.sites[name]
    stores = []
    for tier, spec in site.stores.items():
        view = None if views is None else views.get(store_name(name, tier))
        stores.append(
            StoreFacts(
                tier=tier.value,
                url=clean(spec.url),
                restore_seconds=restore_time(tier, spec).value,
                answers=None if view is None else view.answered,
                problem=clean(view.problem.message) if view is not None and view.problem is not None else "",
                snapshots=None if view is None or not view.answered else sum(map(len, view.roots.values())),
            )
        )
    placed, state = sites.assets.values(), sites.states.get(name)
    return SiteFacts(
        name=name,
        cloud=site.cloud.value,
        region=site.region,
        jurisdiction=site.jurisdiction,
        state="" if state is None else state.condition.value,
        since=None if state is None else to_rfc3339(state.at),
        reason="" if state is None else clean(state.reason),
        by="" if state is None else clean(state.by),
        rivals=[clean(one) for one in sites.kept_states.rivals(name)],
        stores=stores,
        homes=[clean(asset.name) for asset in placed if asset.home_site == name and state is None],
        copies=[
            clean(asset.name)
            for asset in placed
            if name in asset.placement.sites and (asset.home_site != name or state is not None)
        ],
    )


def site_status_facts(sites: DeclaredSites, status: SitesStatus) -> SiteStatus:
    """How far every store is, and what is exposed."""
    return SiteStatus(
        at=to_rfc3339(status.now_ns),
        arrivals=[
            ArrivalFacts(
                asset=clean(one.asset),
                store=one.store,
                home=one.home,
                there=one.there,
                wanted=one.wanted,
                verified=one.verified,
                complete=None if one.complete_ns is None else to_rfc3339(one.complete_ns),
                lag=None if one.lag_ns is None else one.lag_ns / NANOSECONDS,
                problem=clean(one.problem),
            )
            for one in status.arrivals
        ],
        stripes=[_set(one) for one in status.sets],
        exposures=_exposures(sites, status.exposures),
        copies=[_copy(one) for one in status.plan.copies],
        outdated=list(status.plan.outdated),
        stuck=[clean(one) for one in status.plan.stuck],
    )


def _set(one: SetStatus) -> StripesFacts:
    from holdfast.control.sites.sets import stripes_of_set

    survey = one.survey
    sites = []
    for position, store in enumerate(one.stores):
        lacks = None if survey is None else survey.lacks[position]
        unknown = lacks is None or bool(lacks.problem)
        sites.append(
            StripeSiteFacts(
                store=store,
                home=survey is not None and survey.home == position,
                problem=clean(lacks.problem) if lacks is not None else "not known",
                packs=None if lacks is None or unknown else lacks.packs,
                objects=None if lacks is None or unknown else lacks.objects,
            )
        )
    return StripesFacts(
        assets=[clean(asset.name) for asset in one.assets],
        stripes=str(stripes_of_set(one.name)),
        sites=sites,
        packs=None if survey is None else len(survey.packs),
        fragments=None if survey is None else survey.fragments,
        problem="" if one.problem is None else clean(one.problem.message),
    )


def healed_facts(one: Healing) -> HealedFacts:
    """What was written to sites that lacked it, or would be."""
    from holdfast.control.sites.sets import stripes_of_set

    return HealedFacts(
        assets=[clean(asset.name) for asset in one.assets],
        stripes=str(stripes_of_set(one.name)),
        packs=one.work.packs,
        objects=one.work.objects,
        bytes_read=one.work.bytes_read,
        bytes_written=one.work.bytes_written,
        unhealed=[clean(text) for text in one.unhealed],
    )


def planned_sync_facts(sites: DeclaredSites, status: SitesStatus, healings: Iterable[Healing]) -> SiteSynced:
    """What a round would do."""
    planned = list(healings)
    return SiteSynced(
        at=to_rfc3339(status.now_ns),
        dry_run=True,
        settled=not any((status.plan.copies, status.plan.stuck, status.plan.outdated))
        and all(one.settled for one in planned),
        configured=[ConfiguredFacts(store=one, source="", generations=0, error="") for one in status.plan.outdated],
        copied=[],
        copies=[_copy(one) for one in status.plan.copies],
        healed=[healed_facts(one) for one in planned],
        exposures=_exposures(sites, status.exposures),
        stuck=[clean(one) for one in status.plan.stuck],
        workers=[],
    )


def synced_facts(
    sites: DeclaredSites, done: SitesRound, now_ns: int, carriers: SiteCarriers | None = None
) -> SiteSynced:
    """What a round did; `carriers`: who carried packs."""
    report = done.report
    return SiteSynced(
        at=to_rfc3339(now_ns),
        dry_run=False,
        settled=done.settled,
        configured=[_configured(one) for one in report.configured],
        copied=[copied_facts(one) for one in report.copied],
        copies=[],
        healed=[healed_facts(one) for one in done.healings],
        exposures=_exposures(sites, done.exposures),
        stuck=[clean(one) for one in dict.fromkeys((*report.plan.stuck, *report.left.stuck))],
        workers=worker_facts(carriers),
    )


def _configured(one: Configured) -> ConfiguredFacts:
    return ConfiguredFacts(
        store=one.store,
        source=one.source,
        generations=one.generations,
        error="" if one.error is None else clean(one.error.message),
    )


def copied_facts(one: Copied) -> CopiedFacts:
    """What became of one copy."""
    return CopiedFacts(
        asset=clean(one.copy.asset),
        target=one.copy.target,
        source=one.source,
        arrived=len(one.arrived),
        left_out=len(one.left_out),
        objects=one.objects,
        bytes=one.bytes,
        seconds=one.seconds,
        error=clean(one.error.message) if one.error is not None else "",
    )


def _copy(one: Copy) -> CopyFacts:
    return CopyFacts(
        asset=clean(one.asset),
        target=one.target,
        sources=list(one.sources),
        snapshots=len(one.snapshots),
        bytes=one.bytes,
    )


def _exposures(sites: DeclaredSites, found: Iterable[Exposure]) -> list[ExposureFacts]:
    facts = []
    for one in found:
        rpo = sites.asset(one.asset).owed.rpo.value
        facts.append(
            ExposureFacts(
                asset=clean(one.asset),
                site=one.site,
                protection=one.protection.value,
                seconds=one.seconds,
                arrived_seconds=one.arrived_seconds,
                snapshot=one.snapshot,
                store=one.store,
                behind_seconds=one.behind_seconds,
                rpo=rpo,
                met=_met(one, rpo),
            )
        )
    return facts


def _met(one: Exposure, rpo: float | None) -> bool | None:
    """Whether what survives is new enough. An RPO of 0 means: nothing newer exists anywhere, which a quorum sees to."""
    from holdfast.replication.following.exposing import Protection

    if rpo is None:
        return None
    if one.protection is Protection.NONE:
        return False
    if one.seconds is None:
        return None
    return one.behind_seconds == 0 if rpo == 0 else one.seconds <= rpo
