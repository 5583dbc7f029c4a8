"""Hybrid signatures: Ed25519 (RFC 8032) and ML-DSA (FIPS 204) over the same message; both must verify.

Sizes in bytes. ML-DSA-65 (HYBRID_1): private key 64 = Ed25519 seed 32 || ML-DSA seed 32; public key 1984 = Ed25519 32
|| ML-DSA 1952; signature 3373 = Ed25519 64 || ML-DSA 3309. ML-DSA-87 (HYBRID_2): 64; 2624 = 32 || 2592; 4691 = 64 ||
4627. Which one a public key or a signature is of follows from its length. ML-DSA signs with the context string
`holdfast 1` and is randomized: two signatures of one message differ. Callers begin the message with words that say
what is signed.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
    MLDSA87PrivateKey,
    MLDSA87PublicKey,
)

from holdfast.errors import CredentialError, UntrustedError, UsageError
from holdfast.trust.private import Private
from holdfast.trust.suites import Suite

__all__ = [
    "SIGNING_PRIVATE_SIZE",
    "SIGNING_PUBLIC_SIZE",
    "SIGNATURE_SIZE",
    "SIGNATURE_SIZES",
    "SigningKey",
    "signing_suite",
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


_Private: TypeAlias = MLDSA65PrivateKey | MLDSA87PrivateKey
_Public: TypeAlias = MLDSA65PublicKey | MLDSA87PublicKey


class _Form(NamedTuple):
    """Sizes in bytes, and the class that reads a public ML-DSA key."""

    public: int
    signature: int
    reader: type[_Public]


_FORMS: Final = {
    Suite.HYBRID_1: _Form(SIGNING_PUBLIC_SIZE, SIGNATURE_SIZE, MLDSA65PublicKey),
    Suite.HYBRID_2: _Form(2624, 4691, MLDSA87PublicKey),
}
SIGNATURE_SIZES: Final = frozenset(form.signature for form in _FORMS.values())


def signing_suite(public: bytes) -> Suite:
    """The suite of a public signing key, by its length. Raises UntrustedError when there is none."""
    for suite, form in _FORMS.items():
        if len(public) == form.public:
            return suite
    sizes = " or ".join(str(form.public) for form in _FORMS.values())
    raise UntrustedError(f"a public signing key has {sizes} bytes, not {len(public)}")


class SigningKey(Private):
    """A private key that signs. Immutable; may be shared by threads."""

    __slots__ = ("_bytes", "_ed", "_ml", "_public", "_suite")

    def __init__(self, private: bytes, suite: Suite = Suite.HYBRID_1) -> None:
        """`private`: 64 bytes. Raises CredentialError for any other size, UsageError for the plain suite."""
        if len(private) != SIGNING_PRIVATE_SIZE:
            raise CredentialError(f"a private signing key has {SIGNING_PRIVATE_SIZE} bytes, not {len(private)}")
        if suite not in _FORMS:
            raise UsageError("the plain suite has no signatures of its own")
        self._bytes = bytes(private)
        self._suite = suite
        self._ed = Ed25519PrivateKey.from_private_bytes(self._bytes[:_SEED])
        seed = self._bytes[_SEED:]
        self._ml: _Private = (
            MLDSA65PrivateKey.from_seed_bytes(seed)
            if suite is Suite.HYBRID_1
            else MLDSA87PrivateKey.from_seed_bytes(seed)
        )
        self._public = self._ed.public_key().public_bytes_raw() + self._ml.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, suite: Suite = Suite.HYBRID_1) -> SigningKey:
        """A fresh key. Any 64 random bytes are one: both halves are defined by their seeds."""
        return cls(os.urandom(SIGNING_PRIVATE_SIZE), suite)

    @classmethod
    def from_bytes(cls, private: bytes, suite: Suite = Suite.HYBRID_1) -> SigningKey:
        """The key that `to_bytes` gave (64 bytes), of that suite. Raises CredentialError for any other size."""
        return cls(private, suite)

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def public(self) -> bytes:
        """1984 or 2624 bytes."""
        return self._public

    def to_bytes(self) -> bytes:
        """64 bytes, secret. They do not tell the suite."""
        return self._bytes

    def sign(self, message: bytes) -> bytes:
        """3373 or 4691 bytes, different at every call."""
        return self._ed.sign(message) + self._ml.sign(message, _CONTEXT)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SigningKey)
            and self._suite is other._suite
            and hmac.compare_digest(self._bytes, other._bytes)
        )

    def __hash__(self) -> int:
        return hash(self._public)


@lru_cache(maxsize=64)
def _parse_public(public: bytes) -> tuple[_Form, Ed25519PublicKey, _Public]:
    form = _FORMS[signing_suite(public)]
    try:
        return (
            form,
            Ed25519PublicKey.from_public_bytes(public[:_ED_PUBLIC]),
            form.reader.from_public_bytes(public[_ED_PUBLIC:]),
        )
    except ValueError as error:
        raise UntrustedError("a public signing key is malformed") from error


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Returns if both halves of `signature` verify under `public`; their lengths tell the suite.

    Raises UntrustedError otherwise, also for malformed input.
    """
    form, ed, ml = _parse_public(bytes(public))
    if len(signature) != form.signature:
        raise UntrustedError(f"a signature has {form.signature} bytes, not {len(signature)}")
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
