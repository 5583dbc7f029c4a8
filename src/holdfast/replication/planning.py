"""What a replication has to copy, found out without writing anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.errors import DamageError, NotFoundError, RefusedError
from holdfast.ids import ChunkId, PackId, PartId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.vault.configuration import read_vault_id
from holdfast.vault.handle import Handle
from holdfast.vault.labels import entry_chunks
from holdfast.vault.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, pack_key, part_key
from holdfast.vault.records import Root
from holdfast.vault.snapshots import list_roots, read_part

__all__ = ["ReplicationPlan", "plan_replication", "plan_mirror", "packs_of", "check_same_vault"]


class ReplicationPlan(NamedTuple):
    """Objects that the target lacks, and their bytes. Index objects are left out: the target gets one of its own.

    `arriving`: snapshots that the target lacks, newest first; `present`: those that it has. `damaged`: object → what is
    wrong with it at the source, as far as manifests tell; snapshots that need it are in `left_out`.
    """

    objects: int
    bytes: int
    arriving: list[str]
    present: list[str]
    left_out: list[str]
    damaged: dict[str, str]


def plan_replication(source: Handle, target: Store, *, asset: str | None = None) -> ReplicationPlan:
    """What `replicate` would copy. Reads manifests, no packs. Raises what `replicate` raises before it writes."""
    source.keys.require_reader("replicating single snapshots")
    check_same_vault(source.store, target)
    source.refresh()
    there = {info.key for prefix in (CONFIG, PACKS, PARTS, SNAPSHOTS, REFS) for info in target.list(prefix)}
    sizes = {info.key: info.size for prefix in (CONFIG, PARTS, SNAPSHOTS, REFS) for info in source.store.list(prefix)}
    stored_packs = {info.key for info in source.store.list(PACKS)}
    refs = REFS if asset is None else f"{REFS}{source.keys.names.asset_key(asset)}/"
    wanted = {key: size for key, size in sizes.items() if key.startswith((CONFIG, refs))}
    arriving, present, left_out = [], [], []
    damaged: dict[str, str] = {}
    for listed in reversed(list_roots(source, asset)):
        if listed.root is None:
            damaged[listed.key] = listed.error.message if listed.error is not None else "it cannot be read"
            continue
        if listed.key in there:
            present.append(listed.root.id)
            continue
        try:
            packs = packs_of(source, listed.root)
        except DamageError as error:
            damaged[error.object_name or listed.key] = error.message
            left_out.append(listed.root.id)
            continue
        gone = {key for pack in packs if (key := pack_key(pack)) not in stored_packs and key not in there}
        if gone:
            damaged |= {key: f"{key} is missing from {source.store.url}" for key in gone}
            left_out.append(listed.root.id)
            continue
        arriving.append(listed.root.id)
        wanted |= {pack_key(pack): size for pack, size in packs.items()}
        parts = [part_key(PartId(link.id.hex())) for link in listed.root.parts]
        wanted |= {key: sizes[key] for key in (*parts, listed.key)}
    missing = [size for key, size in wanted.items() if key not in there]
    return ReplicationPlan(len(missing), sum(missing), arriving, present, left_out, damaged)


def plan_mirror(source: Store, target: Store) -> ReplicationPlan:
    """What `mirror` would copy. Needs no key, and so tells no snapshots apart."""
    check_same_vault(source, target)
    missing = [
        info.size
        for prefix in (CONFIG, PACKS, INDEX, PARTS, SNAPSHOTS, REFS)
        for info in _lacking(source, target, prefix)
    ]
    return ReplicationPlan(len(missing), sum(missing), [], [], [], {})


def packs_of(handle: Handle, root: Root) -> dict[PackId, int]:
    """The packs that hold a snapshot's chunks and their delta bases, with their sizes. Raises DamageError."""
    reader = handle.reader()
    packs: dict[PackId, int] = {}
    seen: set[ChunkId] = set()
    for link in root.parts:
        for entry in read_part(handle, PartId(link.id.hex())).entries:
            waiting = [chunk for _, _, chunk, _ in entry_chunks(entry)]
            while waiting:
                chunk = waiting.pop()
                if chunk in seen:
                    continue
                seen.add(chunk)
                located = reader.locate(chunk)
                packs[located.pack] = located.pack_size
                if located.place.base:
                    waiting.append(located.place.base)
    return packs


def check_same_vault(source: Store, target: Store) -> None:
    """Raises RefusedError when the target holds another vault; NotFoundError when the source holds none."""
    here = read_vault_id(source)
    try:
        there = read_vault_id(target)
    except NotFoundError:
        return
    if there != here:
        raise RefusedError(
            f"{target.url} holds another vault ({there}, not {here})", hint="choose an empty place for the replica"
        )


def _lacking(source: Store, target: Store, prefix: str) -> Iterable[ObjectInfo]:
    there = {info.key for info in target.list(prefix)}
    return (info for info in source.list(prefix) if info.key not in there)
