"""Announcements: one rank of a save of many says what it has stored. `docs/format/vault-1.md`, "Saves of many ranks".

An announcement is created once and signed, as roots are. It names assets and tensors, so not every member may read it:
its key follows from a secret that the ranks of the save share, and is sealed to the epoch beside that.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from holdfast.ids import SnapshotId, snapshot_id_of
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.vault.collecting.safety import LEASE_S
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import SAVES, announcement_key, normalised
from holdfast.vault.format.records import Announcement, decode_record, encode_record
from holdfast.vault.format.series import create_once
from holdfast.vault.handle import Handle
from holdfast.vault.saving.validation import Policy
from holdfast.vault.snapshots.refs import is_tag_name

__all__ = [
    "Announced",
    "UNUSABLE",
    "WORLD_MAX",
    "announce",
    "announced_id",
    "created_of",
    "new_save_id",
    "own_mark",
    "read_announcements",
    "recent_saves",
    "shared_secret",
]

WORLD_MAX = 1_000_000  # ranks
_KEY = re.compile(f"{SAVES}([0-9a-f]{{16}})/([0-9]{{10}})")
_READERS = 16
_RECORDS_BYTES_MAX = 256 << 20  # of all ranks together: a few bytes on the store may unpack to far more
_RECENT_NS = round(2 * LEASE_S) * 1_000_000_000  # a lease, and as much for clocks that differ
_POLICIES = frozenset(policy.value for policy in Policy)


class Announced(NamedTuple):
    """All that the ranks of a save announced, in their order, and the records as they are stored."""

    save: str
    records: tuple[Announcement, ...]
    encoded: tuple[bytes, ...]

    @property
    def first(self) -> Announcement:
        """Of rank 0: what it says of the whole counts."""
        return self.records[0]


def new_save_id() -> str:
    """16 random hex digits."""
    return secrets.token_hex(8)


def shared_secret(signer: SigningKey, save: str) -> bytes:
    """32 bytes for the announcements of a save, from the key of the one who began it: he finds them again later."""
    derived = blake3(signer.to_bytes(), derive_key_context="holdfast 1 secret of a save").digest()
    return blake3(save.encode(), key=derived).digest()


def announce(handle: Handle, record: Announcement, shared: bytes) -> None:
    """Store it. Raises ConflictError when another stands in its place, CredentialError."""
    handle.keys.require_writer("announcing")
    key = announcement_key(record.save, record.rank)
    data = write_document(handle.keys, Kind.ANNOUNCEMENT, key, encode_record(record), shared=shared)
    if not create_once(handle.store, key, data):
        raise ConflictError(
            f"rank {record.rank} of the save {record.save} was announced already, by somebody else",
            hint="save again: a new save has another name",
            object_name=key,
        )


def recent_saves(handle: Handle) -> list[str]:
    """The saves of which something was announced so lately that a lease may still keep it. Whether it counts is not
    known yet.
    """
    since = handle.clock.now_ns() - _RECENT_NS
    found: dict[str, None] = {}
    for info in handle.store.list(SAVES):
        match = _KEY.fullmatch(info.key)
        if match is not None and info.modified_ns >= since:
            found[match[1]] = None
    return list(found)


def read_announcements(handle: Handle, save: str, shared: bytes = b"", *, asset: str | None = None) -> Announced | None:
    """What all ranks of a save announced, or None where some have not (or another asset's is asked for).

    They count together: each is of that save and of its own rank, of a member whose key was not revoked, and whom all
    of them name as one who takes part; and in what they say of the whole they agree. Raises DamageError,
    UntrustedError, CredentialError, and what the store raises.
    """
    try:
        first, encoded, _ = _read(handle, save, 0, shared)
    except NotFoundError:
        return None
    if asset is not None and first.asset != asset:
        return None
    present = [info.key for info in handle.store.list(f"{SAVES}{save}/")]
    wanted = [announcement_key(save, rank) for rank in range(first.world)]
    if not set(wanted) <= set(present):
        return None
    records, bodies, size = [first], [encoded], len(encoded)
    with ThreadPoolExecutor(_READERS) as pool:
        for begin in range(1, first.world, _READERS):
            ranks = range(begin, min(begin + _READERS, first.world))
            for record, body, _ in pool.map(lambda rank: _read(handle, save, rank, shared), ranks):
                key = announcement_key(save, record.rank)
                _require_agreement(first, record, key)
                size += len(body)
                if size > _RECORDS_BYTES_MAX:
                    raise DamageError(f"the announcements of the save {save} are too large together", object_name=key)
                records.append(record)
                bodies.append(body)
    return Announced(save, tuple(records), tuple(bodies))


def announced_id(handle: Handle, announced: Announced) -> SnapshotId:
    """The id of the snapshot that the announcements make: theirs only, and the same for everybody."""
    rest = handle.keys.names.announced_hash(announced.first.asset, announced.encoded)
    return snapshot_id_of(created_of(announced.records), rest)


def created_of(records: Iterable[Announcement]) -> int:
    """When the snapshot was complete, by the clocks of its ranks (ns)."""
    return max(record.created for record in records)


def _read(handle: Handle, save: str, rank: int, shared: bytes) -> tuple[Announcement, bytes, str]:
    key = announcement_key(save, rank)
    opened = read_document(handle.keys, Kind.ANNOUNCEMENT, key, handle.store.get(key), shared=shared)
    record = decode_record(opened.body, Announcement, key)
    signer = handle.keys.trusted_signer(Kind.ANNOUNCEMENT, opened.signer, key)
    if signer.revoked is not None:
        raise UntrustedError(
            f"{key} is signed by {signer.label!r}, whose key was revoked",
            hint="save again with a key that counts",
            object_name=key,
        )
    if (record.save, record.rank) != (save, rank) or not 0 <= rank < record.world <= WORLD_MAX:
        raise DamageError(f"{key} holds the announcement of another rank", object_name=key)
    if any(len(link.id) != 32 for link in record.parts):
        raise DamageError(f"{key} names an impossible part", object_name=key)
    if not _is_sound(handle, record):
        raise DamageError(f"{key} is not a sound announcement", object_name=key)
    if opened.signer not in record.signers:
        raise _not_of_this_save(key, signer.label)
    return record, opened.body, opened.signer


def _is_sound(handle: Handle, record: Announcement) -> bool:
    """Whether a root of it would be one that a save makes: whoever finishes it signs what stands here."""
    if record.policy not in _POLICIES or min(record.created, record.content, *record.stats.values()) < 0:
        return False
    try:
        handle.keys.names.asset_key(record.asset)
        for tag in record.tags:
            handle.keys.names.ref_key(tag)
    except UsageError:
        return False
    return normalised(record.asset) == record.asset and all(map(is_tag_name, record.tags))


def _require_agreement(first: Announcement, other: Announcement, key: str) -> None:
    if set(other.signers) != set(first.signers):
        raise _not_of_this_save(key, "its signer")
    for field in ("asset", "world", "step", "source", "policy"):
        if getattr(other, field) != getattr(first, field):
            raise DamageError(
                f"{key} differs from the announcement of rank 0 in its {field}",
                hint="the ranks did not save the same thing: save again",
                object_name=key,
            )


def _not_of_this_save(key: str, who: str) -> UntrustedError:
    return UntrustedError(
        f"{key} is signed by {who}, who takes no part in this save as the others know it",
        hint="somebody who may write put it there: ask who has that key, and save again",
        object_name=key,
    )


# What makes one save unusable, and must not keep others from being finished.
UNUSABLE = (DamageError, UntrustedError, CredentialError, FailedError)


def own_mark(signer: SigningKey) -> str:
    """The fingerprint (hex) under which this key takes part."""
    return fingerprint(signer.public)
