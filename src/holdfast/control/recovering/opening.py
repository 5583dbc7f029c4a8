"""The vault that holds the assets of a recovery: at the first store that opens, whoever else hangs.

What is done with it is recorded in its audit log, at whichever of its stores that lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from holdfast.audit.layout import DECLARATIONS
from holdfast.control.audit.audited_vault import audited
from holdfast.control.recovering.trying import each_at_once, first_of
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.control.vaults.opening import open_on
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.stores.protocol import Store
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault

__all__ = ["assets_by_vault", "open_anywhere"]

_PATIENCE_SECONDS: Final = 5.0  # a recovery waits for it before it does anything


def assets_by_vault(sites: DeclaredSites) -> list[list[DeclaredAsset]]:
    """Those in whole copies, which one vault has, then those of each set of stripes; in the order of the file."""
    found: dict[str, list[DeclaredAsset]] = {}
    for asset in sites.assets.values():
        found.setdefault(asset.set_name, []).append(asset)
    return [found[name] for name in sorted(found, key=bool)]


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

    vault = first_of(stores, opened)[1]
    return audited(vault, environment=sites.environment, elsewhere=lambda: _with_log(sites, assets, vault))


def _with_log(sites: DeclaredSites, assets: Sequence[DeclaredAsset], vault: Vault) -> list[Handle]:
    """The vault at the stores that have an audit log: it lies at one of them, and any may have been opened. Those of
    failed sites are asked, too: what was fenced may still answer. Of who says nothing it is noted.
    """
    own, stores = vault.handle, dict[str, Store]()
    for asset in assets:
        names = [asset.set_name] if asset.set_name else [asset.at(site) for site in asset.placement.sites]
        for name in names:
            with suppress(HoldfastError):  # a store that cannot be declared was noted when the vault was opened
                stores[name] = sites.stripes(name) if asset.set_name else sites.store(name).store
    others = {name: store for name, store in stores.items() if store.url != own.store.url}
    answers, silent = each_at_once(others, _has_log, _PATIENCE_SECONDS)
    found = [name for name, has in answers.items() if has]
    if silent and not found:
        said = "; ".join(f"{name}: {error.message}" for name, error in silent.items())
        sites.progress.note(f"no store that answers has an audit log; what is done may not be recorded ({said})")
    return [Handle(others[name], own.keys, own.clock, own.progress, own.workers) for name in found]


def _has_log(store: Store) -> bool:
    return next(iter(store.list(DECLARATIONS)), None) is not None
