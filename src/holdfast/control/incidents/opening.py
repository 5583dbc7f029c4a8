"""With which keys incidents are read and written: those of the first store that opens."""

from __future__ import annotations

from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import RefusedError
from holdfast.vault.vault import Vault

__all__ = ["open_for_incidents"]


def open_for_incidents(sites: DeclaredSites) -> Vault:
    """Raises RefusedError where every asset lies in stripes, and what opening raises."""
    whole = [asset for asset in sites.assets.values() if not asset.set_name]
    if not whole:
        raise RefusedError(
            "incidents lie where whole copies do, and all assets lie in stripes",
            hint="declare one small asset with whole copies",
        )
    return open_anywhere(sites, whole)
