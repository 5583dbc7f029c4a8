"""What every change of a vault's members begins and ends with: the newest configuration, and the one after it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from holdfast.errors import RefusedError, UntrustedError, UsageError, WrongKeyError
from holdfast.trust.credentials import is_label
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.configuration import append_config, load_config
from holdfast.vault.access.descent import require_descent, seen_config
from holdfast.vault.format.documents import body_max
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, encode_record
from holdfast.vault.handle import Handle

__all__ = ["newest_config", "require_free_label", "require_open", "write_generation", "keys_with"]

_KEPT_BYTES = 64 << 10  # a revocation adds 8 bytes, and a configuration holds some 500 members


def newest_config(handle: Handle, what: str) -> Config:
    """The configuration that counts now.

    Raises CredentialError for anyone but a keeper, UntrustedError for one that was revoked, and when it does not go on
    from the one that the vault was opened with (the keeper would sign what somebody put back), and what loading raises.
    """
    keys = handle.keys
    own = fingerprint(keys.require_keeper(what).public)
    # Also keepers that were revoked since: the chain of generations may begin with them.
    pins = [fingerprint(known.public) for known in keys.config.signers if known.role == "keeper"]
    config = load_config(handle.store, pins, expected_vault=keys.vault.hex()).config
    require_descent(handle.store, seen_config(keys.config), config)
    counting = {fingerprint(one.public) for one in config.signers if one.role == "keeper" and one.revoked is None}
    if own not in counting:  # what it signed would be no keeper's, and shut the vault for all others
        raise UntrustedError(f"{what} needs a keeper's key that counts; {keys.label!r} was revoked")
    return config


def require_open(handle: Handle, config: Config) -> None:
    """Raises WrongKeyError when the handle was opened before the newest epoch, so that it cannot wrap its key."""
    if config.epochs[-1].number not in handle.keys.private:
        raise WrongKeyError("the vault has a new epoch, which this key was not opened for", hint="open the vault anew")


def require_free_label(config: Config, label: str) -> None:
    """Raises RefusedError when a member has that label, UsageError when nobody can."""
    if not label or not is_label(label):
        raise UsageError("a label has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit")
    taken = {signer.label for signer in config.signers}
    taken |= {recipient.label for epoch in config.epochs for recipient in epoch.recipients}
    if label in taken:
        raise RefusedError(f"there is a member {label!r} of this vault already", hint="choose another label")


def write_generation(
    handle: Handle, config: Config, new: Mapping[int, SealingKey] = MappingProxyType({}), *, takes: bool = False
) -> None:
    """Write the generation after `config`, with its content; the handle goes on with it, and with the epochs' private
    keys in `new`. `takes`: it takes something from somebody, and may use the room that is kept for that.

    Raises ConflictError when somebody else wrote one meanwhile, RefusedError when there is no more room.
    """
    following = msgspec.structs.replace(config, generation=config.generation + 1, created=handle.clock.now_ns())
    if not takes and len(encode_record(following)) > body_max(Kind.CONFIG) - _KEPT_BYTES:
        raise RefusedError(
            "the vault has too many members and epochs: its configuration would not leave room to revoke them",
            hint="remove recipients that are not needed; revoking and removing are possible as before",
        )
    append_config(handle.store, handle.keys, following)
    handle.keys = keys_with(handle, following, {**handle.keys.private, **new})


def keys_with(handle: Handle, config: Config, private: Mapping[int, SealingKey]) -> VaultKeys:
    """The handle's keys with another configuration and other epochs."""
    keys = handle.keys
    return VaultKeys(keys.vault, config, keys.chunk_id_key, keys.index_key, private, keys.signer, keys.label, keys.role)
