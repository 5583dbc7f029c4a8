"""From what is declared to stores that are open: one vault, on the stores of several sites."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.effective import effective
from holdfast.config.finding import LoadedConfig
from holdfast.config.model import Config, Way
from holdfast.config.placing import Placement, place
from holdfast.config.references import resolve
from holdfast.config.sharing import shared_stores
from holdfast.config.words import Reference, Tier
from holdfast.control.sites.assets import DeclaredAsset, store_name
from holdfast.control.sites.lines import SiteLines
from holdfast.control.sites.sets import LostStore, is_set_name, stores_of_set, stripes_of_set
from holdfast.control.sites.states import Condition, SiteState, SiteStates
from holdfast.control.vaults.opening import open_on
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.following.views import SiteStore
from holdfast.stores.lines.terms import USUAL_PRIORITY
from holdfast.stores.protocol import Store
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.replication.striping.store import StripedStore
    from holdfast.vault.access.generations import Generations

__all__ = ["DeclaredSites", "DeclaredAsset", "store_name"]


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
        """Which sites are not as declared, as far as this machine knows. Raises DamageError."""
        return self.kept_states.read()

    @cached_property
    def kept_states(self) -> SiteStates:
        return SiteStates(self.config.organisation, self.environment)

    def learn(self) -> bool:
        """Ask the stores what was said of sites on other machines. True when it changes what counts: what was worked
        out before from `assets` is to be worked out anew. A store that does not answer changes nothing.
        """
        from holdfast.control.sites.telling import learn

        worked_with = self.__dict__.get("states")
        changed = learn(self)
        if worked_with is not None and not changed:  # another process of this machine may have heard it, or said it
            changed = self.kept_states.read() != worked_with
        if changed:
            self.forget_states()
        return changed

    def forget_states(self) -> None:
        """Read anew what is known of sites."""
        for name in ("states", "assets"):
            self.__dict__.pop(name, None)
        self._sets.clear()

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

        A site that is taken for lost is not asked, unless `failed_too`, or where so many are that nothing could be read
        (`has_too_few`). Raises RefusedError where one of its stores is declared to have whole copies, or shards of
        another set, too.
        """
        if (name, failed_too) not in self._sets:
            from holdfast.replication.striping.store import StripedStore

            self._require_stores_of_its_own(name)
            lost = set() if failed_too or self.has_too_few(name) else set(self.failed_of(name))
            opened: list[Store] = []
            for store in stores_of_set(name):
                site, one = store.partition("/")[0], self.store(store).store
                opened.append(LostStore(one.url, site) if site in lost else one)
            self._sets[name, failed_too] = StripedStore(opened, clock=self.clock, progress=self.progress)
        return self._sets[name, failed_too]

    def failed_of(self, name: str) -> list[str]:
        """The sites of a set that are taken for lost."""
        sites = [store.partition("/")[0] for store in stores_of_set(name)]
        return [site for site in sites if site in self.states and self.states[site].condition is Condition.FAILED]

    def has_too_few(self, name: str) -> bool:
        """Whether so many sites of a set are taken for lost that the others do not give its packs: as when two sides of
        a cut line said it of each other. Then all are read, and nothing is written before some are brought back.
        """
        return len(stores_of_set(name)) - len(self.failed_of(name)) < stripes_of_set(name).k

    def _require_stores_of_its_own(self, name: str) -> None:
        """Whoever made these declarations may not have asked `config check`."""
        for shared in shared_stores({one.name: one.placement for one in self.assets.values()}):
            if self.assets[shared.asset].set_name == name:
                raise RefusedError(
                    str(shared),
                    hint="declare sites with stores of their own for stripes, in the same regions if you like",
                    object_name=shared.other,
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
        names |= {one.at(site): None for one in assets if not one.is_sound for site in one.placement.sites}
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

    def open_at(self, name: str, generations: Generations | None = None) -> Vault:
        """The vault at one store, or in one set of stripes; `generations`: its configuration, where that was read just
        now. Raises what `control.vaults.opening.open_on` raises.
        """
        store, own = self.store(name).store, self.environment
        try:
            return open_on(store, environment=own, clock=self.clock, progress=self.progress, generations=generations)
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
