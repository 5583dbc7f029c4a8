"""Which pack holds which chunk. A cache of the packs' footers: what it lacks is read from there."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import (
    DamageError,
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.events import SILENT, Progress
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.vault.documents import read_document, write_document
from holdfast.vault.header import Kind
from holdfast.vault.keys import VaultKeys
from holdfast.vault.names import INDEX, PACKS, index_key, pack_key
from holdfast.vault.packs import TRAILER_BYTES, ChunkPlace, PackOpener, footer_bytes, places_of, preamble_bytes
from holdfast.vault.records import Index, IndexedPack, PackTable, decode_record, encode_record

__all__ = ["Located", "ChunkIndex", "write_index", "read_index", "read_pack_table", "pack_of_key"]


class Located(NamedTuple):
    """A chunk's pack, that pack's size in bytes, and the place in it."""

    pack: PackId
    pack_size: int
    place: ChunkPlace


class ChunkIndex:
    """Looks chunks up. Safe for several threads."""

    def __init__(self, suite: int) -> None:
        self._suite = suite
        self._places: dict[ChunkId, Located] = {}
        self._further: dict[ChunkId, list[Located]] = {}  # of the few chunks that lie in several packs
        self._packs: dict[PackId, int] = {}
        self._forgotten: set[PackId] = set()
        self._tables: dict[PackId, PackTable] = {}
        self._lock = threading.Lock()
        self.problems: list[DamageError | UntrustedError] = []

    @classmethod
    def load(cls, store: Store, keys: VaultKeys) -> ChunkIndex:
        """All index objects of the store. A damaged one is kept in `problems`, its packs are simply not known here."""
        index = cls(keys.suite)
        for info in store.list(INDEX):
            try:
                for pack in read_index(store, keys, info.key).packs:
                    index.add(PackId(pack.id.hex()), pack.size, pack.table)
            except (DamageError, UntrustedError) as error:
                index.problems.append(error)
            except ObjectNotFoundError:
                continue  # deleted since it was listed
        return index

    def add(self, pack: PackId, size: int, table: PackTable) -> None:
        """Take in one pack. Of several places of a chunk the first known one comes first."""
        places = places_of(table, self._suite, pack_key(pack))
        with self._lock:
            if pack in self._packs:
                return  # packs are named by their bytes: it is the same one
            self._forgotten.discard(pack)
            self._packs[pack] = size
            self._tables[pack] = table
            for chunk, place in places:
                located = Located(pack, size, place)
                if self._places.setdefault(chunk, located) is not located:
                    self._further.setdefault(chunk, []).append(located)

    def forget_pack(self, pack: PackId) -> None:
        """The pack is gone or damaged: its chunks are no longer known from there, only from other packs."""
        with self._lock:
            table = self._tables.pop(pack, None)
            self._packs.pop(pack, None)
            self._forgotten.add(pack)
            ids = table.ids if table is not None else b""
            for start in range(0, len(ids), 32):
                chunk = ChunkId(ids[start : start + 32])
                left = [located for located in self._places_of(chunk) if located.pack != pack]
                self._further.pop(chunk, None)
                self._places.pop(chunk, None)
                if left:
                    self._places[chunk] = left[0]
                if len(left) > 1:
                    self._further[chunk] = left[1:]

    def find(self, chunk: ChunkId) -> Located | None:
        return self._places.get(chunk)

    def places(self, chunk: ChunkId) -> list[Located]:
        """Everywhere that the chunk lies."""
        with self._lock:
            return self._places_of(chunk)

    def _places_of(self, chunk: ChunkId) -> list[Located]:
        first = self._places.get(chunk)
        return [] if first is None else [first, *self._further.get(chunk, ())]

    def packs(self) -> dict[PackId, int]:
        """Known packs and their sizes."""
        with self._lock:
            return dict(self._packs)

    def table(self, pack: PackId) -> PackTable | None:
        """The table of a known pack."""
        return self._tables.get(pack)

    def __len__(self) -> int:
        """Number of chunks."""
        return len(self._places)

    def add_unlisted(self, store: Store, keys: VaultKeys, progress: Progress = SILENT) -> list[str]:
        """Read the footers of packs that no index lists. Returns the keys of those that cannot be read.

        Whatever they held is then not found. Packs that were forgotten stay so.
        """
        keys.require_reader("rebuilding the index")
        added, unread = 0, []
        for info in store.list(PACKS):
            pack = pack_of_key(info.key)
            if pack is None or pack in self._packs or pack in self._forgotten:
                continue
            try:
                self.add(pack, info.size, read_pack_table(store, keys, info))
                added += 1
            except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
                progress.note(f"{info.key} left out: {error.message}")
                unread.append(info.key)
        if added:
            progress.note(f"the index lacked {added} packs; their footers were read instead")
        return unread


def write_index(keys: VaultKeys, packs: Iterable[IndexedPack], created: int) -> tuple[str, bytes]:
    """Key and stored bytes of an index object that lists these packs."""
    data = write_document(keys, Kind.INDEX, INDEX, encode_record(Index(created, list(packs))))
    return index_key(blake3(data).hexdigest()), data


def read_index(store: Store, keys: VaultKeys, key: str) -> Index:
    """One index object. Raises DamageError, UntrustedError, WrongKeyError."""
    data = store.get(key)
    if key != index_key(blake3(data).hexdigest()):
        raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
    opened = read_document(keys, Kind.INDEX, key, data)
    index = decode_record(opened.body, Index, key)
    for pack in index.packs:
        if len(pack.id) != 32:
            raise DamageError(f"{key} names an impossible pack", object_name=key)
        places_of(pack.table, keys.suite, key)
    return index


def read_pack_table(store: Store, keys: VaultKeys, info: ObjectInfo) -> PackTable:
    """The table in a pack's footer, by three short range reads. Raises DamageError."""
    pack = pack_of_key(info.key)
    if pack is None:
        raise DamageError(f"{info.key} is not the name of a pack", object_name=info.key)
    preamble = preamble_bytes(keys.suite)
    if info.size < preamble + TRAILER_BYTES:
        raise DamageError(f"{info.key} is cut short ({info.size} bytes)", object_name=info.key)
    head, trailer = store.get_ranges(info.key, [(0, preamble), (info.size - TRAILER_BYTES, TRAILER_BYTES)])
    length = footer_bytes(info.key, trailer, info.size) + TRAILER_BYTES
    [tail] = store.get_ranges(info.key, [(info.size - length, length)])
    return PackOpener(keys, pack, head).open_footer(tail)


def pack_of_key(key: str) -> PackId | None:
    """The pack that a key names, or None when it names none."""
    pack = key.rsplit("/", 1)[-1]
    if len(pack) != 64 or not set(pack) <= set("0123456789abcdef") or key != pack_key(PackId(pack)):
        return None
    return PackId(pack)
