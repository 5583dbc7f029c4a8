"""Restores read packs from a store of this machine's own site where that has them: from a cache, without being told."""

from __future__ import annotations

from holdfast.config.words import Tier
from holdfast.control.audit.audited_vault import AuditedVault
from holdfast.control.sites.declared import DeclaredSites, store_name
from holdfast.control.sites.rates import RatesFile
from holdfast.control.vaults.uses import SITE_VARIABLE
from holdfast.errors import HoldfastError
from holdfast.ids import PackId
from holdfast.stores.near import NearStore
from holdfast.stores.protocol import Store, store_identity
from holdfast.vault.checking.verifying import verify_pack
from holdfast.vault.format.names import PACKS
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault

__all__ = ["reading_near"]


def reading_near(sites: DeclaredSites, opened: Vault, reference: str) -> Vault:
    """The opened vault, with packs from stores of the site where this machine is: the one that HOLDFAST_SITE names,
    else those that `tier measure --at` named last. What a reference means is said where it was opened.
    """
    asset = sites.asset(reference.rpartition("@")[0] or reference)
    own = opened.handle
    if asset.set_name or not isinstance(opened, AuditedVault):
        return opened
    named = sites.environment.get(SITE_VARIABLE, "").split()
    rates = RatesFile(sites.config.organisation, sites.environment, sites.progress.note)
    here = named or rates.read().here
    store = own.store
    for name in reversed(_nearer(sites, store, [site for site in here if site in asset.placement.sites])):
        try:
            store = _with_near(sites, own, store, sites.store(name).store)
        except HoldfastError as error:
            sites.progress.note(f"{name}: {error.message}")
    if store is own.store:
        return opened
    handle = Handle(store, own.keys, own.clock, own.progress, own.workers, own.pack_bytes)
    return AuditedVault(handle, opened.journal)


def _nearer(sites: DeclaredSites, opened: Store, here: list[str]) -> list[str]:
    """The stores of these sites, the fastest first; at the site of the store that was opened, those before it."""
    found = []
    for site in here:
        if site in sites.states:
            continue
        for tier in (tier for tier in Tier if tier in sites.config.sites[site].stores):
            name = store_name(site, tier)
            if store_identity(sites.store(name).store) == store_identity(opened):
                break
            found.append(name)
    return found


def _with_near(sites: DeclaredSites, own: Handle, store: Store, near: Store) -> Store:
    there = Handle(near, own.keys, own.clock, own.progress)

    def prove(key: str) -> None:
        verify_pack(there, PackId(key.rpartition("/")[2]))

    return NearStore(store, near, PACKS, prove, sites.progress.note)
