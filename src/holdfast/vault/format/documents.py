"""Reading and writing the bytes of documents: every object but packs. `docs/format/vault-1.md`, "Documents"."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

import zstandard
from blake3 import blake3

from holdfast.errors import (
    CredentialError,
    DamageError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.trust.aead import BlobCipher, PlainCipher
from holdfast.trust.sealing import open_key, seal_key, sealed_size
from holdfast.trust.signing import SIGNATURE_SIZES, SigningKey, fingerprint, verify
from holdfast.trust.suites import Suite, suite_of
from holdfast.vault.format.header import FORMAT_VERSION, HEADER_BYTES, Header, Kind
from holdfast.vault.format.keys import FOR_MEMBERS, MAY_SIGN, VaultKeys, plain_key
from holdfast.vault.format.names import INDEX

__all__ = [
    "Opened",
    "body_max",
    "checked_header",
    "claimed_signer",
    "read_config",
    "read_document",
    "write_config",
    "write_document",
]

_CHECKSUM_BYTES = 32
_MARK_BYTES = 16
_SALT_BYTES = 32
_BODY_MAX = 1 << 30
# Smaller where a stranger's object is opened, or many are: what unpacks to more would only fill the memory.
_BODY_MAX_OF = {
    Kind.CONFIG: 1 << 20,
    Kind.INDEX: 64 << 20,
    Kind.LEASE: 1 << 16,
    Kind.TRASH: 64 << 20,
    Kind.ANNOUNCEMENT: 16 << 20,
    Kind.EVIDENCE: 32 << 20,
}
_SIGNED_DOMAIN = b"holdfast 1 object\0"


class Opened(NamedTuple):
    """A document's record, still encoded, and the fingerprint of its signer (empty for parts)."""

    body: bytes
    signer: str


class _Frame(NamedTuple):
    """A document cut at its seams. Offsets are those of the whole object."""

    header: Header
    key_field: bytes
    sealed: memoryview
    signed_end: int
    mark: str
    signature: bytes


def write_document(keys: VaultKeys, kind: Kind, name: str, record: bytes, *, shared: bytes = b"") -> bytes:
    """The stored bytes of a record of that kind under the key `name`.

    Signs with the credential where the kind asks for it. `shared`: 32 bytes that open an announcement, beside the
    epoch's key.
    """
    header = keys.header(kind).pack()
    bound = _bound_name(kind, name)
    if kind in FOR_MEMBERS:
        key_field = os.urandom(_SALT_BYTES)
        cipher = keys.cipher(blake3(key_field, key=keys.index_key).digest())
    elif keys.suite is Suite.PLAIN:
        key_field, cipher = b"", PlainCipher(plain_key(keys.vault))
    else:
        salt = os.urandom(_SALT_BYTES) if kind is Kind.ANNOUNCEMENT else b""
        key = _shared_key(shared, salt) if salt else os.urandom(32)
        epoch = keys.config.epochs[-1]
        key_field, cipher = seal_key(epoch.public, key, _key_info(header, bound)), keys.cipher(key)
        key_field = salt + key_field
    return _assemble(kind, header, key_field, cipher, bound, record, keys.signer)


def write_config(vault: bytes, suite: int, name: str, record: bytes, signer: SigningKey) -> bytes:
    """The stored bytes of a config generation: in clear, signed by a keeper. Raises RefusedError when it is too big."""
    if len(record) > body_max(Kind.CONFIG):
        raise RefusedError("the vault has too many members: its configuration would exceed 1 MiB", object_name=name)
    header = Header(Kind.CONFIG.value, FORMAT_VERSION, suite, 0, vault).pack()
    return _assemble(Kind.CONFIG, header, b"", PlainCipher(plain_key(vault)), name.encode(), record, signer)


