"""What the roots of a vault reach: parts, chunks, the bases of deltas, and so which packs are needed.

Packs are known from their own footers here, never from index objects: those are somebody's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.ids import ChunkId, PackId, PartId
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS, part_key
from holdfast.vault.format.packs import ChunkPlace, places_of
from holdfast.vault.format.records import PackTable, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key, read_pack_table
from holdfast.vault.restoring.reading import ChunkReader
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.snapshots.thinning import Thinnings

__all__ = ["Marked", "SeenPack", "check_whole", "mark"]

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
    given_up: frozenset[str]  # keys of what could not be read, and was done without


class _GivingUp:
    """Keys of what may be done without, and which of them that was of use for."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = frozenset(keys)
        self.used: set[str] = set()

    def allows(self, key: str) -> bool:
        if key in self._keys:
            self.used.add(key)
        return key in self._keys


def mark(handle: Handle, give_up: Collection[str] = ()) -> Marked:
    """Follow every root. The roots are listed before anything else is looked at.

    `give_up`: keys of roots, parts and packs that cannot be read, and that somebody decided to do without. Any other
    root or part that cannot be read ends it with RefusedError: what it needs is not known. So does a pack whose footer
    cannot be read and that no index lists, when something that is reached lies in no other. Raises CredentialError.
    """
    handle.keys.require_reader("collecting")
    store = handle.store
    giving_up = _GivingUp(give_up)
    roots = _read_roots(handle, giving_up)
    parts = {info.key: info for info in store.list(PARTS)}
    infos = {pack: info for info in store.list(PACKS) if (pack := pack_of_key(info.key)) is not None}
    thinned = Thinnings(handle)
    reached = {part_key(PartId(link.id.hex())) for root in roots for link in thinned.links(root)}
    direct = _read_parts(handle, reached, giving_up)
    tables = _read_tables(handle, infos)
    unread = {pack for pack, table in tables.items() if table is None}
    told = tables | {pack: handle.index.table(pack) for pack in unread}  # somebody's word, but it can only keep more
    chunks = _with_bases(direct, _bases(handle, infos, told))
    if unread:
        _require_known(handle, infos, told, chunks, giving_up)
    packs = {pack: SeenPack(pack, info, tables[pack], 0) for pack, info in infos.items()}
    suite = handle.keys.suite
    for pack, seen in packs.items():
        live = sum(place.stored for chunk, place in seen.places(suite) if chunk in chunks)
        packs[pack] = seen._replace(live_bytes=live)
    given_up = frozenset(giving_up.used)
    return Marked(tuple(roots), parts, frozenset(reached), frozenset(direct), frozenset(chunks), packs, given_up)


def _read_roots(handle: Handle, giving_up: _GivingUp) -> list[Root]:
    keys = [info.key for info in handle.store.list(SNAPSHOTS)]
    handle.progress.phase("following snapshots", None)

    def one(key: str) -> Root | None:
        try:
            return read_root(handle, key)
        except NotFoundError:
            return None  # dropped since it was listed
        except (DamageError, WrongKeyError, UntrustedError, FailedError) as error:
            if giving_up.allows(key):
                return None
            raise _unknown(key, error.message) from error

    with ThreadPoolExecutor(_READERS) as pool:
        return [root for root in pool.map(one, keys) if root is not None]


def _read_parts(handle: Handle, keys: Collection[str], giving_up: _GivingUp) -> set[ChunkId]:
    def one(key: str) -> set[ChunkId]:
        try:
            part = read_part(handle, PartId(key.removeprefix(PARTS)))
        except (DamageError, WrongKeyError, FailedError) as error:
            if giving_up.allows(key):
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


def _require_known(
    handle: Handle,
    infos: Mapping[PackId, ObjectInfo],
    told: Mapping[PackId, PackTable | None],
    chunks: Collection[ChunkId],
    giving_up: _GivingUp,
) -> None:
    """Raises RefusedError where a pack of which nothing is known may hold what is reached: as a delta, perhaps."""
    dark = [infos[pack].key for pack, table in told.items() if table is None and not giving_up.allows(infos[pack].key)]
    if not dark:
        return
    known: set[ChunkId] = set()
    for pack, table in told.items():
        if table is not None:
            known.update(chunk for chunk, _ in places_of(table, handle.keys.suite, infos[pack].key, infos[pack].size))
    lacking = sum(chunk not in known for chunk in chunks)
    if lacking:
        raise _unknown(
            min(dark), f"its footer cannot be read, and {lacking} chunks that are needed lie in no other pack"
        )


def check_whole(handle: Handle, reader: ChunkReader, seen: SeenPack, data: bytes) -> dict[ChunkId, HoldfastError]:
    """Decode all that the pack's own footer names, and recompute the ids, given its stored bytes. Returns what is
    wrong, by chunk. Raises DamageError.
    """
    if seen.table is None:
        raise DamageError(f"{seen.info.key} is damaged: its footer cannot be read", object_name=seen.info.key)
    # The reader goes by the index, which may not know the pack at all, or have somebody's word for it.
    handle.index.add(seen.id, seen.info.size, seen.table)
    wrong = reader.check_pack(seen.id, data)
    if handle.index.table(seen.id) != seen.table:
        raise DamageError(f"{seen.info.key} was not checked: the index lost it meanwhile", object_name=seen.info.key)
    return wrong


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
