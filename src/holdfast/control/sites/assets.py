"""One asset as it is declared, and as what was said of its sites has it: its home, and who gets copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.config.effective import Effective
from holdfast.config.placing import Placement
from holdfast.config.words import Tier
from holdfast.control.sites.sets import set_name
from holdfast.control.sites.states import Condition, SiteState
from holdfast.errors import RefusedError
from holdfast.replication.copying.lanes import HIGH, NORMAL
from holdfast.replication.following.routes import Route

__all__ = ["DeclaredAsset", "store_name"]


def store_name(site: str, tier: Tier) -> str:
    """How a store is called everywhere: `euw4/warm`."""
    return f"{site}/{tier.value}"


class DeclaredAsset(NamedTuple):
    """One asset: what it owes, where it is declared to lie, and which of these sites are not what they should be."""

    owed: Effective
    placement: Placement
    states: Mapping[str, SiteState] = {}
    others: Mapping[str, tuple[str, ...]] = {}
    """Site → its stores of other tiers than the one to which snapshots come first."""

    @property
    def name(self) -> str:
        return self.owed.name

    @property
    def home_site(self) -> str:
        """Where its snapshots are committed for now: its declared home, else the first of its sites that is sound.

        Where none is, the one that is nearest to it: what is there is read, and brought back, from there. Nothing is
        saved there (`require_sound`).
        """
        return min(self.placement.sites, key=lambda site: _SOUNDEST.index(self._condition(site)))

    @property
    def is_sound(self) -> bool:
        """Whether any of its sites is. Of two sides of a cut line each may have said that the other had failed."""
        return any(site not in self.states for site in self.placement.sites)

    def require_sound(self) -> None:
        """That it has a home to which it can be saved. Raises RefusedError."""
        if not self.is_sound:
            raise RefusedError(
                f"none of the sites of {self.name} is sound: {', '.join(self.placement.sites)}",
                hint=f"`holdfast site rebuild {self.home_site}` brings one back: begin with one that has the newest",
                object_name=self.name,
            )

    @property
    def home(self) -> str:
        """Its home store; of what lies in stripes, the name of the set: `stripes:2+1:use1/warm,euw4/warm,aps1/warm`."""
        return self.set_name or self.at(self.home_site)

    @property
    def set_name(self) -> str:
        """How `DeclaredSites` calls the set of stripes in which it lies; empty for whole copies."""
        stripes = self.placement.stripes
        return "" if stripes is None else set_name(stripes, [self.at(site) for site in self.placement.sites])

    @property
    def synchronous(self) -> tuple[str, ...]:
        """The sites that a save waits for, besides the home."""
        return tuple(site for site in self.placement.synchronous if site != self.home_site and site not in self.states)

    @property
    def targets(self) -> tuple[str, ...]:
        """The stores that get copies, the synchronous ones first; none for stripes."""
        if self.set_name:
            return ()
        return tuple(self.at(site) for site in self.placement.sites if site != self.home_site and self._gets(site))

    @property
    def route(self) -> Route:
        lane = HIGH if self.placement.quorum > 1 else NORMAL
        draining = (site for site in self.placement.sites if self._is(site, Condition.DRAINING))
        givers = () if self.set_name else tuple(map(self.at, draining))
        others = self.beside(*dict.fromkeys(name.partition("/")[0] for name in (self.home, *self.targets, *givers)))
        return Route(self.name, self.home, self.targets, self.owed.priority.value, lane, givers, others)

    def beside(self, *sites: str) -> tuple[str, ...]:
        """The other stores of these sites, where a plan of tiers may have moved snapshots to."""
        return tuple(name for site in sites for name in self.others.get(site, ()))

    def at(self, site: str) -> str:
        """The store of a site to which its snapshots come first."""
        return store_name(site, self.placement.tiers[site])

    def _condition(self, site: str) -> Condition | None:
        return self.states[site].condition if site in self.states else None

    def _gets(self, site: str) -> bool:
        return not self._is(site, Condition.FAILED) and not self._is(site, Condition.DRAINING)

    def _is(self, site: str, condition: Condition) -> bool:
        return self._condition(site) is condition


_SOUNDEST = (None, Condition.REBUILDING, Condition.DRAINING, Condition.FAILED)
