"""Facts about changes of a site: the plan, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.sites import copied_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.sites import MoveFacts, SiteChanged

if TYPE_CHECKING:
    from holdfast.control.sites.changing import Move, SiteDone, SitePlan

__all__ = ["site_change_facts"]


def site_change_facts(plan: SitePlan, done: SiteDone | None = None) -> SiteChanged:
    """`done`: None for a plan that was not carried out."""
    return SiteChanged(
        site=plan.site,
        change=plan.change.value,
        answers=plan.answers,
        moves=[_move(plan, move) for move in plan.moves],
        refusals=[clean(one) for one in plan.refusals],
        applied=done is not None,
        settled=None if done is None else done.settled,
        copied=[] if done is None else [copied_facts(one) for one in done.copied],
    )


def _move(plan: SitePlan, move: Move) -> MoveFacts:
    from holdfast.control.sites.changing import Change

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
    )
