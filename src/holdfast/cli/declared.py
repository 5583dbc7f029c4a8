"""What commands take from `holdfast.yaml` when they are not told a vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.replication.following.quorum import Quorum
    from holdfast.vault.format.records import Root
    from holdfast.vault.vault import Vault

__all__ = ["SavingVault", "vault_for_reading", "vault_for_saving"]


class SavingVault(NamedTuple):
    """An opened vault; `committed` and `reached` as in `control.sites.saving.DeclaredSave`."""

    vault: Vault
    committed: Callable[[Root], None] | None
    reached: list[Quorum]


def vault_for_saving(vault: str | None, asset: str, options: Mapping[str, str], output: Output) -> SavingVault:
    """The vault that was named; else the home of the asset. Raises UsageError where neither is there."""
    from holdfast.control.vaults.opening import open_at

    if vault is not None:
        return SavingVault(open_at(vault, options=options, progress=output.progress), None, [])
    if options:
        raise UsageError("--store-option needs --vault", hint="options of declared stores stand in holdfast.yaml")
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.sites.saving import declared_save

    try:
        loaded = load_config()
    except NotFoundError as error:
        raise UsageError("missing option '--vault' (env var: 'HOLDFAST_VAULT')", hint=error.message) from error
    found = declared_save(DeclaredSites(loaded, progress=output.progress), asset)
    return SavingVault(found.vault, found.committed, found.reached)


def vault_for_reading(vault: str | None, reference: str, options: Mapping[str, str], output: Output) -> Vault:
    """The vault that was named; else, for a reference that begins with an asset's name, where `holdfast.yaml` declares
    that asset: at its home, in its stripes, else at the first of its other stores that has it. Packs that a store of
    this machine's own site has are read there. Raises UsageError.
    """
    from holdfast.control.sites.finding import open_for_reading
    from holdfast.control.sites.reading_near import reading_near
    from holdfast.control.vaults.opening import open_at

    if vault is not None:
        return open_at(vault, options=options, progress=output.progress)
    if options:
        raise UsageError("--store-option needs --vault", hint="options of declared stores stand in holdfast.yaml")
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites

    try:
        loaded = load_config()
    except NotFoundError as error:
        raise UsageError("missing option '--vault' (env var: 'HOLDFAST_VAULT')", hint=error.message) from error
    sites = DeclaredSites(loaded, progress=output.progress)
    return reading_near(sites, open_for_reading(sites, reference), reference)
