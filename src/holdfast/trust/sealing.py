"""Sealing 32-byte keys to a public key: HPKE (RFC 9180, base mode, one message) with a hybrid KEM.

An attacker has to break both halves of the KEM: ML-KEM (FIPS 203), and a curve. Sizes in bytes; all differ, so that
what a key is follows from its length:

==========  ================================  ===================  ====================  ==================
suite       KEM, KDF, AEAD                    private              public                sealed key
==========  ================================  ===================  ====================  ==================
HYBRID_1    MLKEM768-X25519 (= X-Wing),       96 = ML-KEM seed 64  1216 = ML-KEM 1184    1168 = 1088 || 32
            HKDF-SHA256, AES-256-GCM          || X25519 32         || X25519 32          || 32 || tag 16
HYBRID_2    MLKEM1024-P384,                   112 = ML-KEM seed    1665 = ML-KEM 1568    1713 = 1568 || 97
            HKDF-SHA384, AES-256-GCM          64 || P-384 48       || P-384 point 97     || 32 || tag 16
==========  ================================  ===================  ====================  ==================

KEMs as in draft-ietf-hpke-pq, with the numbers 0x647a and 0x0051.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.errors import CredentialError, DamageError, UsageError, WrongKeyError
from holdfast.trust.private import Private
from holdfast.trust.suites import Suite

__all__ = [
    "KEY_SIZE",
    "PRIVATE_SIZE",
    "PUBLIC_SIZE",
    "SEALED_SIZE",
    "PRIVATE_SIZES",
    "SealingKey",
    "sealed_size",
    "sealing_suite",
    "seal_key",
    "open_key",
]

KEY_SIZE = 32
PRIVATE_SIZE, PUBLIC_SIZE, SEALED_SIZE = 96, 1216, 1168  # of HYBRID_1

_MLKEM_SEED = 64
_SCALAR = 48  # P-384, big endian
# FIPS 186-5, A.2.1 takes 64 bits more than the order has, so that the remainder is as good as uniform.
_SCALAR_SOURCE = _SCALAR + 8
_P384_ORDER = 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D
_SEED_CONTEXT = "holdfast 1 sealing key from a seed"

_Private: TypeAlias = hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey
_Public: TypeAlias = hpke.MLKEM768X25519PublicKey | hpke.MLKEM1024P384PublicKey


class _Form(NamedTuple):
    """Sizes in bytes (see above), and what `cryptography` calls the algorithms."""

    private: int
    public: int
    mlkem_public: int
    sealed: int
    algorithms: hpke.Suite


_FORMS: Final = {
    Suite.HYBRID_1: _Form(
        PRIVATE_SIZE,
        PUBLIC_SIZE,
        1184,
        SEALED_SIZE,
        hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    ),
    Suite.HYBRID_2: _Form(
        112, 1665, 1568, 1713, hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM)
    ),
}
PRIVATE_SIZES: Final = {form.private: suite for suite, form in _FORMS.items()}
"""The suite of a private sealing key of that many bytes."""


def sealed_size(suite: Suite) -> int:
    """Bytes of a key sealed in that suite; 0 in the plain one."""
    return 0 if suite is Suite.PLAIN else _FORMS[suite].sealed


def sealing_suite(public: bytes) -> Suite:
    """The suite of a public sealing key, by its length. Raises DamageError when there is none."""
    for suite, form in _FORMS.items():
        if len(public) == form.public:
            return suite
    sizes = " or ".join(str(form.public) for form in _FORMS.values())
    raise DamageError(f"a public sealing key has {sizes} bytes, not {len(public)}")


class SealingKey(Private):
    """A private key that opens what was sealed to `public`. Immutable; may be shared by threads."""

    __slots__ = ("_bytes", "_parsed", "_public", "_suite")

    def __init__(self, private: bytes) -> None:
        """`private`: 96 bytes (HYBRID_1) or 112 (HYBRID_2). Raises CredentialError for anything else."""
        suite = PRIVATE_SIZES.get(len(private))
        if suite is None:
            sizes = " or ".join(map(str, PRIVATE_SIZES))
            raise CredentialError(f"a private sealing key has {sizes} bytes, not {len(private)}")
        self._bytes = bytes(private)
        self._suite = suite
        # Parsing costs more than opening.
        self._parsed, self._public = _parse_private(suite, private[:_MLKEM_SEED], private[_MLKEM_SEED:])

    @classmethod
    def generate(cls, suite: Suite = Suite.HYBRID_1) -> SealingKey:
        """A fresh key. Raises UsageError for the plain suite, which seals nothing."""
        return cls.from_seed(os.urandom(32), suite) if suite is Suite.HYBRID_2 else cls(os.urandom(_private(suite)))

    @classmethod
    def from_bytes(cls, private: bytes) -> SealingKey:
        """The key that `to_bytes` gave. Raises CredentialError for a size that no key has."""
        return cls(private)

    @classmethod
    def from_seed(cls, seed: bytes, suite: Suite = Suite.HYBRID_1) -> SealingKey:
        """The key that follows from 32 secret bytes, always the same: keys.md, "Keys from a seed"."""
        if len(seed) != KEY_SIZE:
            raise UsageError(f"the seed of a sealing key has {KEY_SIZE} bytes, not {len(seed)}")
        stream = blake3(seed, derive_key_context=_SEED_CONTEXT).digest(_MLKEM_SEED + _SCALAR_SOURCE)
        if suite is not Suite.HYBRID_2:
            return cls(stream[: _private(suite)])
        scalar = 1 + int.from_bytes(stream[_MLKEM_SEED:], "big") % (_P384_ORDER - 1)
        return cls(stream[:_MLKEM_SEED] + scalar.to_bytes(_SCALAR, "big"))

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def public(self) -> bytes:
        """1216 or 1665 bytes."""
        return self._public

    def to_bytes(self) -> bytes:
        """96 or 112 bytes, secret."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingKey) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._public)


