"""Recipients: who can open a vault's epoch. For each, the same secret is wrapped: to a key file, or to a passphrase.

Wrapping for a public key gives 1168 bytes (a fresh key, sealed by HPKE with `info`) || AES-256-GCM of the secret under
that key (nonce 0, associated data `info`) || tag 16: 1184 bytes more than the secret.
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
from holdfast.trust.sealing import KEY_SIZE, SEALED_SIZE, SealingKey, open_key, seal_key

__all__ = [
    "KEYFILE",
    "PASSPHRASE",
    "Recipient",
    "Opener",
    "wrap_for_public",
    "unwrap_with_private",
    "recipient_id",
    "keyfile_recipient",
    "passphrase_recipient",
    "unwrap",
]

KEYFILE, PASSPHRASE = "keyfile", "passphrase"  # values of `Recipient.kind`
_ID_CONTEXT = "holdfast 1 recipient"

Opener: TypeAlias = Credential | SealingKey | str
"""What opens: a credential or its sealing key, or a passphrase."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One who can open. No field is secret.

    `kind` is text, not an enumeration: a vault with a recipient of a later kind still opens for all others.
    """

    kind: str  # "keyfile" or "passphrase"
    label: str  # for people
    id: str  # 32 hex digits: of the public key for a key file, random for a passphrase
    public: bytes = b""  # key file: the public sealing key, 1216 bytes; passphrase: empty
    wrapped: bytes


def wrap_for_public(secret: bytes, public: bytes, info: bytes) -> bytes:
    """`secret` for the owner of `public` (1216 bytes): 1184 bytes longer. Raises DamageError (malformed public key)."""
    key = os.urandom(KEY_SIZE)
    return seal_key(public, key, info) + AesGcmCipher(key).seal(0, secret, info)


def unwrap_with_private(private: SealingKey, wrapped: bytes, info: bytes) -> bytes:
    """The secret. Raises WrongKeyError (another key or `info`) and DamageError (cut, or its second part changed)."""
    if len(wrapped) < SEALED_SIZE + TAG_SIZE:
        raise DamageError(
            f"what is wrapped for a public key has at least {SEALED_SIZE + TAG_SIZE} bytes, not {len(wrapped)}"
        )
    key = open_key(private, wrapped[:SEALED_SIZE], info)
    try:
        return AesGcmCipher(key).open(0, wrapped[SEALED_SIZE:], info)
    except DamageError as error:
        raise DamageError("what is wrapped for a public key was changed") from error


def recipient_id(public: bytes) -> str:
    """The id of a key file: the first 32 hex digits of BLAKE3 in its derive-key mode over the public sealing key."""
    return blake3(public, derive_key_context=_ID_CONTEXT).hexdigest(16)


def keyfile_recipient(public: bytes, label: str, secret: bytes, info: bytes) -> Recipient:
    """A recipient that opens with the private half of `public`. Raises DamageError (malformed public key)."""
    wrapped = wrap_for_public(secret, public, info)
    return Recipient(kind=KEYFILE, label=label, id=recipient_id(public), public=public, wrapped=wrapped)


def passphrase_recipient(
    passphrase: str, label: str, secret: bytes, info: bytes, *, cost: Cost = RECOMMENDED
) -> Recipient:
    """A recipient that opens with a passphrase. Raises UsageError (empty passphrase) and FailedError (no memory)."""
    wrapped = wrap_with_passphrase(passphrase, secret, info, cost=cost)
    return Recipient(kind=PASSPHRASE, label=label, id=os.urandom(16).hex(), wrapped=wrapped)


def unwrap(recipient: Recipient, opener: Opener, info: bytes) -> bytes:
    """The secret wrapped for this recipient.

    Raises WrongKeyError when `opener` is not this recipient's, CredentialError for a credential that opens nothing
    (a writer's), DamageError for changed bytes, UnsupportedFormatError for a kind of recipient that is not known here.
    """
    if recipient.kind == PASSPHRASE:
        if not isinstance(opener, str):
            raise WrongKeyError(f"recipient {recipient.id} opens with a passphrase, not with a key file")
        return unwrap_with_passphrase(opener, recipient.wrapped, info)
    if recipient.kind == KEYFILE:
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
