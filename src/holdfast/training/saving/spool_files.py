"""A staged state as one file on a local disk, sealed as the vault seals: what `spooling` keeps while a store is away.

::

    HFSPOOL1                                        8 bytes
    length of the head                              4 bytes, big endian
    head: {vault, suite, salt, data, order} in msgpack; its last two: bytes of the state, bytes of the order
    the order (`SaveOrder`, msgpack), sealed        nonce 0
    the staged bytes in records of 1 MiB, sealed    nonces 1, 2, …

The key is BLAKE3 of the salt under a key derived from the vault's index key, which all its members hold and nobody
else: so what a training left can be sent by the next one, and a stolen disk says nothing. The head is in the AAD of
every record. A vault that is not encrypted has spool files in clear, with the same tags against damage.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3

from holdfast.errors import DamageError, FailedError, HoldfastError, StorageFullError, UnsupportedFormatError
from holdfast.training.saving.messages import SaveOrder
from holdfast.trust.aead import TAG_SIZE, BlobCipher, new_cipher
from holdfast.trust.suites import Suite
from holdfast.vault.format.keys import VaultKeys

__all__ = ["SUFFIX", "SpoolHead", "SpooledSource", "SpoolReader", "write_spool_file", "parse_head", "spooled_size"]

SUFFIX: Final = ".spool"
_MAGIC = b"HFSPOOL1"
_CONTEXT = "holdfast 2026-11 key of a spool file"
_RECORD = 1 << 20
_HEAD_BYTES_MAX = 4096
_ORDER_BYTES_MAX = 64 << 20
_RECORDS_KEPT = 8
_ORDERS = msgspec.msgpack.Decoder(SaveOrder)


class SpoolHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies in clear. `data` and `order`: plain bytes of the state and of the order."""

    vault: bytes
    suite: int
    salt: bytes
    data: int
    order: int


_HEADS = msgspec.msgpack.Decoder(SpoolHead)


def spooled_size(order: SaveOrder, data_bytes: int) -> int:
    """About how many bytes the file will have."""
    return data_bytes + len(order.files) * 64 + (data_bytes // _RECORD + 2) * TAG_SIZE + _HEAD_BYTES_MAX


def write_spool_file(path: Path, keys: VaultKeys, order: SaveOrder, data: memoryview) -> int:
    """Seal it under `path`, all or nothing; returns its bytes. Raises StorageFullError, FailedError."""
    body = msgspec.msgpack.encode(order)
    suite = Suite.PLAIN if keys.suite is Suite.PLAIN else Suite.HYBRID_1
    salt = secrets.token_bytes(32)
    head = SpoolHead(keys.vault, int(suite), salt, data.nbytes, len(body))
    said = msgspec.msgpack.encode(head)
    cipher = _cipher(keys, head)
    unfinished = path.with_suffix(".unfinished")
    try:
        with os.fdopen(_private(unfinished), "wb") as file:
            file.write(_MAGIC + len(said).to_bytes(4, "big") + said)
            file.write(cipher.seal(0, body, said))
            out = memoryview(bytearray(_RECORD + TAG_SIZE))
            for number, at in enumerate(range(0, data.nbytes, _RECORD), 1):
                sealed = cipher.seal_into(number, data[at : at + _RECORD], said, out)
                file.write(out[:sealed])
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"the spool at {path.parent} is on a full disk", object_name=str(path)) from error
        raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
    return path.stat().st_size


def parse_head(data: bytes) -> tuple[SpoolHead, int]:
    """The head at the beginning of a spool file, and where what is sealed begins. Raises DamageError."""
    if data[: len(_MAGIC)] != _MAGIC:
        if data[:7] == _MAGIC[:7]:
            raise UnsupportedFormatError("the spool file was written by another version of holdfast")
        raise DamageError("it is no spool file")
    length = int.from_bytes(data[8:12], "big")
    if length > _HEAD_BYTES_MAX or len(data) < 12 + length:
        raise DamageError("the head of the spool file is cut off")
    try:
        head = _HEADS.decode(data[12 : 12 + length])
        Suite(head.suite)
    except (msgspec.DecodeError, ValueError) as error:
        raise DamageError("the head of the spool file is malformed") from error
    sizes_fit = 0 <= head.order <= _ORDER_BYTES_MAX and 0 <= head.data < 1 << 62
    if not sizes_fit or len(head.vault) != 16 or len(head.salt) != 32:
        raise DamageError("the head of the spool file is malformed")
    return head, 12 + length


