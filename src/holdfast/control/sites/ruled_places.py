"""Where replicas of a vault, and what its log's witnesses keep, may lie: by the rules of the assets declared in it.

What a witness is sent and keeps tells of a vault: who did how much, and when. So a rule on jurisdictions holds for it,
too. Where no file declares the vault, or no asset of it has a rule, nothing is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from holdfast.config.effective import Effective, effective
from holdfast.config.finding import CONFIG_VARIABLE, LoadedConfig, load_config
from holdfast.config.model import StoreSpec, Witness
from holdfast.config.placing import Placement, place
from holdfast.config.ruling import assets_of_vaults, barred_by, has_rules
from holdfast.config.words import Reference
from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store, store_identity

__all__ = ["VaultRules", "find_rules"]

_STRIPES = "stripes:"


class VaultRules(NamedTuple):
    """`assets`: all of the vault. `ruled`: those of them with rules; at least one."""

    loaded: LoadedConfig
    assets: tuple[str, ...]
    ruled: tuple[Effective, ...]

    def require_named(self, names: Iterable[str]) -> None:
        """That witnesses with keys of these names are declared, at sites where they may be. Raises RefusedError."""
        for name in names:
            self._require(next((one for one in self._declared() if one.name == name), None), f"the witness {name}")

    def require_listening(self, urls: Iterable[str]) -> None:
        """The same for the addresses at which witnesses are asked."""
        for url in urls:
            found = next((one for one in self._declared() if one.url.rstrip("/") == url.rstrip("/")), None)
            self._require(found, f"the witness at {url}")

    def require_store(self, store: Store, called: str) -> bool:
        """Whether the file knows where that store is, and it may be there. Raises RefusedError where it may not."""
        config, identity = self.loaded.config, store_identity(store)
        for site, declared in config.sites.items():
            if any(identity in _identities(spec) for spec in declared.stores.values()):
                barred = barred_by(config, self.ruled, site)
                if barred:
                    raise RefusedError(f"{called} may not lie there: {barred}", object_name=store.url)
                return True
        return False

    def require_state(self, name: str, state: Store) -> None:
        """That what this witness remembers lies where it may: at a store of a site, or where the file says."""
        self.require_named([name])
        if self.require_store(state, f"what {name} remembers"):
            return
        witness = next(one for one in self._declared() if one.name == name)
        if not witness.state or store_identity(state) not in _identities(StoreSpec(url=witness.state)):
            raise RefusedError(
                f"nobody knows where {state.url} lies, and {self.ruled[0].name} may lie {self.ruled[0].rules}",
                hint=f"name it as the `state` of the witness in {self.loaded.path}",
                object_name=state.url,
            )

    def _declared(self) -> list[Witness]:
        """Of this vault."""
        found = self.loaded.config.witnesses.values()
        return [one for one in found if not one.assets or set(one.assets) & set(self.assets)]

    def _require(self, witness: Witness | None, called: str) -> None:
        if witness is None:
            raise RefusedError(
                f"nobody knows where {called} is, and {self.ruled[0].name} may lie {self.ruled[0].rules}",
                hint=f"declare it under `witnesses` in {self.loaded.path}, with its site",
                object_name=called,
            )
        barred = barred_by(self.loaded.config, self.ruled, witness.site)
        if barred:
            raise RefusedError(f"{called} may not be there: {barred}", object_name=called)


def find_rules(store: Store, environment: Mapping[str, str] = os.environ) -> VaultRules | None:
    """Those of the vault at this store, or in these stripes; None where nothing is ruled.

    By the file that HOLDFAST_CONFIG names, or the nearest `holdfast.yaml` of this user. Raises UsageError for one that
    is wrong: what it forbids is not known then.
    """
    named = bool(environment.get(CONFIG_VARIABLE))
    try:
        loaded = load_config(environment=environment)
    except (NotFoundError, RefusedError):  # somebody else's, found on the way up, declares nothing for us
        if named:
            raise
        return None
    config = loaded.config
    identity = store_identity(store)
    mine = set(identity.removeprefix(_STRIPES).split(",")) if identity.startswith(_STRIPES) else {identity}
    here = {
        f"{name}/{tier.value}"
        for name, site in config.sites.items()
        for tier, spec in site.stores.items()
        if mine & _identities(spec)
    }
    owed = {name: effective(config, name) for name in config.assets}
    placements: dict[str, Placement] = {}
    for name, one in owed.items():
        placement = place(config, one).placement
        if placement is not None:
            placements[name] = placement
    lying = [name for name, placement in placements.items() if here & _all_stores(loaded, placement)]
    assets = assets_of_vaults(placements, lying)
    ruled = tuple(owed[name] for name in assets if has_rules(owed[name]))
    return VaultRules(loaded, tuple(assets), ruled) if ruled else None


def _all_stores(loaded: LoadedConfig, placement: Placement) -> set[str]:
    """Those to which its snapshots come first; of whole copies also those where a plan of tiers may move them."""
    if placement.stripes is not None:
        return set(placement.stores)
    return {f"{site}/{tier.value}" for site in placement.sites for tier in loaded.config.sites[site].stores}


def _identities(spec: StoreSpec) -> set[str]:
    """By all of its ways; without secrets, and without what only a reference says."""
    found = set()
    for way in spec.ways():
        plain = {name: value for name, value in way.options.items() if not isinstance(value, Reference)}
        try:
            found.add(store_identity(open_store(way.url, options=plain)))
        except HoldfastError:
            continue
    return found
