"""Ciphers for blobs. Both have the same sizes (data + a 16-byte tag) and the same interface.

A key is used for one pack or one document, and each nonce once with it. Nonces are written as 12 bytes, big endian.
"""

from __future__ import annotations

import hmac
from typing import Protocol, TypeAlias

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.errors import DamageError, UsageError
from holdfast.trust.private import Private
from holdfast.trust.suites import Suite

__all__ = ["TAG_SIZE", "Buffer", "BlobCipher", "AesGcmCipher", "PlainCipher", "new_cipher"]

TAG_SIZE = 16
_KEY_SIZE = 32
_NONCE_SIZE = 12
# OpenSSL counts in signed 32-bit integers. Formats stay far below; both ciphers refuse alike.
_DATA_MAX = 2**31 - 1 - TAG_SIZE

Buffer: TypeAlias = bytes | bytearray | memoryview


class BlobCipher(Protocol):
    """Seals and opens blobs under one key. Thread-safe.

    `data`, `sealed` and `out` are C-contiguous and do not overlap. `out` may be longer than needed. All raise
    UsageError for a nonce outside 0 … 2^96 − 1, data of 2 GiB or more, or a buffer that is too small or read-only.
    """

    def seal_into(self, nonce: int, data: Buffer, aad: bytes, out: memoryview) -> int:
        """Write ciphertext || tag to the start of `out`; returns their length, that of `data` + 16."""
        ...

    def seal(self, nonce: int, data: Buffer, aad: bytes) -> bytes:
        """Ciphertext || tag."""
        ...

    def open_into(self, nonce: int, sealed: Buffer, aad: bytes, out: memoryview) -> int:
        """Write the data to the start of `out`; returns their length, that of `sealed` − 16.

        Raises DamageError when the tag does not match; what `out` then holds is undefined and must not be used.
        """
        ...

    def open(self, nonce: int, sealed: Buffer, aad: bytes) -> bytes:
        """The data. Raises DamageError when the tag does not match."""
        ...


class AesGcmCipher(Private):
    """AES-256-GCM (NIST SP 800-38D)."""

    __slots__ = ("_aes",)

    def __init__(self, key32: bytes) -> None:
        self._aes = AESGCM(_key_of_right_size(key32))

    def seal_into(self, nonce: int, data: Buffer, aad: bytes, out: memoryview) -> int:
        view = _as_octets(data)
        target = _room(out, _sealed_size(view))
        return self._aes.encrypt_into(_nonce_octets(nonce), view, aad, target)

    def seal(self, nonce: int, data: Buffer, aad: bytes) -> bytes:
        view = _as_octets(data)
        _sealed_size(view)
        return self._aes.encrypt(_nonce_octets(nonce), view, aad)

    def open_into(self, nonce: int, sealed: Buffer, aad: bytes, out: memoryview) -> int:
        view = _as_octets(sealed)
        target = _room(out, _data_size(nonce, view))
        try:
            return self._aes.decrypt_into(_nonce_octets(nonce), view, aad, target)
        except InvalidTag as error:
            raise _mismatch(nonce) from error

    def open(self, nonce: int, sealed: Buffer, aad: bytes) -> bytes:
        view = _as_octets(sealed)
        _data_size(nonce, view)
        try:
            return self._aes.decrypt(_nonce_octets(nonce), view, aad)
        except InvalidTag as error:
            raise _mismatch(nonce) from error


class PlainCipher(Private):
    """For public data: what is sealed is the data in clear, then a tag that any change of it breaks.

    tag = first 16 bytes of BLAKE3(nonce (12, big endian) || u64le length of aad || aad || data, key = key32).
    """

    __slots__ = ("_keyed",)

    def __init__(self, key32: bytes) -> None:
        self._keyed = blake3(key=_key_of_right_size(key32))  # never updated, only copied: threads may share it

    def seal_into(self, nonce: int, data: Buffer, aad: bytes, out: memoryview) -> int:
        view = _as_octets(data)
        size = _sealed_size(view)
        target = _room(out, size)
        tag = self._tag(nonce, view, aad)
        target[: size - TAG_SIZE] = view
        target[size - TAG_SIZE :] = tag
        return size

    def seal(self, nonce: int, data: Buffer, aad: bytes) -> bytes:
        view = _as_octets(data)
        _sealed_size(view)
        return b"".join((view, self._tag(nonce, view, aad)))

    def open_into(self, nonce: int, sealed: Buffer, aad: bytes, out: memoryview) -> int:
        view = _as_octets(sealed)
        size = _data_size(nonce, view)
        target = _room(out, size)
        self._check(nonce, view, aad)
        target[:] = view[:size]
        return size

    def open(self, nonce: int, sealed: Buffer, aad: bytes) -> bytes:
        view = _as_octets(sealed)
        size = _data_size(nonce, view)
        self._check(nonce, view, aad)
        return bytes(view[:size])

    def _check(self, nonce: int, sealed: memoryview, aad: bytes) -> None:
        tag = self._tag(nonce, sealed[:-TAG_SIZE], aad)
        if not hmac.compare_digest(tag, sealed[-TAG_SIZE:]):
            raise _mismatch(nonce)

    def _tag(self, nonce: int, data: memoryview, aad: bytes) -> bytes:
        hasher = self._keyed.copy()
        hasher.update(_nonce_octets(nonce) + len(aad).to_bytes(8, "little") + aad)
        hasher.update(data)
        return hasher.digest(TAG_SIZE)


def new_cipher(suite: Suite, key32: bytes) -> BlobCipher:
    """The suite's cipher for blobs under this key (32 bytes)."""
    return PlainCipher(key32) if suite is Suite.PLAIN else AesGcmCipher(key32)


def _key_of_right_size(key32: bytes) -> bytes:
    if len(key32) != _KEY_SIZE:  # AESGCM would take 16 bytes and silently be AES-128
        raise UsageError(f"the key of a cipher has {_KEY_SIZE} bytes, not {len(key32)}")
    return key32


def _nonce_octets(nonce: int) -> bytes:
    try:
        return nonce.to_bytes(_NONCE_SIZE, "big")
    except OverflowError as error:
        raise UsageError("a nonce lies between 0 and 2^96 − 1") from error


def _as_octets(data: Buffer) -> memoryview:
    view = memoryview(data)
    if not view.c_contiguous:
        raise UsageError("a buffer to be sealed or opened must be contiguous")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _sealed_size(data: memoryview) -> int:
    if data.nbytes > _DATA_MAX:
        raise UsageError("a blob to be sealed must be smaller than 2 GiB", hint="cut it into chunks")
    return data.nbytes + TAG_SIZE


def _data_size(nonce: int, sealed: memoryview) -> int:
    size = sealed.nbytes - TAG_SIZE
    if size < 0:
        raise DamageError(f"the sealed blob with nonce {nonce} is shorter than its tag of {TAG_SIZE} bytes")
    if size > _DATA_MAX:
        raise DamageError(f"the sealed blob with nonce {nonce} is larger than any blob that can be sealed")
    return size


def _room(out: memoryview, size: int) -> memoryview:
    octets = _as_octets(out)
    if octets.readonly or octets.nbytes < size:
        raise UsageError(f"the output buffer must be writable and have room for {size} bytes")
    return octets[:size]


def _mismatch(nonce: int) -> DamageError:
    return DamageError(f"the sealed blob with nonce {nonce} does not match its tag")
