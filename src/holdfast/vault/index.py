"""Which pack holds which chunk. A cache of the packs' footers: what it lacks is read from there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.events import SILENT, Progress
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.documents import body_max, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import INDEX, PACKS, index_key, pack_key
from holdfast.vault.format.packs import TRAILER_BYTES, ChunkPlace, PackOpener, footer_bytes, places_of, preamble_bytes
from holdfast.vault.format.records import Index, IndexedPack, PackTable, Signer, decode_record, encode_record

__all__ = ["Located", "ChunkIndex", "SignedIndex", "write_index", "read_index", "read_pack_table", "pack_of_key"]


class Located(NamedTuple):
    """A chunk's pack, that pack's size in bytes, and the place in it."""

    pack: PackId
    pack_size: int
    place: ChunkPlace


class SignedIndex(NamedTuple):
    """What an index object says, and whose word it is."""

    said: Index
    signer: Signer


_STREAMS = 8  # footers fetched at a time: three short reads each, so it is the answers that are waited for


class ChunkIndex:
    """Looks chunks up. Safe for several threads.

    What an index object says is its signer's word; what a pack's own footer says is bound to the pack's name. So a
    footer replaces what was said before, and where two signers differ, neither is believed.
    """

    def __init__(self, suite: int) -> None:
        self._suite = suite
        self._places: dict[ChunkId, Located] = {}
        self._further: dict[ChunkId, list[Located]] = {}  # of the few chunks that lie in several packs
        self._packs: dict[PackId, int] = {}
        self._forgotten: set[PackId] = set()
        self._tables: dict[PackId, PackTable] = {}
        self._signers: dict[PackId, str] = {}
        self._disputed: set[PackId] = set()
        self._lock = threading.Lock()
        self.problems: list[HoldfastError] = []

    @classmethod
    def load(cls, store: Store, keys: VaultKeys) -> ChunkIndex:
        """All index objects of the store whose signer was not revoked.

        A damaged one is kept in `problems`, its packs are simply not known here; nor are those that two index objects
        describe differently.
        """
        index = cls(keys.suite)
        revoked = 0
        for info in store.list(INDEX):
            try:
                said, signer = read_index(store, keys, info.key)
                if signer.revoked is not None:
                    revoked += 1  # whatever date it bears: who signs it, dates it
                    continue
                for pack in said.packs:
                    index.add(PackId(pack.id.hex()), pack.size, pack.table, signer=fingerprint(signer.public))
            except (DamageError, UntrustedError, FailedError) as error:
                index.problems.append(error)
            except ObjectNotFoundError:
                continue  # deleted since it was listed
        if revoked:
            message = f"{revoked} index objects are signed with keys that were revoked"
            index.problems.append(UntrustedError(message, object_name=INDEX))
        if index._disputed:
            message = f"the index contradicts itself about {len(index._disputed)} packs"
            index.problems.append(DamageError(message, object_name=INDEX))
        return index

    def add(self, pack: PackId, size: int, table: PackTable, *, signer: str = "") -> None:
        """Take in one pack. Of several places of a chunk the first known one comes first.

        `signer`: fingerprint of whoever lists the pack; empty where its own footer does.
        """
        places = places_of(table, self._suite, pack_key(pack), size)
        with self._lock:
            if not signer and (self._packs.get(pack), self._tables.get(pack)) == (size, table):
                self._signers[pack] = ""
                return
            if pack in self._packs or pack in self._disputed:
                if not self._replaces(pack, size, table, signer):
                    return
                self._remove(pack)
            self._disputed.discard(pack)
            self._forgotten.discard(pack)
            self._packs[pack] = size
            self._tables[pack] = table
            self._signers[pack] = signer
            for chunk, place in places:
                located = Located(pack, size, place)
                if self._places.setdefault(chunk, located) is not located:
                    self._further.setdefault(chunk, []).append(located)

    def _replaces(self, pack: PackId, size: int, table: PackTable, signer: str) -> bool:
        """Whether this is to be believed rather than what is known of the pack. (A dispute is noted here.)"""
        if not signer:
            return True
        if pack in self._packs and self._signers[pack] and (self._packs[pack], self._tables[pack]) != (size, table):
            self._remove(pack)
            self._disputed.add(pack)
        return False

    def forget_pack(self, pack: PackId) -> None:
        """The pack is gone or damaged: its chunks are no longer known from there, only from other packs."""
        with self._lock:
            self._remove(pack)
            self._forgotten.add(pack)

    def _remove(self, pack: PackId) -> None:
        table = self._tables.pop(pack, None)
        self._packs.pop(pack, None)
        self._signers.pop(pack, None)
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

    def signer_of(self, pack: PackId) -> str:
        """Fingerprint (hex) of the signer who lists the pack; empty when it is known from its own footer."""
        return self._signers.get(pack, "")

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
        return self._read_footers(store, keys, progress, lambda pack: pack in self._packs)

    def distrust(self, store: Store, keys: VaultKeys, progress: Progress = SILENT) -> list[str]:
        """Read the footers of all packs that are not known from theirs: an index object may have lied, or was lost.

        Returns the keys of packs that cannot be read; what an index says of those stays.
        """
        return self._read_footers(store, keys, progress, lambda pack: self._signers.get(pack) == "")

    def _read_footers(
        self, store: Store, keys: VaultKeys, progress: Progress, known: Callable[[PackId], bool]
    ) -> list[str]:
        keys.require_reader("rebuilding the index")
        unread: list[str] = []
        found: list[str] = []
        wanted = []
        for info in store.list(PACKS):
            pack = pack_of_key(info.key)
            if pack is not None and pack not in self._forgotten and not known(pack):
                wanted.append((pack, info))

        def one(pack: PackId, info: ObjectInfo) -> None:
            unlisted = pack not in self._packs
            try:
                self.add(pack, info.size, read_pack_table(store, keys, info))
                found.extend([info.key] if unlisted else [])
            except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
                progress.note(f"{info.key} left out: {error.message}")
                unread.append(info.key)

        with ThreadPoolExecutor(_STREAMS) as pool:
            list(pool.map(lambda item: one(*item), wanted))
        if found:
            progress.note(f"the index lacked {len(found)} packs; their footers were read instead")
        return sorted(unread)


def write_index(keys: VaultKeys, packs: Iterable[IndexedPack], created: int) -> tuple[str, bytes]:
    """Key and stored bytes of an index object that lists these packs.

    Those with the largest tables are left out where it would become too big to be read: their footers tell the same.
    """
    listed = list(packs)
    record = encode_record(Index(created, listed))
    while len(record) > body_max(Kind.INDEX):
        listed.remove(max(listed, key=lambda pack: len(pack.table.ids)))
        record = encode_record(Index(created, listed))
    data = write_document(keys, Kind.INDEX, INDEX, record)
    return index_key(blake3(data).hexdigest()), data


def read_index(store: Store, keys: VaultKeys, key: str) -> SignedIndex:
    """One index object, and who signed it: perhaps one who was revoked. Raises DamageError, UntrustedError,
    WrongKeyError.
    """
    data = store.get(key)
    if key != index_key(blake3(data).hexdigest()):
        raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
    opened = read_document(keys, Kind.INDEX, key, data)
    index = decode_record(opened.body, Index, key)
    for pack in index.packs:
        if len(pack.id) != 32:
            raise DamageError(f"{key} names an impossible pack", object_name=key)
        places_of(pack.table, keys.suite, key, pack.size)
    return SignedIndex(index, keys.trusted_signer(Kind.INDEX, opened.signer, key))


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
