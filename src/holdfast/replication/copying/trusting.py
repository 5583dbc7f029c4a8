"""Which generations of a configuration count, so that a forged one does not reach another site.

The rule is the one by which a vault is opened (`docs/format/vault-1.md`), begun from a configuration that is trusted
already: what is not newer counts when a keeper of that one signed it, what is newer when the one before it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from holdfast.errors import DamageError, UntrustedError
from holdfast.stores.protocol import Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.generations import StoredConfig, read_generation
from holdfast.vault.format.names import CONFIG
from holdfast.vault.format.records import Config
from holdfast.vault.format.series import series_at

__all__ = ["Generations", "sort_generations", "newest_config"]


class Generations(NamedTuple):
    """Keys of generations, oldest first. A damaged one, of which nobody can tell, is among `counting`."""

    counting: list[str]
    forged: list[str]


def sort_generations(store: Store, trusted: Config | None) -> Generations:
    """Sort the generations of a store. With nothing to begin from (None), its oldest one is taken at its word."""
    series = series_at(store, CONFIG)
    sorted_out = Generations([], series.leap_keys)
    newest = trusted
    for key in series.keys:
        try:
            stored, verify_signature = read_generation(store, key)
        except DamageError:
            sorted_out.counting.append(key)  # copying it finds the same, and says so
            continue
        old = newest is not None and trusted is not None and stored.config.generation <= trusted.generation
        keepers = _keepers(trusted if old and trusted is not None else newest or stored.config, revoked_too=old)
        if not _signed(stored, verify_signature, keepers):
            sorted_out.forged.append(key)
            continue
        sorted_out.counting.append(key)
        newest = newest if old else stored.config
    return sorted_out


def newest_config(store: Store) -> Config | None:
    """The highest generation that a store has, None when it has none. Raises DamageError."""
    keys = series_at(store, CONFIG).keys
    return read_generation(store, keys[-1])[0].config if keys else None


def _keepers(config: Config, *, revoked_too: bool) -> dict[str, bytes]:
    return {
        fingerprint(signer.public): signer.public
        for signer in config.signers
        if signer.role == "keeper" and (revoked_too or signer.revoked is None)
    }


def _signed(stored: StoredConfig, verify_signature: Callable[[bytes], None], keepers: dict[str, bytes]) -> bool:
    public = keepers.get(stored.signer)
    if public is None:
        return False
    try:
        verify_signature(public)
    except UntrustedError:
        return False
    return True
