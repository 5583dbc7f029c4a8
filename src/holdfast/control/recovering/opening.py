"""The vault that holds the assets of a recovery: at the first store that opens, whoever else hangs."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.control.recovering.trying import first_of
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.control.vaults.opening import open_on
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.stores.protocol import Store
from holdfast.vault.vault import Vault

__all__ = ["open_anywhere"]


def open_anywhere(sites: DeclaredSites, assets: Sequence[DeclaredAsset]) -> Vault:
    """All stores where these assets come first, and sets of stripes, are asked at once; those of failed sites are not.

    Raises NotFoundError where nothing can be asked, and what opening the first of them raised when none opens.
    """
    stores: dict[str, Store] = {}
    for asset in assets:
        if asset.set_name:
            stores[asset.set_name] = sites.stripes(asset.set_name)
            continue
        for site in asset.placement.sites:
            state = sites.states.get(site)
            if state is None or state.condition is not Condition.FAILED:
                name = asset.at(site)
                try:
                    stores[name] = sites.store(name).store
                except HoldfastError as error:
                    sites.progress.note(f"{name}: {error.message}")
    if not stores:
        raise NotFoundError("none of the sites of these assets is left", hint="`holdfast site list` says why")

    def opened(store: Store) -> Vault:
        return open_on(store, environment=sites.environment, clock=sites.clock, progress=sites.progress)

    return first_of(stores, opened)[1]
