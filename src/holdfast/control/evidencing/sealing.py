"""Evidence at the stores: one sealed document for a run, signed by a keeper (`docs/format/evidence-1.md`).

Every member of the vault reads it, as the journals of runs; a stranger gets it exported, in clear. The record names
assets, sites and people, which the stores of a vault never show to who has no key of it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import zstandard

from holdfast.errors import DamageError, RefusedError, UntrustedError, UsageError
from holdfast.vault.format.documents import body_max, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys

__all__ = ["EVIDENCE", "Kept", "decode_kept", "encode_kept", "open_kept", "seal_kept"]

EVIDENCE: Final = "evidence/"
_PLAIN_MAX: Final = 64 << 20
_FILES_MAX: Final = 1000
_NAME_MAX: Final = 200


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at`: ns since the epoch, when it was written, by the clock of who wrote it. `files`: name → bytes."""

    version: int = 1
    run: str
    at: int
    files: dict[str, bytes]


_KEPT: Final = msgspec.msgpack.Decoder(Kept)  # once: see holdfast.evidence.encoding


def encode_kept(kept: Kept) -> bytes:
    """Raises RefusedError for more than a store takes in one document."""
    plain = msgspec.msgpack.encode(kept)
    packed = zstandard.ZstdCompressor(level=9, write_content_size=True).compress(plain)
    if len(plain) > _PLAIN_MAX or len(packed) > body_max(Kind.EVIDENCE):
        raise RefusedError("this evidence is too large to be kept at a store", object_name=f"{EVIDENCE}{kept.run}")
    return packed


def decode_kept(name: str, packed: bytes) -> Kept:
    """Raises DamageError."""
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size > _PLAIN_MAX:
            raise DamageError(f"{name} holds evidence of an impossible size", object_name=name)
        plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
        kept = _KEPT.decode(plain)
    except (zstandard.ZstdError, msgspec.MsgspecError, UsageError, RecursionError, UnicodeDecodeError) as error:
        raise DamageError(f"{name} does not hold evidence ({error})", object_name=name) from error
    names = list(kept.files)
    sound = len(names) <= _FILES_MAX and all(0 < len(one) <= _NAME_MAX and _is_plain(one) for one in names)
    if kept.version != 1 or not sound or not name.startswith(f"{EVIDENCE}{kept.run}/"):
        raise DamageError(f"{name} does not hold evidence of that run", object_name=name)
    return kept


def _is_plain(name: str) -> bool:
    """A name that is safe below any folder: at most one level, of letters, digits, `.`, `-`, `_`."""
    parts = name.split("/")
    letters = all(one.isascii() and (one.isalnum() or one in "._-") for part in parts for one in part)
    return len(parts) <= 2 and letters and not any(part.startswith(".") or not part for part in parts)


def seal_kept(keys: VaultKeys, name: str, kept: Kept) -> bytes:
    """Raises CredentialError, UntrustedError without a keeper's key that counts; RefusedError."""
    keys.require_keeper("writing the evidence of a run")
    return write_document(keys, Kind.EVIDENCE, name, encode_kept(kept))


def open_kept(keys: VaultKeys, name: str, data: bytes) -> Kept:
    """Raises DamageError, CredentialError, UntrustedError: no keeper signed it, or one that was revoked before."""
    opened = read_document(keys, Kind.EVIDENCE, name, data)
    kept = decode_kept(name, opened.body)
    signer = keys.trusted_signer(Kind.EVIDENCE, opened.signer, name)
    if signer.revoked is not None and kept.at >= signer.revoked:
        raise UntrustedError(f"{name} was signed by {signer.label!r} after that keeper was revoked", object_name=name)
    return kept
