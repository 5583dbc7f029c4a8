"""The records of vault format 1, as `docs/format/vault-1.md` lists them. msgspec checks types while it decodes."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from holdfast.errors import DamageError
from holdfast.trust.recipients import Recipient

__all__ = [
    "Epoch",
    "Signer",
    "Config",
    "PackTable",
    "IndexedPack",
    "Index",
    "TensorRecord",
    "Entry",
    "Part",
    "PartLink",
    "Finding",
    "Validation",
    "Root",
    "Check",
    "Ref",
    "encode_record",
    "decode_record",
]


class Epoch(msgspec.Struct, frozen=True):
    """One epoch key pair: its public half, and its private half wrapped for each recipient."""

    number: int
    public: bytes
    recipients: list[Recipient]


class Signer(msgspec.Struct, frozen=True):
    """A keeper or writer whose signatures count, from `added` until `revoked` (ns)."""

    role: str
    label: str
    public: bytes
    added: int
    revoked: int | None = None


class Config(msgspec.Struct, frozen=True):
    """One generation of the vault's configuration."""

    generation: int
    created: int
    suite: int
    epochs: list[Epoch]
    secrets: bytes
    signers: list[Signer]


class PackTable(msgspec.Struct, frozen=True):
    """What lies in a pack, column by column; `vault.packs` checks and reads it."""

    ids: bytes
    stored: bytes
    raw: bytes
    codec: bytes
    kind: bytes
    width: bytes
    based: bytes
    bases: bytes


class IndexedPack(msgspec.Struct, frozen=True):
    id: bytes
    size: int
    table: PackTable


class Index(msgspec.Struct, frozen=True):
    created: int
    packs: list[IndexedPack]


class TensorRecord(msgspec.Struct, frozen=True, array_like=True):
    """An array inside a file; `offset` and `bytes` are of the file.

    `norm`: L2 over the finite values, None for integers.
    """

    name: str
    dtype: str
    shape: list[int]
    offset: int
    bytes: int
    fortran: bool
    norm: float | None
    nonfinite: int


class Entry(msgspec.Struct, frozen=True):
    """A file, folder or symbolic link of a snapshot."""

    path: bytes
    type: str
    mode: int
    mtime: int
    size: int = 0
    target: bytes = b""
    format: str = "opaque"
    runs: list[tuple[int, int, int, int]] = []
    chunks: bytes = b""
    lengths: bytes = b""
    tensors: list[TensorRecord] = []


class Part(msgspec.Struct, frozen=True):
    """The manifest of one component."""

    component: str
    entries: list[Entry]


class PartLink(msgspec.Struct, frozen=True):
    id: bytes
    component: str
    size: int
    files: int


class Finding(msgspec.Struct, frozen=True):
    """One thing that validation found: which check, where (file or tensor), and a sentence."""

    check: str
    where: str
    message: str


class Validation(msgspec.Struct, frozen=True):
    """What was checked when the snapshot was saved. Verdict: good, warned or quarantined."""

    policy: str
    verdict: str
    checks: list[str]
    findings: list[Finding]


class Root(msgspec.Struct, frozen=True):
    """A snapshot's root."""

    id: str
    asset: str
    created: int
    content: int
    step: int | None
    parents: list[str]
    writer: str
    source: str
    name: str
    parts: list[PartLink]
    meta: dict[str, str]
    versions: dict[str, str]
    stats: dict[str, int]
    validation: Validation


class Check(msgspec.Struct, frozen=True):
    """How a snapshot was read back: `decoded` (every chunk decoded and its id recomputed) or `stored-bytes`."""

    level: str
    bytes: int
    at: int


class Ref(msgspec.Struct, frozen=True):
    """One generation of a pointer; an empty target deletes it."""

    asset: str
    name: str
    target: str
    created: int
    reason: str
    check: Check | None = None


_Record = TypeVar("_Record", Config, PackTable, Index, Part, Root, Ref)
_ENCODER = msgspec.msgpack.Encoder()


def encode_record(record: Config | PackTable | Index | Part | Root | Ref) -> bytes:
    """The record's msgpack: map keys in the order of the fields."""
    return _ENCODER.encode(record)


def decode_record(data: bytes, type_: type[_Record], object_name: str) -> _Record:
    """The record in `data`. Raises DamageError, naming the object, when it is not one of that type."""
    try:
        return msgspec.msgpack.decode(data, type=type_)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise DamageError(
            f"{object_name} does not hold a valid {type_.__name__.lower()} record ({error})", object_name=object_name
        ) from error
