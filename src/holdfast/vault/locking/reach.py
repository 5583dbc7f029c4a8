"""All objects that restoring a snapshot may need: what has to be locked for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from holdfast.errors import CredentialError
from holdfast.ids import ChunkId, PackId, PartId, SnapshotId
from holdfast.vault.format.names import CONFIG, INDEX, REFS, THINNED, generation_of, pack_key, part_key
from holdfast.vault.format.records import Part, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.setting import LOCKS
from holdfast.vault.saving.memory import memory_path, recall
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.thinning import kept_links

__all__ = ["Reach", "reach_of", "common_keys", "pointer_keys", "IMMUTABLE"]

# What is written once and never again: a second version of such an object is somebody's doing.
IMMUTABLE = ("packs/", "index/", "parts/", "snapshots/", "refs/", "thinned/", CONFIG, LOCKS)
_CHAIN_MAX = 8


class Reach(NamedTuple):
    """Keys by kind. `packs`: every pack known to hold a chunk of the snapshot or a base of one: of a chunk that lies in
    several, all, for it is not certain which of them is good. `unknown`: chunks that are in no known pack.
    """

    root: str
    parts: frozenset[str]
    packs: frozenset[str]
    unknown: int

    @property
    def data(self) -> frozenset[str]:
        """All but the root."""
        return self.parts | self.packs


def reach_of(handle: Handle, root: Root, parts: Collection[Part] | None = None) -> Reach:
    """What the snapshot needs. `parts`: its manifests, where the caller has them: a writer's key cannot read them.

    Without them a writer knows only its own last save (`saving.memory`). Raises CredentialError, DamageError.
    """
    readable = handle.keys.can_read
    links = kept_links(handle, root) if readable else root.parts
    if parts is None:
        parts = read_parts(handle, root) if readable else _remembered_parts(handle, root)
    chunks = {chunk for part in parts for entry in part.entries for _, _, chunk, _ in entry_chunks(entry)}
    packs, unknown = _packs_of(handle, chunks)
    if unknown and readable:
        handle.index.add_unlisted(handle.store, handle.keys, handle.progress)
        packs, unknown = _packs_of(handle, chunks)
    return Reach(
        handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)),
        frozenset(part_key(PartId(link.id.hex())) for link in links),
        frozenset(map(pack_key, packs)),
        unknown,
    )


def common_keys(handle: Handle) -> list[str]:
    """What every snapshot needs: the configuration, the lock setting, and the index, which writers go by."""
    return [info.key for prefix in (CONFIG, LOCKS, INDEX) for info in handle.store.list(prefix)]


def pointer_keys(handle: Handle, asset: str) -> list[str]:
    """The newest generation of each pointer of the asset, and what its snapshots gave up."""
    prefix = f"{REFS}{handle.keys.names.asset_key(asset)}/"
    newest: dict[str, str] = {}
    for info in handle.store.list(prefix):  # in order of the keys
        if generation_of(info.key) is not None:
            newest[info.key[:-10]] = info.key
    thinned = f"{THINNED}{handle.keys.names.asset_key(asset)}/"
    return [*newest.values(), *(info.key for info in handle.store.list(thinned))]


def _remembered_parts(handle: Handle, root: Root) -> list[Part]:
    remembered = recall(memory_path(handle.keys, root.asset))
    if remembered is None or remembered.snapshot != root.id:
        raise CredentialError(
            f"this key cannot read what snapshot {root.id} needs, and this machine does not remember saving it",
            hint="`holdfast lock extend` with a keeper's or reader's key locks what is not locked yet",
            object_name=root.id,
        )
    return remembered.parts


def _packs_of(handle: Handle, chunks: Iterable[ChunkId]) -> tuple[set[PackId], int]:
    """The packs, and how many chunks are in none that is known."""
    packs: set[PackId] = set()
    seen = set(chunks)
    waiting = [(chunk, 0) for chunk in seen]
    unknown = 0
    while waiting:
        chunk, depth = waiting.pop()
        places = handle.index.places(chunk)
        unknown += not places
        for located in places:
            packs.add(located.pack)
            base = located.place.base
            if base and base not in seen and depth < _CHAIN_MAX:
                seen.add(base)
                waiting.append((base, depth + 1))
    return packs, unknown
