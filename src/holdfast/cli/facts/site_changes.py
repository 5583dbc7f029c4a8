"""Facts about changes of a site: the plan, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.sites import copied_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.sites import HealedFacts, MoveFacts, SiteChanged

if TYPE_CHECKING:
    from holdfast.control.sites.changes import Move, SiteDone, SitePlan
    from holdfast.control.sites.striped_changes import SetDone, SetMove

__all__ = ["site_change_facts"]


def site_change_facts(plan: SitePlan, done: SiteDone | None = None) -> SiteChanged:
    """`done`: None for a plan that was not carried out."""
    return SiteChanged(
        site=plan.site,
        change=plan.change.value,
        answers=plan.answers,
        moves=[_move(plan, move) for move in plan.moves] + [one for each in plan.sets for one in _striped(each)],
        refusals=[clean(one) for one in (*plan.barred, *plan.refusals)],
        applied=done is not None,
        settled=None if done is None else done.settled,
        copied=[] if done is None else [copied_facts(one) for one in done.copied],
        healed=[] if done is None else [_healed(one) for one in done.sets],
        told=[] if done is None else [clean(one) for one in done.told.places],
        untold=[] if done is None else [clean(f"{one}: {why}") for one, why in done.told.problems.items()],
    )


def _move(plan: SitePlan, move: Move) -> MoveFacts:
    from holdfast.control.sites.states import Change

    rescued = move.only_here if plan.change in (Change.DRAIN, Change.REBUILD) else ()
    filled = move.missing if plan.change in (Change.ADD, Change.REBUILD) else ()
    return MoveFacts(
        asset=clean(move.asset.name),
        home_before=move.asset.home_site,
        home_after=move.home_after,
        only_here=len(move.only_here),
        lost_seconds=move.lost_seconds,
        copies_left=move.copies_left,
        copies_owed=move.asset.owed.copies.value,
        to_copy=len(rescued) + len(filled),
        bytes=sum(root.stats.get("stored", 0) for root in (*rescued, *filled)),
        stripes="",
        packs=0,
    )


def _striped(each: SetMove) -> list[MoveFacts]:
    from holdfast.control.sites.sets import stripes_of_set

    return [
        MoveFacts(
            asset=clean(asset.name),
            home_before=each.home_before,
            home_after=each.home_after,
            only_here=0,
            lost_seconds=0.0 if each.spare >= 0 else None,
            copies_left=each.spare + 1,
            copies_owed=asset.owed.copies.value,
            to_copy=0,
            bytes=each.work.bytes_written,
            stripes=str(stripes_of_set(each.name)),
            packs=each.work.packs,
        )
        for asset in each.assets
    ]


def _healed(one: SetDone) -> HealedFacts:
    from holdfast.control.sites.sets import stripes_of_set

    return HealedFacts(
        assets=[clean(asset.name) for asset in one.assets],
        stripes=str(stripes_of_set(one.name)),
        packs=one.work.packs,
        objects=one.work.objects,
        bytes_read=one.work.bytes_read,
        bytes_written=one.work.bytes_written,
        unhealed=[clean(text) for text in one.failed],
    )
