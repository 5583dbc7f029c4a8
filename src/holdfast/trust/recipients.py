"""Recipients: who can open a vault's epoch. For each, the same secret is wrapped: for a key file, for a key that only
exists in shares, under a passphrase, or by a key management service (`trust.kms`).

Wrapping for a public key gives 1168 or 1713 bytes (a fresh key, sealed by HPKE with `info`, in the key's suite) ||
AES-256-GCM of the secret under that key (nonce 0, associated data `info`) || tag 16.
"""

from __future__ import annotations

import os
from typing import TypeAlias

import msgspec
from blake3 import blake3

from holdfast.errors import CredentialError, DamageError, UnsupportedFormatError, WrongKeyError
from holdfast.trust.aead import TAG_SIZE, AesGcmCipher
from holdfast.trust.credentials import Credential
from holdfast.trust.passphrase import RECOMMENDED, Cost, unwrap_with_passphrase, wrap_with_passphrase
from holdfast.trust.sealing import KEY_SIZE, SealingKey, open_key, seal_key, sealed_size

__all__ = [
    "KEYFILE",
    "PASSPHRASE",
    "SHARES",
    "KMS",
    "WITH_PUBLIC_KEY",
    "Recipient",
    "Opener",
    "wrap_for_public",
    "unwrap_with_private",
    "recipient_id",
    "keyfile_recipient",
    "passphrase_recipient",
    "unwrap",
    "new_id",
]

KEYFILE, PASSPHRASE, SHARES, KMS = "keyfile", "passphrase", "shares", "kms"  # values of `Recipient.kind`
WITH_PUBLIC_KEY = (KEYFILE, SHARES)  # these are wrapped for without their doing
_ID_CONTEXT = "holdfast 1 recipient"

Opener: TypeAlias = Credential | SealingKey | str
"""What opens: a credential or its sealing key, or a passphrase."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One who can open. No field is secret.

    `kind` is text, not an enumeration: a vault with a recipient of a later kind still opens for all others.
    """

    kind: str  # "keyfile", "shares", "passphrase", "kms"
    label: str  # for people
    id: str  # 32 hex digits: of the public key for key files and shares, else random
    public: bytes = b""  # key file, shares: the public sealing key; passphrase: empty; kms: the key's URI, ASCII
    wrapped: bytes


def wrap_for_public(secret: bytes, public: bytes, info: bytes) -> bytes:
    """`secret` for the owner of `public`: 1184 or 1729 bytes longer. Raises DamageError (malformed public key)."""
    key = os.urandom(KEY_SIZE)
    return seal_key(public, key, info) + AesGcmCipher(key).seal(0, secret, info)


def unwrap_with_private(private: SealingKey, wrapped: bytes, info: bytes) -> bytes:
    """The secret. Raises WrongKeyError (another key or `info`) and DamageError (cut, or its second part changed)."""
    sealed = sealed_size(private.suite)
    if len(wrapped) < sealed + TAG_SIZE:
        least = sealed + TAG_SIZE
        raise DamageError(f"what is wrapped for a public key has at least {least} bytes, not {len(wrapped)}")
    key = open_key(private, wrapped[:sealed], info)
    try:
        return AesGcmCipher(key).open(0, wrapped[sealed:], info)
    except DamageError as error:
        raise DamageError("what is wrapped for a public key was changed") from error


def recipient_id(public: bytes) -> str:
    """The id of a key file: the first 32 hex digits of BLAKE3 in its derive-key mode over the public sealing key."""
    return blake3(public, derive_key_context=_ID_CONTEXT).hexdigest(16)


def new_id() -> str:
    """A random id, for what has no public key."""
    return os.urandom(16).hex()


def keyfile_recipient(public: bytes, label: str, secret: bytes, info: bytes, *, kind: str = KEYFILE) -> Recipient:
    """A recipient that opens with the private half of `public`. Raises DamageError (malformed public key).

    `kind`: SHARES for a key that only exists in shares; it says so to people, and is wrapped for alike.
    """
    wrapped = wrap_for_public(secret, public, info)
    return Recipient(kind=kind, label=label, id=recipient_id(public), public=public, wrapped=wrapped)


def passphrase_recipient(
    passphrase: str, label: str, secret: bytes, info: bytes, *, cost: Cost = RECOMMENDED
) -> Recipient:
    """A recipient that opens with a passphrase. Raises UsageError (empty passphrase) and FailedError (no memory)."""
    wrapped = wrap_with_passphrase(passphrase, secret, info, cost=cost)
    return Recipient(kind=PASSPHRASE, label=label, id=new_id(), wrapped=wrapped)


def unwrap(recipient: Recipient, opener: Opener, info: bytes) -> bytes:
    """The secret wrapped for this recipient.

    Raises WrongKeyError when `opener` is not this recipient's, CredentialError for a credential that opens nothing
    (a writer's), DamageError for changed bytes, UnsupportedFormatError for a kind of recipient that is not known here.
    """
    if recipient.kind == PASSPHRASE:
        if not isinstance(opener, str):
            raise WrongKeyError(f"recipient {recipient.id} opens with a passphrase, not with a key file")
        return unwrap_with_passphrase(opener, recipient.wrapped, info)
    if recipient.kind in WITH_PUBLIC_KEY:
        if isinstance(opener, str):
            raise WrongKeyError(f"recipient {recipient.id} opens with a key file, not with a passphrase")
        return _unwrap_keyfile(recipient, _sealing_key(opener), info)
    raise UnsupportedFormatError(f"recipient {recipient.id} is of a kind that this version of holdfast does not know")


def _unwrap_keyfile(recipient: Recipient, private: SealingKey, info: bytes) -> bytes:
    if private.public != recipient.public:
        raise WrongKeyError(
            f"the key {recipient_id(private.public)} is not that of recipient {recipient.id}",
            hint="use the key file of a recipient of this vault",
        )
    return unwrap_with_private(private, recipient.wrapped, info)


def _sealing_key(opener: Credential | SealingKey) -> SealingKey:
    if isinstance(opener, SealingKey):
        return opener
    if opener.opener is None:
        raise CredentialError(
            f"the {opener.role}'s credential holds no key that opens the vault {opener.vault_id}",
            hint="use a reader's or keeper's key file, or a passphrase",
        )
    return opener.opener