def read_document(keys: VaultKeys, kind: Kind, name: str, data: bytes, *, shared: bytes = b"") -> Opened:
    """Check and open the document stored under the key `name`; an announcement by `shared`, where that is given.

    Raises DamageError, UnsupportedFormatError, UntrustedError, CredentialError (a writer opening what it may not read).
    """
    frame = _cut(kind, name, data)
    if frame.header.vault != keys.vault:
        raise DamageError(f"{name} belongs to another vault ({frame.header.vault.hex()})", object_name=name)
    keys.require_suite(frame.header, name)
    if kind in MAY_SIGN:
        signer = keys.trusted_signer(kind, frame.mark, name)
        _verify(signer.public, kind, name, data, frame)
    cipher = _document_cipher(keys, kind, name, frame, shared)
    return Opened(_open_body(cipher, kind, name, frame), frame.mark)


def claimed_signer(kind: Kind, name: str, data: bytes) -> str:
    """The fingerprint of who signed a document, as it says itself: nothing is verified. Raises as `read_document`."""
    return _cut(kind, name, data).mark


def read_config(name: str, data: bytes) -> tuple[Header, Opened, Callable[[bytes], None]]:
    """Open a config without trusting it yet.

    The third value does that: called with a keeper's public key it raises UntrustedError unless that keeper signed.
    """
    frame = _cut(Kind.CONFIG, name, data)
    body = _open_body(PlainCipher(plain_key(frame.header.vault)), Kind.CONFIG, name, frame)
    return frame.header, Opened(body, frame.mark), lambda public: _verify(public, Kind.CONFIG, name, data, frame)


def body_max(kind: Kind) -> int:
    """Bytes that the plaintext of a document's body may have."""
    return _BODY_MAX_OF.get(kind, _BODY_MAX)


def checked_header(name: str, data: bytes | memoryview, kind: Kind) -> Header:
    """The header, checked for version and kind."""
    header = Header.parse(data, name)
    if header.version != FORMAT_VERSION:
        raise UnsupportedFormatError(
            f"{name} is of vault format {header.version}; this Holdfast reads format {FORMAT_VERSION}", object_name=name
        )
    if header.kind != kind.value:
        raise DamageError(f"{name} holds another kind of object ({header.kind!r})", object_name=name)
    return header


def _bound_name(kind: Kind, name: str) -> bytes:
    # An index is named by its stored bytes, so that name cannot be an input of them.
    return INDEX.encode() if kind is Kind.INDEX else name.encode()


def _key_info(header: bytes, bound: bytes) -> bytes:
    return b"holdfast 1 document\0" + header + bound


def _assemble(
    kind: Kind,
    header: bytes,
    key_field: bytes,
    cipher: BlobCipher,
    bound: bytes,
    record: bytes,
    signer: SigningKey | None,
) -> bytes:
    frame = zstandard.ZstdCompressor(level=3, write_checksum=False, write_content_size=True).compress(record)
    sealed = cipher.seal(0, frame, header + bound)
    signed = b"".join((header, key_field, struct.pack("<I", len(sealed)), sealed))
    if kind in MAY_SIGN:
        if signer is None:
            raise CredentialError("writing to the vault needs a writer's or keeper's key")
        signature = signer.sign(_signed_message(bound, signed))
        signed = b"".join((signed, bytes.fromhex(fingerprint(signer.public)), signature))
    return signed + blake3(signed).digest()


def _signed_message(bound: bytes, signed: bytes | memoryview) -> bytes:
    return b"".join((_SIGNED_DOMAIN, struct.pack("<H", len(bound)), bound, signed))


def _verify(public: bytes, kind: Kind, name: str, data: bytes, frame: _Frame) -> None:
    message = _signed_message(_bound_name(kind, name), memoryview(data)[: frame.signed_end])
    try:
        verify(public, message, frame.signature)
    except UntrustedError as error:
        raise UntrustedError(
            f"{name} carries a signature that is not its signer's",
            hint="somebody altered it on purpose: do not restore from it, and look at another replica",
            object_name=name,
        ) from error


