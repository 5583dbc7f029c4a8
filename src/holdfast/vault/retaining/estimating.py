"""What a retention plan would free, and what it leaves to restore from: counted from manifests and the index alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Annotated

import msgspec

from holdfast.errors import DamageError, FailedError, NotFoundError, WrongKeyError
from holdfast.ids import ChunkId, PackId, PartId
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.records import Part, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.state import UNTIL_MAX, locked_until
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.origins import chunk_ids

__all__ = ["Freed", "Reading", "Until", "estimate"]

_CHAIN_MAX = 8  # of deltas to deltas, as readers follow it
_PARTS_AT_ONCE = 64

Reach = dict[PackId, int]
Until = Annotated[int, msgspec.Meta(ge=0, le=UNTIL_MAX)]  # ns; from files, too


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What restoring a snapshot reads: packs, and their bytes. The same before and after: no pack is rewritten."""

    snapshot: str
    packs: int
    bytes: int


class Freed(msgspec.Struct, frozen=True, kw_only=True):
    """Packs that nothing would reach any more, and their bytes: what a collection frees. An estimate: a chunk that lies
    in several packs counts where it is read first. `shared_packs`: what goes lies there, too, beside what stays.
    `unread`: manifests that could not be read; where that is not 0, it may be less. `locked_packs`: of the packs, those
    that the store keeps locked still, the last of them until `locked_until` (ns): a later collection frees them.
    """

    packs: int
    bytes: int
    shared_packs: int
    unread: int
    locked_packs: int = 0
    locked_bytes: int = 0
    locked_until: Until | None = None


def estimate(
    handle: Handle,
    roots: Iterable[Root],
    before: Mapping[str, Sequence[bytes]],
    after: Mapping[str, Sequence[bytes]],
    latest: Mapping[str, str],
) -> tuple[Freed, dict[str, Reading]]:
    """What is freed when snapshots that have the parts `before` have those `after` (snapshot id → part ids; the same
    for the roots that are not named there); and what restoring the `latest` ones (asset → snapshot id) reads.
    """
    now, then = set[bytes](), set[bytes]()
    for root in roots:
        own = before.get(root.id, [link.id for link in root.parts])
        now.update(own)
        then.update(after.get(root.id, own))
    wanted = {asset: frozenset(before.get(snapshot, ())) for asset, snapshot in latest.items()}
    search = _Search(handle)
    going = sorted(now - then)
    if going:
        handle.index.add_unlisted(handle.store, handle.keys, handle.progress)
    freed: Reach = {}
    for _, reach in search.reaches(going, "looking for what would be freed"):
        freed |= reach
    touched = len(freed)
    readings: dict[str, Reach] = {asset: {} for asset in wanted}
    needed = then if freed else frozenset[bytes]().union(*wanted.values())
    for part, reach in search.reaches(sorted(needed), "looking for what is needed still"):
        for pack in reach:
            freed.pop(pack, None)
        for asset, parts in wanted.items():
            if part in parts:
                readings[asset] |= reach
    keys = {pack_key(pack): size for pack, size in freed.items()}
    locked = locked_until(handle, keys)
    total = Freed(
        packs=len(freed),
        bytes=sum(freed.values()),
        shared_packs=touched - len(freed),
        unread=search.unread,
        locked_packs=len(locked),
        locked_bytes=sum(keys[key] for key in locked),
        locked_until=max(locked.values(), default=None),
    )
    return total, {
        asset: Reading(snapshot=latest[asset], packs=len(reach), bytes=sum(reach.values()))
        for asset, reach in readings.items()
    }


class _Search:
    """Which packs a part needs. Memory does not grow with chunks: a part is forgotten when its packs are known."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.unread = 0

    def reaches(self, parts: Sequence[bytes], phase: str) -> Iterator[tuple[bytes, Reach]]:
        """The packs of each part, with their sizes."""
        if parts:
            self._handle.progress.phase(phase, None)
        waiting = iter(parts)
        with ThreadPoolExecutor(self._handle.workers) as pool:
            while batch := list(islice(waiting, _PARTS_AT_ONCE)):
                for part, read in zip(batch, pool.map(self._read, batch), strict=True):
                    if read is None:
                        self.unread += 1
                    else:
                        yield part, self._packs(read)

    def _read(self, part: bytes) -> Part | None:
        try:
            return read_part(self._handle, PartId(part.hex()))
        except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
            self._handle.progress.note(f"not counted: {error.message}")
            return None

    def _packs(self, part: Part) -> Reach:
        index = self._handle.index
        found: Reach = {}
        bases: set[ChunkId] = set()
        for chunk in chunk_ids(part.entries):
            step: ChunkId | None = chunk
            for _ in range(_CHAIN_MAX):
                located = index.find(step) if step is not None else None
                if located is None:
                    break
                found[located.pack] = located.pack_size
                base = located.place.base
                step = base if base and base not in bases else None
                bases.add(base)
        return found
