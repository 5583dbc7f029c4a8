"""Secrets under a passphrase: Argon2id (RFC 9106) makes the key, AES-256-GCM seals.

Layout: u8 version 1 || u8 lanes || u16le passes || u32le memory in KiB || salt 16 || ciphertext || tag 16, where
key = Argon2id version 0x13 (UTF-8 of the passphrase in NFC, salt, 32 bytes), the nonce is 12 zero bytes (the salt makes
every key new), and the associated data are the first 24 bytes followed by `info`. Overhead: 40 bytes.
"""

from __future__ import annotations

import os
import struct
import unicodedata
from typing import NamedTuple

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from holdfast.errors import DamageError, FailedError, UnsupportedFormatError, UsageError, WrongKeyError
from holdfast.trust.aead import TAG_SIZE, AesGcmCipher

__all__ = ["OVERHEAD", "Cost", "RECOMMENDED", "wrap_with_passphrase", "unwrap_with_passphrase"]

_VERSION = 1
_HEADER = struct.Struct("<BBHI16s")  # version, lanes, passes, memory in KiB, salt
OVERHEAD = _HEADER.size + TAG_SIZE


class Cost(NamedTuple):
    """What guessing one passphrase costs: passes over the memory, lanes (threads), memory in KiB."""

    passes: int
    lanes: int
    memory_kib: int


RECOMMENDED = Cost(passes=3, lanes=4, memory_kib=64 << 10)
"""The second recommended option of RFC 9106, section 4."""

# What is read was perhaps forged: nobody makes us take more than a gigabyte or some seconds of work.
_HIGHEST = Cost(passes=16, lanes=16, memory_kib=1 << 20)


def wrap_with_passphrase(passphrase: str, secret: bytes, info: bytes, *, cost: Cost = RECOMMENDED) -> bytes:
    """`secret` under `passphrase`: 40 bytes longer, different at every call. Unwrapping demands the same `info`.

    Raises UsageError for an empty passphrase, one that is no valid Unicode, or a cost out of bounds; FailedError when
    the memory is not there.
    """
    if not _is_within_bounds(cost):
        raise UsageError(f"the cost of a passphrase lies between 1 pass, 1 lane, 8 KiB a lane and {_HIGHEST}")
    header = _HEADER.pack(_VERSION, cost.lanes, cost.passes, cost.memory_kib, os.urandom(16))
    return header + _cipher(passphrase, header, cost).seal(0, secret, header + info)


def unwrap_with_passphrase(passphrase: str, wrapped: bytes, info: bytes) -> bytes:
    """The secret.

    Raises WrongKeyError when it does not open (another passphrase, another `info`, or changed bytes), DamageError
    when `wrapped` is malformed or demands more work than is allowed, UnsupportedFormatError for a later version,
    UsageError for an empty passphrase, FailedError when the memory is not there.
    """
    if len(wrapped) < OVERHEAD:
        raise DamageError(f"what is wrapped under a passphrase has at least {OVERHEAD} bytes, not {len(wrapped)}")
    header = bytes(wrapped[: _HEADER.size])
    version, lanes, passes, memory_kib, _ = _HEADER.unpack(header)
    if version != _VERSION:
        raise UnsupportedFormatError(f"wrapping under a passphrase in version {version} is not known")
    cost = Cost(passes, lanes, memory_kib)
    if not _is_within_bounds(cost):
        raise DamageError(f"what is wrapped under a passphrase demands impossible or excessive work ({cost})")
    cipher = _cipher(passphrase, header, cost)
    try:
        return cipher.open(0, wrapped[_HEADER.size :], header + info)
    except DamageError as error:
        raise WrongKeyError(
            "this passphrase does not open the wrapped secret",
            hint="check spelling and keyboard layout; HOLDFAST_PASSPHRASE is taken as it is, with any spaces",
        ) from error


def _is_within_bounds(cost: Cost) -> bool:
    """RFC 9106, 3.1 asks for at least one pass, one lane, and 8 KiB a lane; the rest are our own limits."""
    return (
        1 <= cost.passes <= _HIGHEST.passes
        and 1 <= cost.lanes <= _HIGHEST.lanes
        and 8 * cost.lanes <= cost.memory_kib <= _HIGHEST.memory_kib
    )


def _cipher(passphrase: str, header: bytes, cost: Cost) -> AesGcmCipher:
    derivation = Argon2id(
        salt=header[-16:], length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    try:
        return AesGcmCipher(derivation.derive(_octets(passphrase)))
    except MemoryError as error:
        raise FailedError(
            f"there is not enough memory to use a passphrase ({cost.memory_kib >> 10} MiB are needed)",
            hint="free some memory, or use a key file",
        ) from error


def _octets(passphrase: str) -> bytes:
    """NFC, so that one passphrase typed on two systems is one; UTF-8."""
    if not passphrase:
        raise UsageError("a passphrase is not empty")
    try:
        return unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        pass  # the error would carry the passphrase
    raise UsageError("the passphrase is not valid Unicode text", hint="check the encoding of the terminal (UTF-8)")
