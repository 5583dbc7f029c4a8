"""From what is declared to stores that are open: one vault, on the stores of several sites."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.effective import Effective, effective
from holdfast.config.finding import LoadedConfig
from holdfast.config.model import Config, Way
from holdfast.config.placing import Placement, place
from holdfast.config.references import resolve
from holdfast.config.words import Reference, Tier
from holdfast.control.sites.lines import SiteLines
from holdfast.control.sites.sets import LostStore, is_set_name, set_name, stores_of_set
from holdfast.control.sites.states import Condition, SiteState, SiteStates
from holdfast.control.vaults.opening import open_on
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.copying.lanes import HIGH, NORMAL
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore
from holdfast.stores.lines.terms import USUAL_PRIORITY
from holdfast.stores.protocol import Store
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.replication.striping.store import StripedStore

__all__ = ["DeclaredSites", "DeclaredAsset", "store_name"]


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
        """Where its snapshots are committed for now: its declared home, else the first of its sites that is sound."""
        sound = [site for site in self.placement.sites if site not in self.states]
        if not sound:
            raise RefusedError(
                f"none of the sites of {self.name} is sound: {', '.join(self.placement.sites)}",
                hint="`holdfast site rebuild` brings one back",
                object_name=self.name,
            )
        return sound[0]

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

    def _gets(self, site: str) -> bool:
        return not self._is(site, Condition.FAILED) and not self._is(site, Condition.DRAINING)

    def _is(self, site: str, condition: Condition) -> bool:
        return site in self.states and self.states[site].condition is condition


@dataclass
class DeclaredSites:
    """What a file declares, opened as it is asked for."""

    loaded: LoadedConfig
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = SYSTEM_CLOCK
    progress: Progress = SILENT
    _stores: dict[tuple[str, int], SiteStore] = field(default_factory=dict)
    _sets: dict[tuple[str, bool], StripedStore] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.loaded.config

    @cached_property
    def assets(self) -> dict[str, DeclaredAsset]:
        """By name. Raises RefusedError for a placement that a rule forbids."""
        found = {}
        for name in self.config.assets:
            owed = effective(self.config, name)
            placed = place(self.config, owed)
            if placed.faults or placed.placement is None:
                why = placed.faults[0].message if placed.faults else "no site can have it"
                raise RefusedError(
                    f"{name}: {why}", hint=f"`holdfast config check` says where in {self.loaded.path}", object_name=name
                )
            found[name] = DeclaredAsset(owed, placed.placement, self.states, self._others(placed.placement))
        return found

    def _others(self, placement: Placement) -> dict[str, tuple[str, ...]]:
        return {
            site: tuple(store_name(site, tier) for tier in self.config.sites[site].stores if tier is not landing)
            for site, landing in placement.tiers.items()
        }

    @cached_property
    def states(self) -> dict[str, SiteState]:
        """Which sites are not as declared. Raises DamageError."""
        return self.kept_states.read()

    @property
    def kept_states(self) -> SiteStates:
        return SiteStates(self.config.organisation, self.environment)

    def renewed(self) -> DeclaredSites:
        """The same, with the states as they are now."""
        renewed = DeclaredSites(self.loaded, self.environment, self.clock, self.progress, self._stores)
        renewed.lines = self.lines
        return renewed

    def asset(self, name: str) -> DeclaredAsset:
        """Raises NotFoundError for one that is not declared."""
        try:
            return self.assets[name]
        except KeyError:
            known = ", ".join(sorted(self.assets)) or "none"
            raise NotFoundError(f"{self.loaded.path} declares no asset {name!r}", hint=f"it declares {known}") from None

    def site_names(self) -> list[str]:
        """In the order of the file."""
        return list(self.config.sites)

    def require_site(self, name: str) -> None:
        """Raises NotFoundError for a site that is not declared."""
        if name not in self.config.sites:
            known = ", ".join(self.config.sites)
            raise NotFoundError(f"{self.loaded.path} declares no site {name!r}", hint=f"it declares {known}")

    def store(self, name: str, priority: int = USUAL_PRIORITY) -> SiteStore:
        """The store `site/tier`, opened over its links; nothing is read yet. Raises UsageError, CredentialError.

        `priority`: among what goes over the same links; a higher one overtakes.
        """
        if is_set_name(name):
            return SiteStore(name, "", self.stripes(name))
        if (name, priority) not in self._stores:
            site, _, tier = name.partition("/")
            declared = self.config.sites[site]
            store = self.lines.open_store(site, declared, declared.stores[Tier(tier)], priority, self._revealed)
            self._stores[name, priority] = SiteStore(name, site, store)
        return self._stores[name, priority]

    def stripes(self, name: str, *, failed_too: bool = False) -> StripedStore:
        """The set of stripes of this name (`DeclaredAsset.set_name`); nothing is read yet.

        A site that is taken for lost is not asked, unless `failed_too`. Raises RefusedError where one of its stores is
        declared to have whole copies, or shards of another set, too.
        """
        if (name, failed_too) not in self._sets:
            from holdfast.replication.striping.store import StripedStore

            self._require_stores_of_its_own(name)
            opened: list[Store] = []
            for store in stores_of_set(name):
                site = store.partition("/")[0]
                state = None if failed_too else self.states.get(site)
                failed = state is not None and state.condition is Condition.FAILED
                one = self.store(store).store
                opened.append(LostStore(one.url, site) if failed else one)
            self._sets[name, failed_too] = StripedStore(opened, clock=self.clock, progress=self.progress)
        return self._sets[name, failed_too]

    def _require_stores_of_its_own(self, name: str) -> None:
        mine = set(stores_of_set(name))
        for other in self.assets.values():
            shared = mine & {other.at(site) for site in other.placement.sites}
            if shared and other.set_name != name:
                what = "whole copies" if not other.set_name else "another set of stripes"
                raise RefusedError(
                    f"{', '.join(sorted(shared))} is declared for stripes, and for {what} ({other.name}): one store "
                    "cannot hold both",
                    hint="declare sites with stores of their own for stripes, in the same regions if you like",
                    object_name=other.name,
                )

    @cached_property
    def lines(self) -> SiteLines:
        """What this process sends and gets goes over these."""
        return SiteLines(self.clock, self.progress.note)

    def price(self, source: str, target: str) -> float:
        """Of 10^9 bytes from one store to another: what leaving the source's site costs; 0 within a site."""
        site = source.partition("/")[0]
        if site == target.partition("/")[0]:
            return 0.0
        return self.config.sites[site].link_called("").price_per_gb or 0.0

    def stores_of(self, assets: Sequence[DeclaredAsset]) -> list[SiteStore]:
        """The stores where these assets lie, each once, in the order of the routes."""
        names = dict.fromkeys(name for asset in assets for name in asset.route.stores)
        return [self.store(name) for name in names]

    def open_vault(self, assets: Sequence[DeclaredAsset]) -> Vault:
        """The vault at the first of these assets' stores that opens: homes first.

        Raises what opening the last of them raised, NotFoundError where none has a vault, UsageError without assets.
        """
        names = dict.fromkeys([asset.home for asset in assets] + [name for one in assets for name in one.targets])
        if not names:
            raise UsageError(f"{self.loaded.path} declares no assets", hint="docs/config.md shows how")
        trouble: HoldfastError | None = None
        for name in names:
            try:
                return self.open_at(name)
            except HoldfastError as error:
                self.progress.note(f"{name}: {error.message}")
                trouble = error
        assert trouble is not None
        raise trouble

    def open_at(self, name: str) -> Vault:
        """The vault at one store, or in one set of stripes. Raises what `control.vaults.opening.open_on` raises."""
        store = self.store(name).store
        try:
            return open_on(store, environment=self.environment, clock=self.clock, progress=self.progress)
        except NotFoundError as error:
            if not is_set_name(name):
                raise
            asset = next(one.name for one in self.assets.values() if one.set_name == name)
            raise NotFoundError(
                f"the stripes of {asset} were never created over {', '.join(stores_of_set(name))} ({error.message})",
                hint=f"`holdfast site create {asset}` makes them, once",
                object_name=asset,
            ) from error

    def _revealed(self, way: Way) -> tuple[dict[str, str], dict[str, str]]:
        """Options and credentials of a way, without references."""
        options = {name: self._value(value) for name, value in way.options.items()}
        return options, {name: self._value(value) for name, value in way.credentials.items()}

    def _value(self, value: str | Reference) -> str:
        if isinstance(value, Reference):
            return resolve(value, self.loaded.folder, self.environment).reveal()
        return value
