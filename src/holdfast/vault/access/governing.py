"""What every change of a vault's members begins and ends with: the newest configuration, and the one after it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from holdfast.errors import RefusedError
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.configuration import append_config, load_config
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config
from holdfast.vault.handle import Handle

__all__ = ["newest_config", "require_free_label", "write_generation", "keys_with"]


def newest_config(handle: Handle, what: str) -> Config:
    """The configuration that counts now. Raises CredentialError for anyone but a keeper, and what loading raises."""
    signer = handle.keys.require_keeper(what)
    return load_config(handle.store, [fingerprint(signer.public)]).config


def require_free_label(config: Config, label: str) -> None:
    """Raises RefusedError when a member has that label."""
    taken = {signer.label for signer in config.signers}
    taken |= {recipient.label for epoch in config.epochs for recipient in epoch.recipients}
    if label in taken:
        raise RefusedError(f"there is a member {label!r} of this vault already", hint="choose another label")


def write_generation(handle: Handle, config: Config, new: Mapping[int, SealingKey] = MappingProxyType({})) -> None:
    """Write the generation after `config`, with its content; the handle goes on with it, and with the epochs' private
    keys in `new`. Raises ConflictError when somebody else wrote one meanwhile.
    """
    following = msgspec.structs.replace(config, generation=config.generation + 1, created=handle.clock.now_ns())
    append_config(handle.store, handle.keys, following)
    handle.keys = keys_with(handle, following, {**handle.keys.private, **new})


def keys_with(handle: Handle, config: Config, private: Mapping[int, SealingKey]) -> VaultKeys:
    """The handle's keys with another configuration and other epochs."""
    keys = handle.keys
    return VaultKeys(keys.vault, config, keys.chunk_id_key, keys.index_key, private, keys.signer, keys.label, keys.role)
