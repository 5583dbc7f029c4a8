"""Epochs: the key pairs that a vault's objects are sealed to, and for whom their private halves are wrapped."""

from __future__ import annotations

import struct
from typing import TypeAlias

from holdfast.errors import CredentialError, DamageError, HoldfastError, PermissionDeniedError, WrongKeyError
from holdfast.trust.credentials import Credential
from holdfast.trust.kms.port import Binding
from holdfast.trust.kms.services import KeyServices, key_uri_of, kms_recipient, unwrap_with_kms
from holdfast.trust.recipients import (
    KEYFILE,
    KMS,
    PASSPHRASE,
    WITH_PUBLIC_KEY,
    Recipient,
    keyfile_recipient,
    passphrase_recipient,
    recipient_id,
    unwrap,
    wrap_for_public,
)
from holdfast.trust.sealing import PRIVATE_SIZES, SealingKey
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, Epoch

__all__ = [
    "OTHER_KEY",
    "RECIPIENTS_MAX",
    "AnyOpener",
    "epoch_info",
    "secrets_info",
    "wrap_epoch",
    "wrap_epoch_under",
    "wrap_epoch_by",
    "opens_epoch",
    "opened_secret",
    "wrap_secrets",
    "private_keys",
    "likely_recipients",
]

OTHER_KEY = "use a key file or passphrase that a keeper let into this vault"  # a hint
# Argon2id takes time and memory, key services time: whoever writes to the store could list thousands.
RECIPIENTS_MAX = 16
_FINGERPRINT_BYTES = 16

AnyOpener: TypeAlias = Credential | SealingKey | str | KeyServices
"""What opens: a credential or its sealing key, a passphrase, or the key services that this machine may use."""


def epoch_info(vault: bytes, number: int) -> bytes:
    """What the private key of an epoch is wrapped with."""
    return b"holdfast 1 epoch\0" + vault + struct.pack("<I", number)


def secrets_info(vault: bytes) -> bytes:
    """What the chunk-id and index keys are wrapped with."""
    return b"holdfast 1 secrets\0" + vault


def wrap_epoch(keys: VaultKeys, number: int, label: str, public: bytes, kind: str = KEYFILE) -> Recipient:
    """The private key of an epoch, wrapped for another recipient's public key."""
    return keyfile_recipient(public, label, _epoch_secret(keys, number), epoch_info(keys.vault, number), kind=kind)


def wrap_epoch_under(keys: VaultKeys, number: int, label: str, passphrase: str) -> Recipient:
    """The same under a passphrase."""
    return passphrase_recipient(passphrase, label, _epoch_secret(keys, number), epoch_info(keys.vault, number))


def wrap_epoch_by(keys: VaultKeys, number: int, label: str, uri: str, services: KeyServices) -> Recipient:
    """The same by a key of a key management service, which is asked. Raises what it raises."""
    secret, info = _epoch_secret(keys, number), epoch_info(keys.vault, number)
    return kms_recipient(services, uri, label, secret, info, Binding(keys.vault.hex(), number))


def opens_epoch(keys: VaultKeys, number: int, recipient: Recipient, passphrase: str) -> bool:
    """Whether the passphrase opens what is wrapped for that recipient of the epoch."""
    try:
        unwrap(recipient, passphrase, epoch_info(keys.vault, number))
    except WrongKeyError:
        return False
    return True


def opened_secret(recipient: Recipient, opener: AnyOpener, vault: bytes, number: int) -> tuple[SealingKey, str]:
    """What is wrapped for a recipient of an epoch: its private key, and the fingerprint of the keeper that wrapped it.

    Raises WrongKeyError, DamageError, and what a key service raises.
    """
    info = epoch_info(vault, number)
    if isinstance(opener, KeyServices):
        secret = unwrap_with_kms(recipient, opener, info, Binding(vault.hex(), number))
    else:
        secret = unwrap(recipient, opener, info)
    size = len(secret) - _FINGERPRINT_BYTES
    if size not in PRIVATE_SIZES:
        raise DamageError(f"what is wrapped for recipient {recipient.id} of epoch {number} is no epoch's key")
    return SealingKey.from_bytes(secret[:size]), secret[size:].hex()


def wrap_secrets(keys: VaultKeys, public: bytes) -> bytes:
    """The chunk-id and index keys, wrapped for the public key of the last epoch."""
    return wrap_for_public(keys.chunk_id_key + keys.index_key, public, secrets_info(keys.vault))


def _epoch_secret(keys: VaultKeys, number: int) -> bytes:
    signer = keys.require_keeper("adding a recipient")
    return keys.private[number].to_bytes() + bytes.fromhex(fingerprint(signer.public))


def private_keys(vault: bytes, config: Config, opener: AnyOpener | None) -> dict[int, SealingKey]:
    """By number, the private keys of the epochs that the opener opens.

    Raises CredentialError, WrongKeyError; where a key service was to open the last one, and none did, what the first
    raised.
    """
    if opener is None:
        raise CredentialError("this vault is encrypted", hint="set HOLDFAST_KEY_FILE or HOLDFAST_PASSPHRASE")
    private: dict[int, SealingKey] = {}
    first: HoldfastError | None = None
    silent: set[str] = set()  # URIs of services' keys: what does not answer is asked once
    for epoch in config.epochs:
        for recipient in likely_recipients(epoch, opener):
            if recipient.kind == KMS and _uri(recipient) in silent:
                continue
            try:
                key, _ = opened_secret(recipient, opener, vault, epoch.number)
            except WrongKeyError:
                continue
            except HoldfastError as error:
                if recipient.kind != KMS:
                    raise
                first = first or error
                if not isinstance(error, (PermissionDeniedError, DamageError)):  # these may be of this epoch alone
                    silent.add(_uri(recipient))
                continue
            if key.public == epoch.public:
                private[epoch.number] = key
                break
    if first is not None and config.epochs[-1].number not in private:
        raise first
    if not private:
        raise WrongKeyError(f"this key opens no epoch of vault {vault.hex()}", hint=OTHER_KEY)
    return private


def _uri(recipient: Recipient) -> str:
    try:
        return key_uri_of(recipient)
    except DamageError:
        return recipient.id


def likely_recipients(epoch: Epoch, opener: AnyOpener) -> list[Recipient]:
    """Those that may be meant: of the opener's kind, and not more than anybody has time to try."""
    if isinstance(opener, str):
        return [one for one in epoch.recipients if one.kind == PASSPHRASE][:RECIPIENTS_MAX]
    if isinstance(opener, KeyServices):
        return [one for one in epoch.recipients if one.kind == KMS][:RECIPIENTS_MAX]
    private = opener.opener if isinstance(opener, Credential) else opener
    candidates = [one for one in epoch.recipients if one.kind in WITH_PUBLIC_KEY]
    own = recipient_id(private.public) if private is not None else ""
    return sorted(candidates, key=lambda one: one.id != own)
