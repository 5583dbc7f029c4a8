"""Which chunks the snapshots need cannot be had from sound packs, and where else they can."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from blake3 import blake3

from holdfast.errors import HoldfastError
from holdfast.events import SILENT
from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located, pack_of_key, read_pack_table
from holdfast.vault.repairing.model import FETCHED, Fix
from holdfast.vault.repairing.survey import TROUBLE, Survey
from holdfast.vault.restoring.fallback import Replicas
from holdfast.vault.restoring.reading import ChunkReader

__all__ = ["Chunks"]

_CHAIN_MAX = 8  # deltas of deltas, as for who reads


class Chunks:
    """Finds packs to fetch for one repair. Packs that it finds count as good from then on."""

    def __init__(self, handle: Handle, replicas: Replicas, seen: Survey, mend: Callable[[Fix], None]) -> None:
        self._handle = handle
        self._replicas = replicas
        self._seen = seen
        self._mend = mend
        self._fine: dict[ChunkId, bool] = {}
        self._asked: set[PackId] = set()
        self._distrusted: set[str] = set()

    def fetch_damaged(self) -> None:
        """Every damaged pack of which a replica has the sound one."""
        for key in self._seen.bad_keys(PACKS):
            pack = pack_of_key(key)
            if pack is not None:
                self._fetch(pack, self._seen.bad[key])

    def fetch_missing(self, needed: Iterable[ChunkId]) -> list[ChunkId]:
        """Packs for the chunks that no good pack here has. Returns the chunks that are still without one."""
        waiting = [chunk for chunk in needed if not self._is_fine(chunk, 0)]
        suspects, tried = list(waiting), set(waiting)
        while waiting:
            for base in self._fetch_for(waiting.pop()):
                if base not in tried and not self._is_fine(base, 0):
                    tried.add(base)
                    waiting.append(base)
        self._fine.clear()
        return [chunk for chunk in suspects if not self._is_fine(chunk, 0)]

    def sort_out(self, chunks: Iterable[ChunkId]) -> tuple[list[ChunkId], dict[ChunkId, str]]:
        """Of chunks without a good pack: those that only replicas still give (to be salvaged), and those that are lost,
        with why. What can still be read from a damaged pack here is neither.
        """
        handle = self._handle
        here = ChunkReader(handle.store, handle.keys, handle.index, SILENT)
        anywhere = ChunkReader(handle.store, handle.keys, handle.index, SILENT, self._replicas)
        salvage: list[ChunkId] = []
        lost: dict[ChunkId, str] = {}
        for chunk in chunks:
            if _trouble(here, chunk) is None:
                continue
            why = _trouble(anywhere, chunk)
            if why is None:
                salvage.append(chunk)
            else:
                lost[chunk] = why
        return salvage, lost

    def needs(self, chunks: Iterable[ChunkId]) -> frozenset[str]:
        """Keys of the good packs that hold the chunks, and the bases of those that are deltas."""
        keys: set[str] = set()
        waiting = list(chunks)
        seen = set(waiting)
        while waiting:
            for located in self._good_places(waiting.pop()):
                keys.add(pack_key(located.pack))
                base = located.place.base
                if base and base not in seen:
                    seen.add(base)
                    waiting.append(base)
        return frozenset(keys)

    def _is_fine(self, chunk: ChunkId, depth: int) -> bool:
        known = self._fine.get(chunk)
        if known is None:
            known = depth <= _CHAIN_MAX and any(
                not located.place.base or self._is_fine(located.place.base, depth + 1)
                for located in self._good_places(chunk)
            )
            self._fine[chunk] = known
        return known

    def _good_places(self, chunk: ChunkId) -> list[Located]:
        wrong = self._seen.wrong
        return [one for one in self._seen.good.places(chunk) if (one.pack, chunk) not in wrong]

    def _fetch_for(self, chunk: ChunkId) -> list[ChunkId]:
        """Fetch a pack that holds the chunk, if it is not in a good one already. Returns bases that it then needs."""
        places = self._good_places(chunk)
        if not places:
            for handle in self._replicas.handles():
                if any(self._fetch(pack, f"{pack_key(pack)} is missing") for pack in self._packs_at(handle, chunk)):
                    break
            places = self._good_places(chunk)
        return [one.place.base for one in places if one.place.base]

    def _packs_at(self, handle: Handle, chunk: ChunkId) -> list[PackId]:
        try:
            places = handle.index.places(chunk)
            if not places and handle.store.url not in self._distrusted:
                self._distrusted.add(handle.store.url)
                handle.index.distrust(handle.store, handle.keys)
                places = handle.index.places(chunk)
        except HoldfastError as error:
            self._replicas.unanswered(handle, error)
            return []
        return [located.pack for located in places]

    def _fetch(self, pack: PackId, why: str) -> bool:
        """Whether a replica has the pack, sound; it is then planned to be fetched."""
        key = pack_key(pack)
        if pack in self._asked or key in self._seen.sound:
            return False
        self._asked.add(pack)
        for handle in self._replicas.handles():
            try:
                data = handle.store.get(key)
                if blake3(data).hexdigest() != pack:
                    continue
                info = handle.store.head(key)
                table = read_pack_table(handle.store, self._handle.keys, info)
                places_of(table, self._handle.keys.suite, key, len(data))
            except HoldfastError as error:
                self._replicas.unanswered(handle, error)
                continue
            self._seen.good.add(pack, len(data), table)
            self._mend(Fix(key, FETCHED, handle.store.url, len(data), why))
            return True
        return False


def _trouble(reader: ChunkReader, chunk: ChunkId) -> str | None:
    try:
        reader.read([chunk])
    except TROUBLE as error:
        return error.message
    return None