def _private(suite: Suite) -> int:
    if suite is Suite.PLAIN:
        raise UsageError("the plain suite seals no keys")
    return _FORMS[suite].private


def _parse_private(suite: Suite, seed: bytes, curve: bytes) -> tuple[_Private, bytes]:
    if suite is Suite.HYBRID_1:
        small, x25519 = MLKEM768PrivateKey.from_seed_bytes(seed), X25519PrivateKey.from_private_bytes(curve)
        public = small.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return hpke.MLKEM768X25519PrivateKey(small, x25519), public
    large = MLKEM1024PrivateKey.from_seed_bytes(seed)
    try:
        p384 = ec.derive_private_key(int.from_bytes(curve, "big"), ec.SECP384R1())
    except ValueError:  # not between 1 and the order; the error is not chained: it may quote the number
        raise CredentialError("a private sealing key holds no valid P-384 scalar") from None
    point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hpke.MLKEM1024P384PrivateKey(large, p384), large.public_key().public_bytes_raw() + point


@lru_cache(maxsize=64)
def _parse_public(public: bytes) -> tuple[_Form, _Public]:
    suite = sealing_suite(public)
    form = _FORMS[suite]
    mlkem, curve = public[: form.mlkem_public], public[form.mlkem_public :]
    try:
        if suite is Suite.HYBRID_1:
            return form, hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(curve)
            )
        if curve[:1] != b"\x04":  # SEC 1 knows other forms of that length, too
            raise DamageError("a public sealing key is malformed")
        return form, hpke.MLKEM1024P384PublicKey(
            MLKEM1024PublicKey.from_public_bytes(mlkem),
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), curve),
        )
    except ValueError as error:  # FIPS 203, 7.2: coefficients that are not reduced; a point that is not on the curve
        raise DamageError("a public sealing key is malformed") from error


def seal_key(public: bytes, key32: bytes, info: bytes) -> bytes:
    """Seal 32 bytes to the owner of `public`: 1168 or 1713 bytes, by its suite; different at every call.

    `info` says what the key is for and where it lies; opening demands the same. Raises DamageError for a malformed
    public key, UsageError for a key of another size.
    """
    if len(key32) != KEY_SIZE:
        raise UsageError(f"a key to be sealed has {KEY_SIZE} bytes, not {len(key32)}")
    form, recipient = _parse_public(bytes(public))
    try:
        return form.algorithms.encrypt(key32, recipient, info=info)
    except ValueError as error:  # RFC 7748, 6.1: a point of low order would give a shared secret of zeros
        raise DamageError("a public sealing key is malformed") from error


def open_key(private: SealingKey, sealed: bytes, info: bytes) -> bytes:
    """The 32 bytes that were sealed to this key with this `info`.

    Raises DamageError when `sealed` has not the length that its suite gives it, WrongKeyError when it does not open
    (another key, another `info`, or changed bytes: the three cannot be told apart).
    """
    form = _FORMS[private.suite]
    if len(sealed) != form.sealed:
        raise DamageError(f"a sealed key has {form.sealed} bytes, not {len(sealed)}")
    try:
        return form.algorithms.decrypt(sealed, private._parsed, info=info)
    except (InvalidTag, ValueError) as error:
        raise WrongKeyError(
            "this private key does not open the sealed key",
            hint="use the key file of this vault and epoch; if it is the right one, the sealed key is damaged",
        ) from error
