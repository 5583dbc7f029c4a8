"""Looking at every object of a vault: which are soundly what their keys say, which are not, and what packs hold."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

from blake3 import blake3

from holdfast.errors import (
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
)
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.checking.judging import judge
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, pack_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.series import series_of
from holdfast.vault.handle import Handle
from holdfast.vault.index import ChunkIndex, pack_of_key, read_pack_table
from holdfast.vault.restoring.reading import ChunkReader

__all__ = ["Survey", "survey", "gaps_of", "TROUBLE"]

_DOCUMENTS = (CONFIG, INDEX, PARTS, SNAPSHOTS, REFS, THINNED)
_KEPT = (CONFIG, REFS)  # never deleted: what is listed there and cannot be had was lost
# Says something of an object. A store that does not answer says nothing, and ends the survey.
TROUBLE = (DamageError, NotFoundError, CredentialError, FailedError)


@dataclass
class Survey:
    """`sound`: key → size. `bad`: key → what is wrong. `digests`: BLAKE3 of the stored bytes → keys of sound objects;
    `bad_digests`: key → that of what lies there.

    `good`: an index of what sound packs hold, from their own footers. `wrong`: blobs of sound packs that do not give
    the chunk that they should: somebody meant harm.
    """

    good: ChunkIndex
    sound: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    digests: dict[bytes, str] = field(default_factory=dict)
    bad_digests: dict[str, bytes] = field(default_factory=dict)
    wrong: set[tuple[PackId, ChunkId]] = field(default_factory=set)

    def keys(self, prefix: str) -> list[str]:
        """Sound ones."""
        return sorted(key for key in self.sound if key.startswith(prefix))

    def bad_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.bad if key.startswith(prefix))


def survey(handle: Handle) -> Survey:
    """Read every byte of the vault. Damage is in the result; raises what the store raises when it does not answer."""
    looked = _Looking(handle)
    for prefix in _DOCUMENTS:
        looked.documents(prefix)
    looked.packs()
    return looked.found


def gaps_of(keys: list[str]) -> list[str]:
    """Keys of generations that are missing between others: they are never deleted, so they were lost."""
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key[: key.rfind("/") + 1], []).append(key)
    gaps = []
    for prefix, members in folders.items():
        for before, after in pairwise([0, *series_of(members, prefix).generations]):
            gaps += [f"{prefix}{number:010d}" for number in range(before + 1, min(after, before + 1000))]
    return gaps


class _Looking:
    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self.found = Survey(ChunkIndex(handle.keys.suite))

    def documents(self, prefix: str) -> None:
        handle = self._handle
        handle.progress.phase(f"looking at {prefix.rstrip('/')}", None)

        def one(info: ObjectInfo) -> None:
            data = b""
            try:
                data = handle.store.get(info.key)
                judge(handle.keys, info.key, data)
            except TROUBLE as error:
                if not (isinstance(error, ObjectNotFoundError) and not prefix.startswith(_KEPT)):
                    self._bad(info.key, data, error)  # else it was dropped or collected since it was listed
                return
            self._sound(info.key, data)

        self._each(list(handle.store.list(prefix)), one)

    def packs(self) -> None:
        handle, every = self._handle, ChunkIndex(self._handle.keys.suite)
        infos = list(handle.store.list(PACKS))
        handle.progress.phase("looking at packs", sum(info.size for info in infos))
        readable: set[PackId] = set()

        def footer(info: ObjectInfo) -> None:
            pack = pack_of_key(info.key)
            try:
                if pack is None:
                    raise DamageError(f"{info.key} is not the name of a pack", object_name=info.key)
                table = read_pack_table(handle.store, handle.keys, info)
                places_of(table, handle.keys.suite, info.key, info.size)
                every.add(pack, info.size, table)
            except ObjectNotFoundError:
                return  # collected since it was listed
            except TROUBLE as error:
                with self._lock:
                    self.found.bad[info.key] = error.message
                return
            with self._lock:
                readable.add(pack)

        self._each(infos, footer)
        reader = ChunkReader(handle.store, handle.keys, every)
        self._each(infos, lambda info: self._pack(info, reader, every, readable))

    def _pack(self, info: ObjectInfo, reader: ChunkReader, every: ChunkIndex, readable: set[PackId]) -> None:
        pack, data = pack_of_key(info.key), b""
        try:
            data = self._handle.store.get(info.key)
            judge(self._handle.keys, info.key, data)
            table = every.table(pack) if pack in readable and pack is not None else None
            if pack is None or table is None:
                why = self.found.bad.get(info.key, f"{info.key} cannot be read")
                raise DamageError(why, object_name=info.key)
            wrong = reader.check_pack(pack, data)
        except ObjectNotFoundError:
            with self._lock:
                self.found.bad.pop(info.key, None)
            return
        except TROUBLE as error:
            self._bad(info.key, data, error)
            return
        finally:
            self._handle.progress.advance(len(data))
        self.found.good.add(pack, len(data), table)
        self._sound(info.key, data)
        # Where only the base of a delta cannot be had, it is not this pack that is wrong.
        own = {(pack, chunk) for chunk, error in wrong.items() if error.object_name == pack_key(pack)}
        with self._lock:
            self.found.wrong |= own

    def _each(self, infos: list[ObjectInfo], work: Callable[[ObjectInfo], None]) -> None:
        with ThreadPoolExecutor(self._handle.workers) as pool:
            list(pool.map(work, infos))

    def _sound(self, key: str, data: bytes) -> None:
        digest = blake3(data).digest()
        with self._lock:
            self.found.sound[key] = len(data)
            self.found.digests[digest] = key

    def _bad(self, key: str, data: bytes, error: HoldfastError) -> None:
        with self._lock:
            self.found.bad[key] = error.message
            self.found.bad_digests[key] = blake3(data).digest()
