"""Facts about the catalog: what an update did, what is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.catalogs import (
    CatalogShown,
    CatalogStatus,
    CatalogUpdated,
    KnownArrivalFacts,
    KnownIncidentFacts,
    KnownRunFacts,
    KnownSnapshotFacts,
    KnownStoreFacts,
    KnownTargetFacts,
    StandingFacts,
    TakenFacts,
)
from holdfast.clock import to_rfc3339
from holdfast.objectives.measured import NotMeasured

if TYPE_CHECKING:
    from holdfast.catalog.asking import AssetKnown, Overview
    from holdfast.control.cataloguing.filling import Updated
    from holdfast.objectives.standing import Standing, Target

__all__ = ["shown_facts", "status_facts", "updated_facts"]


def updated_facts(done: Updated, *, rebuilt: bool) -> CatalogUpdated:
    """What was taken in."""
    return CatalogUpdated(
        catalog=clean(done.place),
        rebuilt=rebuilt,
        stores=[
            TakenFacts(store=one.store, read=one.read, gone=one.gone, problem=clean(one.problem)) for one in done.stores
        ],
        aside=clean(done.aside) if done.aside else None,
    )


def status_facts(place: str, found: Overview, standings: Iterable[Standing], now_ns: int) -> CatalogStatus:
    """What there is, and how old it is."""
    return CatalogStatus(
        catalog=clean(place),
        at=to_rfc3339(now_ns),
        rows=found.rows,
        standings={state.value: number for state, number in sorted(Counter(one.state for one in standings).items())},
        stores=[
            KnownStoreFacts(
                store=one.name,
                site=one.site,
                state=one.state,
                snapshots=one.snapshots,
                unreadable=one.unreadable,
                looked=_time(one.looked_at),
                answered=_time(one.answered_at),
                problem=clean(one.problem),
            )
            for one in found.stores
        ],
    )


def shown_facts(place: str, found: AssetKnown) -> CatalogShown:
    """All of one asset."""
    standing = found.standing
    return CatalogShown(
        catalog=clean(place),
        asset=clean(found.name),
        declared=found.declared,
        kind=found.kind,
        home=found.home,
        total=found.total,
        standing=None
        if standing is None
        else StandingFacts(state=standing.state.value, rpo=_target(standing.rpo), rto=_target(standing.rto)),
        stores=[
            KnownArrivalFacts(
                store=one.store,
                snapshots=one.snapshots,
                newest=one.newest or None,
                content=_time(one.content),
                proven=_time(one.proven),
                problem=clean(one.problem),
            )
            for one in found.arrivals
        ],
        snapshots=[
            KnownSnapshotFacts(
                id=one.id,
                content=to_rfc3339(one.content),
                step=one.step,
                bytes=max(0, one.bytes),
                verdict=clean(one.verdict),
                stores=list(one.stores),
                proven=list(one.proven),
            )
            for one in found.snapshots
        ],
        runs=[
            KnownRunFacts(
                run=clean(one.id),
                verdict=clean(one.verdict),
                begun=to_rfc3339(one.begun),
                ended=_time(one.ended),
                site=clean(one.site),
                isolated=one.isolated,
            )
            for one in found.runs
        ],
        incidents=[
            KnownIncidentFacts(site=clean(site), condition=condition, at=to_rfc3339(at), reason=clean(reason))
            for site, condition, at, reason in found.incidents
        ],
    )


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _target(one: Target) -> KnownTargetFacts:
    return KnownTargetFacts(
        target=one.target,
        current=None if isinstance(one.current, NotMeasured) else one.current,
        achievable=None if isinstance(one.achievable, NotMeasured) else one.achievable,
        state=one.state.value,
        reason=clean(one.reason),
    )
