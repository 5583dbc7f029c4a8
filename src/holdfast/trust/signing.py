"""Hybrid signatures: Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204) over the same message; both must verify.

Sizes in bytes: private key 64 = Ed25519 seed 32 || ML-DSA-65 seed 32; public key 1984 = Ed25519 32 || ML-DSA-65 1952;
signature 3373 = Ed25519 64 || ML-DSA-65 3309. ML-DSA signs with the context string `holdfast 1` and is
randomized: two signatures of one message differ. Callers begin the message with words that say what is signed.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from holdfast.errors import CredentialError, UntrustedError
from holdfast.trust.private import Private

__all__ = [
    "SIGNING_PRIVATE_SIZE",
    "SIGNING_PUBLIC_SIZE",
    "SIGNATURE_SIZE",
    "SigningKey",
    "verify",
    "fingerprint",
]

SIGNING_PRIVATE_SIZE = 64
SIGNING_PUBLIC_SIZE = 1984
SIGNATURE_SIZE = 3373

_SEED = 32
_ED_PUBLIC = 32
_ED_SIGNATURE = 64
_CONTEXT = b"holdfast 1"
_FINGERPRINT_CONTEXT = "holdfast 1 signer"


class SigningKey(Private):
    """A private key that signs. Immutable; may be shared by threads."""

    __slots__ = ("_bytes", "_ed", "_ml", "_public")

    def __init__(self, private: bytes) -> None:
        """`private`: 64 bytes. Raises CredentialError for any other size."""
        if len(private) != SIGNING_PRIVATE_SIZE:
            raise CredentialError(f"a private signing key has {SIGNING_PRIVATE_SIZE} bytes, not {len(private)}")
        self._bytes = bytes(private)
        self._ed = Ed25519PrivateKey.from_private_bytes(self._bytes[:_SEED])
        self._ml = MLDSA65PrivateKey.from_seed_bytes(self._bytes[_SEED:])
        self._public = self._ed.public_key().public_bytes_raw() + self._ml.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key. Any 64 random bytes are one: both halves are defined by their seeds."""
        return cls(os.urandom(SIGNING_PRIVATE_SIZE))

    @classmethod
    def from_bytes(cls, private: bytes) -> SigningKey:
        """The key that `to_bytes` gave (64 bytes). Raises CredentialError for any other size."""
        return cls(private)

    @property
    def public(self) -> bytes:
        """1984 bytes."""
        return self._public

    def to_bytes(self) -> bytes:
        """64 bytes, secret."""
        return self._bytes

    def sign(self, message: bytes) -> bytes:
        """3373 bytes, different at every call."""
        return self._ed.sign(message) + self._ml.sign(message, _CONTEXT)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._public)


@lru_cache(maxsize=64)
def _parse_public(public: bytes) -> tuple[Ed25519PublicKey, MLDSA65PublicKey]:
    if len(public) != SIGNING_PUBLIC_SIZE:
        raise UntrustedError(f"a public signing key has {SIGNING_PUBLIC_SIZE} bytes, not {len(public)}")
    try:
        return (
            Ed25519PublicKey.from_public_bytes(public[:_ED_PUBLIC]),
            MLDSA65PublicKey.from_public_bytes(public[_ED_PUBLIC:]),
        )
    except ValueError as error:
        raise UntrustedError("a public signing key is malformed") from error


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Returns if both halves of `signature` (3373 bytes) verify under `public` (1984 bytes).

    Raises UntrustedError otherwise, also for malformed input.
    """
    ed, ml = _parse_public(bytes(public))
    if len(signature) != SIGNATURE_SIZE:
        raise UntrustedError(f"a signature has {SIGNATURE_SIZE} bytes, not {len(signature)}")
    try:
        ed.verify(signature[:_ED_SIGNATURE], message)
        ml.verify(signature[_ED_SIGNATURE:], message, _CONTEXT)
    except InvalidSignature as error:
        raise UntrustedError(
            f"the signature is not of signer {fingerprint(public)}",
            hint="the object was changed, or somebody else signed it: do not use it, and look at another replica",
        ) from error


def fingerprint(public: bytes) -> str:
    """The short name of a signer: the first 32 hex digits of BLAKE3 in its derive-key mode over the public key."""
    return blake3(public, derive_key_context=_FINGERPRINT_CONTEXT).hexdigest(16)
