"""Where a declared asset's snapshot can be read: at its home, else at whichever of its stores has it."""

from __future__ import annotations

from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.vault.vault import Vault

__all__ = ["open_for_reading"]


def open_for_reading(sites: DeclaredSites, reference: str) -> Vault:
    """The vault at the first store that has what `asset` or `asset@ref` means: the home first, then the other tiers of
    its site, then other sites. Where none has it, the first that opens: who asks it learns why.

    Raises NotFoundError (not declared), and what opening raises.
    """
    sites.learn()
    asset = sites.asset(reference.rpartition("@")[0] or reference)
    opened = sites.open_vault([asset])
    if asset.set_name or not opened.handle.keys.can_read or _has(opened, reference):
        return opened
    # A plan of tiers moves what is old: it is still the asset's, at another store.
    in_order = sorted(asset.placement.sites, key=lambda site: site != asset.home_site)
    for name in (name for site in in_order for name in (asset.at(site), *asset.beside(site))):
        if name == asset.home or (asset.is_sound and name.partition("/")[0] in sites.states):
            continue
        try:
            vault = sites.open_at(name)
            if _has(vault, reference):
                sites.progress.note(f"{reference} is read from {name}")
                return vault
        except HoldfastError as error:
            sites.progress.note(f"{name}: {error.message}")
    return opened


def _has(vault: Vault, reference: str) -> bool:
    try:
        vault.find(reference)
    except NotFoundError:
        return False
    return True
