"""Sealing 32-byte keys to a public key: HPKE (RFC 9180, base mode, one message) with MLKEM768-X25519.

The KEM is the hybrid of ML-KEM-768 (FIPS 203) and X25519 (RFC 7748) known as X-Wing: an attacker has to break both.
Sizes in bytes: private key 96 = ML-KEM seed 64 || X25519 32; public key 1216 = ML-KEM 1184 || X25519 32; sealed key
1168 = KEM ciphertext 1120 (ML-KEM 1088 || X25519 32) || AES-256-GCM ciphertext 32 || tag 16.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from holdfast.errors import CredentialError, DamageError, UsageError, WrongKeyError
from holdfast.trust.private import Private

__all__ = ["KEY_SIZE", "PRIVATE_SIZE", "PUBLIC_SIZE", "SEALED_SIZE", "SealingKey", "seal_key", "open_key"]

KEY_SIZE = 32
PRIVATE_SIZE = 96
PUBLIC_SIZE = 1216
SEALED_SIZE = 1168

_MLKEM_SEED = 64
_MLKEM_PUBLIC = 1184
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class SealingKey(Private):
    """A private key that opens what was sealed to `public`. Immutable; may be shared by threads."""

    __slots__ = ("_bytes", "_parsed", "_public")

    def __init__(self, private: bytes) -> None:
        """`private`: 96 bytes. Raises CredentialError for any other size."""
        if len(private) != PRIVATE_SIZE:
            raise CredentialError(f"a private sealing key has {PRIVATE_SIZE} bytes, not {len(private)}")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(private[_MLKEM_SEED:])
        self._bytes = bytes(private)
        self._parsed = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)  # parsing costs more than opening
        self._public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SealingKey:
        """A fresh key. Any 96 random bytes are one: both halves are defined by their seeds."""
        return cls(os.urandom(PRIVATE_SIZE))

    @classmethod
    def from_bytes(cls, private: bytes) -> SealingKey:
        """The key that `to_bytes` gave (96 bytes). Raises CredentialError for any other size."""
        return cls(private)

    @property
    def public(self) -> bytes:
        """1216 bytes."""
        return self._public

    def to_bytes(self) -> bytes:
        """96 bytes, secret."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingKey) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._public)


@lru_cache(maxsize=64)
def _parse_public(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    if len(public) != PUBLIC_SIZE:
        raise DamageError(f"a public sealing key has {PUBLIC_SIZE} bytes, not {len(public)}")
    mlkem, x25519 = public[:_MLKEM_PUBLIC], public[_MLKEM_PUBLIC:]
    try:
        return hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
        )
    except ValueError as error:  # FIPS 203, 7.2: coefficients that are not reduced
        raise DamageError("a public sealing key is malformed") from error


def seal_key(public: bytes, key32: bytes, info: bytes) -> bytes:
    """Seal 32 bytes to the owner of `public` (1216 bytes): 1168 bytes, different at every call.

    `info` says what the key is for and where it lies; opening demands the same. Raises DamageError for a malformed
    public key, UsageError for a key of another size.
    """
    if len(key32) != KEY_SIZE:
        raise UsageError(f"a key to be sealed has {KEY_SIZE} bytes, not {len(key32)}")
    recipient = _parse_public(bytes(public))
    try:
        return _SUITE.encrypt(key32, recipient, info=info)
    except ValueError as error:  # RFC 7748, 6.1: a point of low order would give a shared secret of zeros
        raise DamageError("a public sealing key is malformed") from error


def open_key(private: SealingKey, sealed: bytes, info: bytes) -> bytes:
    """The 32 bytes that were sealed to this key with this `info`.

    Raises DamageError when `sealed` is not 1168 bytes long, WrongKeyError when it does not open (another key, another
    `info`, or changed bytes: the three cannot be told apart).
    """
    if len(sealed) != SEALED_SIZE:
        raise DamageError(f"a sealed key has {SEALED_SIZE} bytes, not {len(sealed)}")
    try:
        return _SUITE.decrypt(sealed, private._parsed, info=info)
    except (InvalidTag, ValueError) as error:
        raise WrongKeyError(
            "this private key does not open the sealed key",
            hint="use the key file of this vault and epoch; if it is the right one, the sealed key is damaged",
        ) from error