def _cut(kind: Kind, name: str, data: bytes) -> _Frame:
    view = memoryview(data)
    header = Header.parse(view, name)
    if len(data) < HEADER_BYTES + _CHECKSUM_BYTES:
        raise DamageError(f"{name} is cut short ({len(data)} bytes)", object_name=name)
    if blake3(view[:-_CHECKSUM_BYTES]).digest() != view[-_CHECKSUM_BYTES:]:
        raise DamageError(f"{name} is damaged: its checksum does not match", object_name=name)
    checked_header(name, view, kind)
    position = HEADER_BYTES + _key_field_bytes(kind, header.suite, name)
    key_field = bytes(view[HEADER_BYTES:position])
    length = struct.unpack_from("<I", view, position)[0] if len(data) >= position + 4 + _CHECKSUM_BYTES else 0
    signed_end = position + 4 + length
    # How long a signature is depends on who signed, not on what: which one it has to be is for `verify`.
    tails = [_MARK_BYTES + size for size in SIGNATURE_SIZES] if kind in MAY_SIGN else [0]
    if len(data) - _CHECKSUM_BYTES - signed_end not in tails:
        raise DamageError(f"{name} is damaged: its lengths do not add up", object_name=name)
    mark, signature = "", b""
    if kind in MAY_SIGN:
        mark = view[signed_end : signed_end + _MARK_BYTES].hex()
        signature = bytes(view[signed_end + _MARK_BYTES : -_CHECKSUM_BYTES])
    return _Frame(header, key_field, view[position + 4 : signed_end], signed_end, mark, signature)


def _key_field_bytes(kind: Kind, number: int, name: str) -> int:
    try:
        suite = suite_of(number)
    except UnsupportedFormatError as error:
        raise UnsupportedFormatError(f"{name}: {error.message}", object_name=name) from error
    if kind in FOR_MEMBERS:
        return _SALT_BYTES
    if kind is Kind.ANNOUNCEMENT and suite is not Suite.PLAIN:
        return _SALT_BYTES + sealed_size(suite)
    return 0 if kind is Kind.CONFIG else sealed_size(suite)


def _shared_key(shared: bytes, salt: bytes) -> bytes:
    return blake3(b"holdfast 1 announcement" + salt, key=shared).digest()


def _document_cipher(keys: VaultKeys, kind: Kind, name: str, frame: _Frame, shared: bytes) -> BlobCipher:
    if kind in FOR_MEMBERS:
        return keys.cipher(blake3(frame.key_field, key=keys.index_key).digest())
    if keys.suite is Suite.PLAIN:
        return PlainCipher(plain_key(keys.vault))
    sealed_key = frame.key_field
    if kind is Kind.ANNOUNCEMENT:
        if shared:
            return keys.cipher(_shared_key(shared, frame.key_field[:_SALT_BYTES]))
        sealed_key = frame.key_field[_SALT_BYTES:]
    keys.require_reader(f"reading {name}")
    private = keys.private.get(frame.header.epoch)
    if private is None:
        raise WrongKeyError(
            f"{name} is sealed to epoch {frame.header.epoch}, which this key does not open",
            hint="use a key that opens that epoch; if there is no such epoch, somebody altered the object",
            object_name=name,
        )
    try:
        return keys.cipher(open_key(private, sealed_key, _key_info(frame.header.pack(), _bound_name(kind, name))))
    except WrongKeyError as error:
        # The epoch's key was checked against the config when the vault was opened, so it is the object that is wrong.
        raise DamageError(f"{name} was altered or moved: its key does not open", object_name=name) from error


def _open_body(cipher: BlobCipher, kind: Kind, name: str, frame: _Frame) -> bytes:
    try:
        compressed = cipher.open(0, frame.sealed, frame.header.pack() + _bound_name(kind, name))
    except DamageError as error:
        raise DamageError(f"{name} was altered or moved: its seal is broken", object_name=name) from error
    try:
        size = zstandard.get_frame_parameters(compressed).content_size
        if size > body_max(kind):  # also CONTENTSIZE_UNKNOWN, which is larger still
            raise DamageError(f"{name} holds a record of an impossible size", object_name=name)
        return zstandard.ZstdDecompressor().decompress(compressed, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamageError(f"{name} does not hold a zstd frame", object_name=name) from error
