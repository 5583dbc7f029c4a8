"""The declared sites as a drill sees them that has cut some of them off from itself: nobody else notices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.sets import LostStore, is_set_name
from holdfast.drills.watching import Probe
from holdfast.errors import StoreUnreachableError
from holdfast.replication.following.views import SiteStore
from holdfast.stores.lines.terms import USUAL_PRIORITY
from holdfast.vault.format.names import CONFIG

__all__ = ["CutSites"]


class _CutStore(LostStore):
    def _refuse(self) -> NoReturn:
        raise StoreUnreachableError(f"{self._site} does not answer: the drill has cut it off", object_name=self.url)


@dataclass
class CutSites(DeclaredSites):
    """`lost`: sites of which no store answers here, and neither does what they give to stripes."""

    lost: set[str] = field(default_factory=set)

    def store(self, name: str, priority: int = USUAL_PRIORITY) -> SiteStore:
        found = super().store(name, priority)
        if is_set_name(name) or found.site not in self.lost:
            return found
        return SiteStore(found.name, found.site, _CutStore(found.store.url, found.site))

    def cut(self, site: str) -> None:
        """From now on."""
        self.lost.add(site)
        self._sets.clear()

    def probe(self, store: str) -> Probe:
        """Whether a store answers here, and has a vault."""

        def look() -> str:
            try:
                found = next(iter(self.store(store).store.list(CONFIG)), None)
            except StoreUnreachableError as error:
                return error.message
            return "" if found is not None else "no vault is there"

        return look
