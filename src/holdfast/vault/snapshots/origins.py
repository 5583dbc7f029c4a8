"""Which of a snapshot's chunks its own save stored, and which lay there before. Manifests do not say; packs tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.errors import (
    DamageError,
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.ids import ChunkId, PackId, SnapshotId
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import TAG_BYTES, TRAILER_BYTES, start_field
from holdfast.vault.format.records import Entry, PackTable, Root, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located
from holdfast.vault.snapshots.finding import read_parts, read_root

__all__ = ["new_chunks", "chunk_ids"]

_ID_BYTES = 32


def new_chunks(handle: Handle, root: Root, places: Mapping[ChunkId, Located]) -> set[ChunkId]:
    """Those of the snapshot's chunks (`places`: all of them that are found) that its save stored itself.

    A chunk is older when a parent snapshot has it, or when its pack holds what is not of this snapshot: a save puts
    nothing into its packs but its own. Of such packs the newest are its own, as many as it stored. Where a save took
    over packs of one that was cut off, the figures differ from those that the save itself took down.
    """
    if root.stats.get("new_chunks") == 0:
        return set()
    inherited = _inherited(handle, root)
    by_pack: dict[PackId, list[Located]] = {}
    for located in places.values():
        by_pack.setdefault(located.pack, []).append(located)
    own = _newest(handle, {pack for pack, members in by_pack.items() if _is_whole(handle, members)}, root)
    return {chunk for chunk, located in places.items() if located.pack in own and chunk not in inherited}


def chunk_ids(entries: Iterable[Entry]) -> set[ChunkId]:
    """The ids of all chunks that these entries name."""
    return {
        ChunkId(entry.chunks[start : start + _ID_BYTES])
        for entry in entries
        for start in range(0, len(entry.chunks), _ID_BYTES)
    }


def _inherited(handle: Handle, root: Root) -> set[ChunkId]:
    found: set[ChunkId] = set()
    for parent in root.parents:
        try:
            parts = read_parts(
                handle, read_root(handle, handle.keys.names.snapshot_key(root.asset, SnapshotId(parent)))
            )
        except (NotFoundError, DamageError, UntrustedError, WrongKeyError, FailedError) as error:
            handle.progress.note(f"the parent {parent} cannot be compared with: {error.message}")
            continue
        found |= chunk_ids(entry for part in parts for entry in part.entries)
    return found


def _newest(handle: Handle, packs: set[PackId], root: Root) -> set[PackId]:
    count = root.stats.get("packs", len(packs))
    if len(packs) <= count:
        return packs
    try:
        times = {pack: handle.store.head(pack_key(pack)).modified_ns for pack in packs}
    except ObjectNotFoundError:
        return packs
    return set(sorted(packs, key=times.__getitem__)[len(packs) - count :])


def _is_whole(handle: Handle, members: list[Located]) -> bool:
    """Whether these chunks are all that their pack holds: then its size follows from theirs."""
    start = min(located.place.offset for located in members)
    count, based = len(members), sum(bool(located.place.base) for located in members)
    footer = encode_record(
        PackTable(
            ids=bytes(_ID_BYTES * count),
            stored=bytes(4 * count),
            raw=bytes(4 * count),
            codec=bytes(count),
            kind=bytes(count),
            width=bytes(count),
            based=bytes(4 * based),
            bases=bytes(_ID_BYTES * based),
            start=start_field(start),
        )
    )
    blobs = sum(located.place.stored for located in members)
    size = start + blobs + len(footer) + TAG_BYTES + TRAILER_BYTES
    return size == members[0].pack_size
