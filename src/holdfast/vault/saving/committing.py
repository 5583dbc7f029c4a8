"""Manifests and root: put together, checked as a reader would, stored, and read back."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from blake3 import blake3
from msgspec.structs import replace

from holdfast.errors import (
    ConflictError,
    DamageError,
    FailedError,
    HoldfastError,
    ObjectNotFoundError,
    WrongKeyError,
)
from holdfast.ids import PartId, SnapshotId, new_snapshot_id
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import normalised, part_key
from holdfast.vault.format.records import Entry, Part, PartLink, Root, Validation, decode_record, encode_record
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.format.series import create_once
from holdfast.vault.handle import Handle
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.pipeline import Saved, Tally
from holdfast.vault.saving.tree import OWN_PART_BYTES, component_of
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.manifests import check_part
from holdfast.version import VERSION

__all__ = [
    "Written",
    "group_parts",
    "salted",
    "write_parts",
    "make_root",
    "write_root",
    "remove_root",
    "snapshot_versions",
]

_SALT_BYTES = 16
_PART_ENTRIES_MAX = 4096
_UNKNOWN = b""


class Written(NamedTuple):
    """A root that was stored, its manifests, and all documents of the snapshot: key → BLAKE3 of the bytes that were
    written, empty for a part of an earlier snapshot.
    """

    key: str
    root: Root
    parts: list[Part]
    digests: Mapping[str, bytes]


def group_parts(saved: list[Saved], others: list[Entry]) -> Iterator[Part]:
    """Large files alone, small ones together by component, in a stable order."""
    groups: dict[str, list[Entry]] = {}
    for entry in [*others, *(file.entry for file in saved)]:
        component = component_of(entry.path) if entry.type == "file" else "other"
        if entry.size >= OWN_PART_BYTES:
            yield Part(component, [entry])
            continue
        group = groups.setdefault(component, [])
        group.append(entry)
        if len(group) >= _PART_ENTRIES_MAX:
            yield Part(component, groups.pop(component))
    for component, entries in groups.items():
        yield Part(component, entries)


def salted(handle: Handle, part: Part, avoid: Collection[str]) -> Part:
    """The part, under another name where the object of that name is condemned."""
    if part_key(handle.keys.names.part_id(encode_record(part))) not in avoid:
        return part
    return replace(part, salt=secrets.token_bytes(_SALT_BYTES))


def write_parts(handle: Handle, parts: list[Part], tally: Tally) -> tuple[list[PartLink], dict[str, bytes]]:
    """Store the manifests, or share equal ones that are sound. Returns their links and digests (see `Written`)."""
    links: list[PartLink] = []
    digests: dict[str, bytes] = {}
    for part in parts:
        record = encode_record(part)
        part_id = handle.keys.names.part_id(record)
        key = part_key(part_id)
        with _must_be_readable():
            check_part(decode_record(record, Part, key), key)
        data = write_document(handle.keys, Kind.PART, key, record)
        digests[key] = _UNKNOWN
        if _store_part(handle, part_id, data):
            tally.add(stored=len(data))
            digests[key] = blake3(data).digest()
        files = [entry for entry in part.entries if entry.type == "file"]
        links.append(PartLink(bytes.fromhex(part_id), part.component, sum(entry.size for entry in files), len(files)))
    return links, digests


def make_root(
    handle: Handle,
    asset: str,
    *,
    source: str,
    name: str,
    content_ns: int,
    parent: str,
    options: SaveOptions,
    links: list[PartLink],
    tally: Tally,
    validation: Validation,
) -> Root:
    """A new snapshot's root; `parent` is a snapshot id, or empty."""
    now = handle.clock.now_ns()
    content = content_ns if options.content_ns is None else options.content_ns
    if content > now:
        handle.progress.note("the newest file of the source is dated in the future; the time of saving counts instead")
    return Root(
        id=new_snapshot_id(now),
        asset=normalised(asset),
        created=now,
        content=min(content, now),  # else it would hold `latest` for ever
        step=options.step,
        parents=[parent] if parent else [],
        writer=handle.keys.label,
        source=source,
        name=os.fsencode(name).decode("utf-8", "replace"),  # for people; entries hold the bytes of names
        parts=links,
        meta=dict(options.meta),
        versions={**snapshot_versions(), **options.versions},
        stats=tally.counts,
        validation=validation,
    )


def write_root(handle: Handle, root: Root, parts: list[Part], digests: dict[str, bytes]) -> Written:
    """Store the root: from now on the snapshot can be found by its id. Raises ConflictError."""
    key = handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
    record = encode_record(root)

    with _must_be_readable():
        if decode_record(record, Root, key) != root:
            raise DamageError(f"{key} would not read as it was written", object_name=key)
    data = write_document(handle.keys, Kind.ROOT, key, record)
    if not create_once(handle.store, key, data):
        raise ConflictError(f"{key} exists already", hint="save again")
    return Written(key, root, parts, {**digests, key: blake3(data).digest()})


def remove_root(handle: Handle, written: Written) -> None:
    """Take back a root that did not read back. No pointer ever led to it."""
    try:
        handle.store.delete(written.key)
    except HoldfastError as error:
        handle.progress.note(f"{written.key}, which cannot be read, stays: {error.message}")


def _store_part(handle: Handle, part: PartId, data: bytes) -> bool:
    """Whether the part was stored; else an equal one of an earlier snapshot is there and sound."""
    key = part_key(part)
    if create_once(handle.store, key, data):
        return True
    try:
        if handle.keys.can_read:
            read_part(handle, part)
        else:
            scrub_object(key, handle.store.get(key))
    except (DamageError, ObjectNotFoundError, WrongKeyError) as error:
        handle.progress.note(f"{error.message}; it is stored anew")
        handle.store.put(key, data)
        return True
    return False


@contextmanager
def _must_be_readable() -> Iterator[None]:
    """What a reader would refuse must not be stored: a writer could not even notice."""
    try:
        yield
    except DamageError as error:
        raise FailedError(
            f"not saved: {error.message}",
            hint="this should not happen: please report it",
            object_name=error.object_name,
        ) from error


def snapshot_versions() -> dict[str, str]:
    """What runs here, for the `versions` of a root."""
    return {"holdfast": VERSION, "python": platform.python_version(), "platform": platform.platform(terse=True)}
