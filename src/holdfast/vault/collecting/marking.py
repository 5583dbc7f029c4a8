"""What the roots of a vault reach: parts, chunks, the bases of deltas, and so which packs are needed.

Packs are known from their own footers here, never from index objects: those are somebody's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import DamageError, FailedError, NotFoundError, RefusedError, WrongKeyError
from holdfast.ids import ChunkId, PackId, PartId
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS, part_key
from holdfast.vault.format.packs import ChunkPlace, places_of
from holdfast.vault.format.records import PackTable, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key, read_pack_table
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.snapshots.thinning import Thinnings

__all__ = ["Marked", "SeenPack", "mark"]

_READERS = 8


class SeenPack(NamedTuple):
    """A pack on the store. `table` is that of its footer, None where it cannot be read: such a pack is never touched.
    `live_bytes`: stored bytes of its chunks that are reached, from here or from anywhere.
    """

    id: PackId
    info: ObjectInfo
    table: PackTable | None
    live_bytes: int

    @property
    def is_dead(self) -> bool:
        """Nothing in it is reached."""
        return self.table is not None and not self.live_bytes

    def places(self, suite: int) -> list[tuple[ChunkId, ChunkPlace]]:
        """What is in it; nothing where that is not known."""
        return [] if self.table is None else places_of(self.table, suite, self.info.key, self.info.size)


class Marked(NamedTuple):
    """`parts`: every part on the store with its key. `reached_parts`: keys. `chunks`: ids that are reached."""

    roots: tuple[Root, ...]
    parts: Mapping[str, ObjectInfo]
    reached_parts: frozenset[str]
    direct: frozenset[ChunkId]  # named by a part
    chunks: frozenset[ChunkId]  # those, and the bases that they need
    packs: Mapping[PackId, SeenPack]


def mark(handle: Handle, giving_up: Collection[str] = ()) -> Marked:
    """Follow every root. The roots are listed before anything else is looked at.

    `giving_up`: keys of roots and parts that cannot be read, and that somebody decided to do without. Any other one
    that cannot be read ends it with RefusedError: what it needs is not known. Raises CredentialError.
    """
    handle.keys.require_reader("collecting")
    store = handle.store
    roots = _read_roots(handle, giving_up)
    parts = {info.key: info for info in store.list(PARTS)}
    infos = {pack: info for info in store.list(PACKS) if (pack := pack_of_key(info.key)) is not None}
    thinned = Thinnings(handle)
    reached = {part_key(PartId(link.id.hex())) for root in roots for link in thinned.links(root)}
    direct = _read_parts(handle, reached, giving_up)
    tables = _read_tables(handle, infos)
    chunks = _with_bases(direct, _bases(handle, infos, tables))
    packs = {pack: SeenPack(pack, info, tables[pack], 0) for pack, info in infos.items()}
    suite = handle.keys.suite
    for pack, seen in packs.items():
        live = sum(place.stored for chunk, place in seen.places(suite) if chunk in chunks)
        packs[pack] = seen._replace(live_bytes=live)
    return Marked(tuple(roots), parts, frozenset(reached), frozenset(direct), frozenset(chunks), packs)


def _read_roots(handle: Handle, giving_up: Collection[str]) -> list[Root]:
    keys = [info.key for info in handle.store.list(SNAPSHOTS)]
    handle.progress.phase("following snapshots", None)

    def one(key: str) -> Root | None:
        try:
            return read_root(handle, key)
        except NotFoundError:
            return None  # dropped since it was listed
        except (DamageError, WrongKeyError, FailedError) as error:
            if key in giving_up:
                return None
            raise _unknown(key, error.message) from error

    with ThreadPoolExecutor(_READERS) as pool:
        return [root for root in pool.map(one, keys) if root is not None]


def _read_parts(handle: Handle, keys: Collection[str], giving_up: Collection[str]) -> set[ChunkId]:
    def one(key: str) -> set[ChunkId]:
        try:
            part = read_part(handle, PartId(key.removeprefix(PARTS)))
        except (DamageError, WrongKeyError, FailedError) as error:
            if key in giving_up:
                return set()
            raise _unknown(key, error.message) from error
        ids = (entry.chunks for entry in part.entries)
        return {ChunkId(data[start : start + 32]) for data in ids for start in range(0, len(data), 32)}

    chunks: set[ChunkId] = set()
    with ThreadPoolExecutor(_READERS) as pool:
        for found in pool.map(one, keys):
            chunks |= found
    return chunks


def _unknown(key: str, why: str) -> RefusedError:
    return RefusedError(
        f"nothing is collected, for what {key} needs is not known: {why}",
        hint="`vault repair --from REPLICA`; or do without it: `vault collect --give-up KEY`",
        object_name=key,
    )


def _read_tables(handle: Handle, infos: Mapping[PackId, ObjectInfo]) -> dict[PackId, PackTable | None]:
    handle.progress.phase("reading what is in the packs", None)

    def one(info: ObjectInfo) -> PackTable | None:
        try:
            table = read_pack_table(handle.store, handle.keys, info)
            places_of(table, handle.keys.suite, info.key, info.size)
        except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
            handle.progress.note(f"{info.key} is left alone: {error.message}")
            return None
        return table

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(infos, pool.map(one, infos.values()), strict=True))


def _bases(
    handle: Handle, infos: Mapping[PackId, ObjectInfo], tables: Mapping[PackId, PackTable | None]
) -> dict[ChunkId, tuple[ChunkId, ...]]:
    """The bases of each chunk that is a delta somewhere: all of them, whichever pack will be read."""
    bases: dict[ChunkId, tuple[ChunkId, ...]] = {}
    for chunk, base in _deltas(handle, infos, tables):
        known = bases.get(chunk, ())
        if base not in known:
            bases[chunk] = (*known, base)
    return bases


def _deltas(
    handle: Handle, infos: Mapping[PackId, ObjectInfo], tables: Mapping[PackId, PackTable | None]
) -> Iterator[tuple[ChunkId, ChunkId]]:
    for pack, table in tables.items():
        if table is not None and table.bases:
            for chunk, place in places_of(table, handle.keys.suite, infos[pack].key, infos[pack].size):
                if place.base:
                    yield chunk, place.base


def _with_bases(direct: set[ChunkId], bases: Mapping[ChunkId, tuple[ChunkId, ...]]) -> set[ChunkId]:
    reached, waiting = set(direct), list(direct)
    while waiting:
        for base in bases.get(waiting.pop(), ()):
            if base not in reached:
                reached.add(base)
                waiting.append(base)
    return reached
