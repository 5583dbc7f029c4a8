"""What a sequencer writes before it commits: the new entries, and the last entry of each member after them.

`audit/batches/<generation>-<hash>`, of which the checkpoint of that generation is the commit. From it anybody who may
write to the store can complete the tiles after a crash. Bytes: a line of JSON (`{"generation", "heads", "root",
"signature", "start", "v"}`, sorted, signed by the log), then the entries as in a bundle. `hash`: SHA-256 of it, 32 hex
digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.audit.groups import Head
from holdfast.audit.layout import BATCHES
from holdfast.audit.log_keys import keys_of_batch
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.tiles import decode_bundle, encode_bundle
from holdfast.audit.verifier_keys import Kind, VerifierKey
from holdfast.errors import DamageError, UntrustedError

__all__ = ["BATCH_BYTES_MAX", "Batch", "encode_batch", "decode_batch", "batch_key", "batch_prefix"]

BATCH_BYTES_MAX = 32 << 20  # of entries
_STATEMENT = b"\0holdfast 1 audit batch\0"


class Batch(NamedTuple):
    """`start`: number of the first entry. `root`: of the tree with these entries. `heads`: member → last entry."""

    generation: int
    start: int
    root: bytes
    heads: Mapping[str, Head]
    entries: Sequence[bytes]


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    v: int = 1
    generation: int
    start: int
    root: bytes
    heads: dict[str, tuple[int, str]]
    signature: bytes

    @property
    def message(self) -> bytes:
        return _STATEMENT + _encode(msgspec.structs.replace(self, signature=b""))


def batch_prefix(generation: int) -> str:
    return f"{BATCHES}{generation:010d}-"


def batch_key(generation: int, data: bytes) -> str:
    return f"{batch_prefix(generation)}{sha256(data).hexdigest()[:32]}"


def encode_batch(batch: Batch, key: NoteKey) -> bytes:
    bare = _Line(
        generation=batch.generation,
        start=batch.start,
        root=batch.root,
        heads={member: (head.number, head.hash) for member, head in batch.heads.items()},
        signature=b"",
    )
    line = msgspec.structs.replace(bare, signature=key.sign_bytes(bare.message))
    return _encode(line) + b"\n" + encode_bundle(batch.entries)


def decode_batch(data: bytes, keys: Sequence[VerifierKey], name: str) -> Batch:
    """`keys`: of the log. Raises DamageError, UntrustedError."""
    if name.rpartition("-")[2] != sha256(data).hexdigest()[:32]:
        raise DamageError(f"{name} is not what its name says", object_name=name)
    first, newline, rest = data.partition(b"\n")
    try:
        line = msgspec.json.decode(first, type=_Line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamageError(f"{name} is malformed", object_name=name) from None
    if not newline or line.v != 1 or line.start < 0 or len(line.root) != 32:
        raise DamageError(f"{name} is malformed", object_name=name)
    _check_signed(line, keys_of_batch(keys, line.generation), name)
    heads = {member: Head(number, hashed) for member, (number, hashed) in line.heads.items()}
    return Batch(line.generation, line.start, line.root, heads, decode_bundle(rest, None, name))


def _check_signed(line: _Line, keys: Sequence[VerifierKey], name: str) -> None:
    for key in keys:
        if key.kind is Kind.ED25519:
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(line.signature, line.message)
            except InvalidSignature:
                continue
            return
    raise UntrustedError(f"{name} is not signed by the log", object_name=name)


def _encode(line: _Line) -> bytes:
    return msgspec.json.encode(line, order="sorted")
