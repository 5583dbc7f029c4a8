"""Saying what becomes of a site while others may speak, too: whoever finds that together they gave up too much, takes
back what they said.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.control.sites.changes import SitePlan
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.sets import stripes_of_set
from holdfast.control.sites.states import Condition, SiteState
from holdfast.control.sites.telling import Told, say, spread
from holdfast.errors import ConflictError
from holdfast.vault.access.site_notices import SiteNotice

__all__ = ["Announcing"]


@dataclass
class Announcing:
    """One change of a site by one person. `by`: the label of their key."""

    sites: DeclaredSites
    plan: SitePlan
    reason: str
    by: str
    _before: SiteState | None = None
    _said: SiteNotice | None = None

    def announce(self, condition: Condition | None) -> Told:
        """It counts on this machine when this returns, and for all who reach one of the stores that took it."""
        self._before = self.sites.states.get(self.plan.site)
        self._said = say(self.sites, self.plan.site, condition, self.reason, self.by)
        self.sites.forget_states()
        told = spread(self.sites)
        if not told.places:
            self.sites.progress.note(
                f"no store knows yet what became of {self.plan.site}, and so no other machine: `holdfast site sync` "
                "tells those that answer"
            )
        return told

    def require_enough_left(self) -> None:
        """Look whether somebody else gave up another site at the same time, so that too little is left.

        Whoever notices takes back what they said; when both do, both sites are as before. Raises ConflictError.
        """
        sites, plan = self.sites, self.plan
        sites.learn()
        lost = self._lost()
        if not lost:
            return
        others = "; ".join(f"{site}: {state}" for site, state in sites.states.items() if site != plan.site)
        reason = "taken back: somebody else gave up another site at the same time"
        say(sites, plan.site, None if self._before is None else self._before.condition, reason, self.by)
        sites.forget_states()
        spread(sites)
        raise ConflictError(
            f"{plan.site} is as before: {', '.join(lost)} would have too few sites left ({others})",
            hint="look at the plan again",
            object_name=plan.site,
        )

    def _lost(self) -> list[str]:
        """Assets that the plan left enough of, and that have too little now."""
        sites, plan = self.sites, self.plan
        found = []
        for move in plan.moves:
            left = sum(site not in sites.states for site in move.asset.placement.sites)
            if left < min(move.copies_left, max(1, move.asset.owed.copies.value or 1)):
                found.append(move.asset.name)
        for each in plan.sets:
            left = sum(site not in sites.states for site in each.assets[0].placement.sites)
            if each.spare >= 0 and left < stripes_of_set(each.name).k:
                found += [asset.name for asset in each.assets]
        return found

    def require_unchanged(self) -> None:
        """Raises ConflictError where somebody else said something of the site since `announce`."""
        self.sites.learn()
        state = self.sites.states.get(self.plan.site)
        if self._said is None or state is None or state.notice != self._said.id:
            now = "as declared" if state is None else str(state)
            raise ConflictError(
                f"somebody else said something of {self.plan.site} meanwhile: it is {now}",
                hint="what was copied stays; look at the plan again",
                object_name=self.plan.site,
            )
