"""Epochs: the key pairs that a vault's objects are sealed to, and for whom their private halves are wrapped."""

from __future__ import annotations

import struct

from holdfast.errors import CredentialError, WrongKeyError
from holdfast.trust.recipients import (
    KEYFILE,
    PASSPHRASE,
    Opener,
    Recipient,
    keyfile_recipient,
    passphrase_recipient,
    unwrap,
    wrap_for_public,
)
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, Epoch

__all__ = [
    "OTHER_KEY",
    "PRIVATE_BYTES",
    "PASSPHRASES_MAX",
    "epoch_info",
    "secrets_info",
    "wrap_epoch",
    "wrap_epoch_under",
    "opens_epoch",
    "wrap_secrets",
    "private_keys",
    "likely_recipients",
]

OTHER_KEY = "use a key file or passphrase that a keeper let into this vault"  # a hint
PRIVATE_BYTES = 96  # of an epoch's private key; the keeper's fingerprint follows in what is wrapped
PASSPHRASES_MAX = 16  # each takes Argon2id's time and memory, and whoever writes to the store could list thousands


def epoch_info(vault: bytes, number: int) -> bytes:
    """What the private key of an epoch is wrapped with."""
    return b"holdfast 1 epoch\0" + vault + struct.pack("<I", number)


def secrets_info(vault: bytes) -> bytes:
    """What the chunk-id and index keys are wrapped with."""
    return b"holdfast 1 secrets\0" + vault


def wrap_epoch(keys: VaultKeys, number: int, label: str, public: bytes) -> Recipient:
    """The private key of an epoch, wrapped for another recipient's public key."""
    return keyfile_recipient(public, label, _epoch_secret(keys, number), epoch_info(keys.vault, number))


def wrap_epoch_under(keys: VaultKeys, number: int, label: str, passphrase: str) -> Recipient:
    """The same under a passphrase."""
    return passphrase_recipient(passphrase, label, _epoch_secret(keys, number), epoch_info(keys.vault, number))


def opens_epoch(keys: VaultKeys, number: int, recipient: Recipient, passphrase: str) -> bool:
    """Whether the passphrase opens what is wrapped for that recipient of the epoch."""
    try:
        unwrap(recipient, passphrase, epoch_info(keys.vault, number))
    except WrongKeyError:
        return False
    return True


def wrap_secrets(keys: VaultKeys, public: bytes) -> bytes:
    """The chunk-id and index keys, wrapped for the public key of the last epoch."""
    return wrap_for_public(keys.chunk_id_key + keys.index_key, public, secrets_info(keys.vault))


def _epoch_secret(keys: VaultKeys, number: int) -> bytes:
    signer = keys.require_keeper("adding a recipient")
    return keys.private[number].to_bytes() + bytes.fromhex(fingerprint(signer.public))


def private_keys(vault: bytes, config: Config, opener: Opener | None) -> dict[int, SealingKey]:
    """By number, the private keys of the epochs that the opener opens. Raises CredentialError, WrongKeyError."""
    if opener is None:
        raise CredentialError("this vault is encrypted", hint="set HOLDFAST_KEY_FILE or HOLDFAST_PASSPHRASE")
    private: dict[int, SealingKey] = {}
    for epoch in config.epochs:
        info = epoch_info(vault, epoch.number)
        for recipient in likely_recipients(epoch, opener):
            try:
                secret = unwrap(recipient, opener, info)
            except WrongKeyError:
                continue
            key = SealingKey.from_bytes(secret[:PRIVATE_BYTES])
            if key.public == epoch.public:
                private[epoch.number] = key
                break
    if not private:
        raise WrongKeyError(f"this key opens no epoch of vault {vault.hex()}", hint=OTHER_KEY)
    return private


def likely_recipients(epoch: Epoch, opener: Opener) -> list[Recipient]:
    """Those that may be meant: of the opener's kind, and not more passphrases than anybody has time to try."""
    if isinstance(opener, str):
        return [one for one in epoch.recipients if one.kind == PASSPHRASE][:PASSPHRASES_MAX]
    return [one for one in epoch.recipients if one.kind == KEYFILE]
