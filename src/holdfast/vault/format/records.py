"""The records of vault format 1, as `docs/format/vault-1.md` lists them. msgspec checks types while it decodes."""

from __future__ import annotations

from typing import Any, TypeVar

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
    "Lease",
    "Condemned",
    "Thinned",
    "Announcement",
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


class PackTable(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lies in a pack, column by column; `vault.packs` checks and reads it. `start`: where the first blob lies, in
    packs of another suite than 0 and 1; else 0, and not written.
    """

    ids: bytes
    stored: bytes
    raw: bytes
    codec: bytes
    kind: bytes
    width: bytes
    based: bytes
    bases: bytes
    start: int = 0


class IndexedPack(msgspec.Struct, frozen=True):
    id: bytes
    size: int
    table: PackTable


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """`by`: fingerprint (hex) of the signer whose word a keeper passes on; empty: it is the signer's own."""

    created: int
    packs: list[IndexedPack]
    by: str = ""


class TensorRecord(msgspec.Struct, frozen=True, array_like=True):
    """An array inside a file; `offset` and `bytes` are of the file.

    `norm`: L2 over the finite values, `least` and `greatest` bound them, `zeros` counts 0.0 and -0.0: all None for
    integers, the last three also in older manifests.
    """

    name: str
    dtype: str
    shape: list[int]
    offset: int
    bytes: int
    fortran: bool
    norm: float | None
    nonfinite: int
    least: float | None = None
    greatest: float | None = None
    zeros: int | None = None


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


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The manifest of one component. `salt` gives equal content another id, where the first one is being collected."""

    component: str
    entries: list[Entry]
    salt: bytes = b""


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


class Lease(msgspec.Struct, frozen=True):
    """One generation of a lease: somebody is writing. `state`: open or ended. `purpose`: save, copy, collect, …"""

    session: str
    purpose: str
    label: str
    state: str
    created: int


class Condemned(msgspec.Struct, frozen=True):
    """One generation of a collection. `state`: condemned (these keys are to go), rescued (these stay), closed (these go
    now, whatever was said before).
    """

    collection: str
    state: str
    keys: list[str]
    created: int


class Thinned(msgspec.Struct, frozen=True):
    """Parts (32-byte ids) that a snapshot no longer has, and the components that they were of."""

    snapshot: str
    asset: str
    parts: list[bytes]
    components: list[str]
    reason: str
    created: int


class Announcement(msgspec.Struct, frozen=True):
    """What one rank of a save of many has stored: its share of the root that follows when all have announced.

    `signers`: fingerprints (hex) of those who take part. `lease`: the session of the lease that keeps what was stored.
    `deadline` (ns): after it no root is made of this. `check`: how the rank read its share back, None: it did not.
    """

    save: str
    asset: str
    rank: int
    world: int
    signers: list[str]
    lease: str
    created: int
    content: int
    deadline: int
    step: int | None
    parents: list[str]
    source: str
    name: str
    parts: list[PartLink]
    meta: dict[str, str]
    versions: dict[str, str]
    tags: list[str]
    stats: dict[str, int]
    policy: str
    checks: list[str]
    findings: list[Finding]
    check: Check | None


_Record = TypeVar("_Record", Config, PackTable, Index, Part, Root, Ref, Lease, Condemned, Thinned, Announcement)
_ENCODER = msgspec.msgpack.Encoder()
# Made here, in one thread. msgspec (0.22) works a type out at its first use, and two threads that do so at the same
# time may crash the process (a null pointer: about 1 of 10 processes that began with 8 threads decoding).
_DECODERS: dict[type[msgspec.Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (Config, PackTable, Index, Part, Root, Ref, Lease, Condemned, Thinned, Announcement)
}


def encode_record(
    record: Config | PackTable | Index | Part | Root | Ref | Lease | Condemned | Thinned | Announcement,
) -> bytes:
    """The record's msgpack: map keys in the order of the fields."""
    return _ENCODER.encode(record)


def decode_record(data: bytes, type_: type[_Record], object_name: str) -> _Record:
    """The record in `data`. Raises DamageError, naming the object, when it is not one of that type."""
    try:
        decoded: _Record = _DECODERS[type_].decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise DamageError(
            f"{object_name} does not hold a valid {type_.__name__.lower()} record ({error})", object_name=object_name
        ) from error
    return decoded