class SpoolReader:
    """An open spool file. Raises DamageError (also for another vault's), FailedError."""

    def __init__(self, path: Path, keys: VaultKeys) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise FailedError(f"{path} cannot be opened ({error.strerror})", object_name=str(path)) from error
        try:
            beginning = self._read(0, _HEAD_BYTES_MAX + 12)
            self.head, self._sealed_at = parse_head(beginning)
            if self.head.vault != keys.vault or (self.head.suite == Suite.PLAIN) != (keys.suite is Suite.PLAIN):
                raise DamageError(f"{path} was spooled for another vault", object_name=str(path))
            self._aad = beginning[12 : self._sealed_at]
            self._cipher = _cipher(keys, self.head)
            sealed = self._read(self._sealed_at, self.head.order + TAG_SIZE)
            self.order = _decoded(self._cipher.open(0, sealed, self._aad))
            _check_order(self.order, self.head)
        except (HoldfastError, msgspec.DecodeError) as error:
            os.close(self._descriptor)
            if isinstance(error, DamageError) and not error.object_name:
                raise type(error)(f"{path}: {error.message}", object_name=str(path)) from error
            raise
        self._data_at = self._sealed_at + self.head.order + TAG_SIZE
        self._records: OrderedDict[int, bytes] = OrderedDict()

    def check(self) -> None:
        """Raises DamageError when any of its bytes is not what was written."""
        for number in range(-(-self.head.data // _RECORD)):
            self._record(number)

    def sources(self) -> list[SpooledSource]:
        """The files of the state, in their order."""
        return [SpooledSource(self, file.offset, file.size) for file in self.order.files]

    def read(self, offset: int, length: int) -> bytes:
        """Plain bytes of the staged memory. Safe for several threads."""
        parts = []
        while length > 0:
            number, within = divmod(offset, _RECORD)
            part = self._record(number)[within : within + length]
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)

    def _record(self, number: int) -> bytes:
        kept = self._records.get(number)
        if kept is not None:
            return kept
        plain = min(_RECORD, self.head.data - number * _RECORD)
        if plain <= 0:
            return b""
        sealed = self._read(self._data_at + number * (_RECORD + TAG_SIZE), plain + TAG_SIZE)
        record = self._cipher.open(number + 1, sealed, self._aad)
        self._records[number] = record
        while len(self._records) > _RECORDS_KEPT:
            try:
                self._records.popitem(last=False)
            except KeyError:  # another thread took it
                break
        return record

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise FailedError(f"{self._path} cannot be read ({error.strerror})", object_name=str(self._path)) from error


class SpooledSource:
    """A file of a spooled state, as `vault.regions.model.Source`."""

    def __init__(self, reader: SpoolReader, start: int, size: int) -> None:
        self._reader, self._start = reader, start
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._reader.read(self._start + offset, max(0, min(length, self.size - offset)))


def _cipher(keys: VaultKeys, head: SpoolHead) -> BlobCipher:
    derived = blake3(keys.index_key, derive_key_context=_CONTEXT).digest()
    return new_cipher(Suite(head.suite), blake3(head.salt, key=derived).digest())


def _decoded(body: bytes) -> SaveOrder:
    try:
        return _ORDERS.decode(body)
    except msgspec.DecodeError as error:
        raise DamageError("the order in the spool file is malformed") from error


def _check_order(order: SaveOrder, head: SpoolHead) -> None:
    if any(file.offset < 0 or file.size < 0 or file.offset + file.size > head.data for file in order.files):
        raise DamageError("a file of the spooled state lies outside it")


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
