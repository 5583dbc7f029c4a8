"""The numbered suites of algorithms. A number is never given a second meaning; a new algorithm gets a new number."""

from __future__ import annotations

from enum import IntEnum

from holdfast.errors import UnsupportedFormatError

__all__ = ["Suite", "suite_of"]


class Suite(IntEnum):
    """Which algorithms a vault, an epoch or a key uses. Hashes (BLAKE3) and ciphers for blobs are the same in both
    hybrid ones.
    """

    PLAIN = 0
    """Public data: blobs are stored in clear with a 16-byte BLAKE3 tag; no keys are sealed."""

    HYBRID_1 = 1
    """Keys: HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA256, AES-256-GCM. Blobs: AES-256-GCM.
    Signatures: Ed25519 + ML-DSA-65 (in vaults of public data, too).
    """

    HYBRID_2 = 2
    """Keys: HPKE with MLKEM1024-P384, HKDF-SHA384, AES-256-GCM. Blobs: AES-256-GCM. Signatures: Ed25519 + ML-DSA-87."""


def suite_of(number: int) -> Suite:
    """The suite of that number. Raises UnsupportedFormatError for one that this version does not know."""
    for suite in Suite:
        if suite == number:
            return suite
    raise UnsupportedFormatError(f"suite {number} is not known to this version of holdfast")
