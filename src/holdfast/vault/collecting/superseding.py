"""Packs whose chunks lie, read and found good, in other packs too: they may go although their chunks are reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from blake3 import blake3

from holdfast.errors import DamageError, FailedError, NotFoundError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.collecting.helping import PackHelpers, good_chunks
from holdfast.vault.collecting.marking import Marked, SeenPack, check_whole
from holdfast.vault.format.names import pack_key
from holdfast.vault.handle import Handle

__all__ = ["Copies"]

_STEPS_MAX = 8  # from delta to base, as readers follow them

_Known = dict[tuple[ChunkId, int], bool]


class Copies:
    """Where else chunks are, and whether they are good there. What was read once in a run is not read again.

    A duplicate that nobody has read counts for nothing: anybody who may write can put junk under a chunk's id.
    """

    def __init__(self, handle: Handle, marked: Marked, helpers: PackHelpers | None = None) -> None:
        """`helpers`: who reads packs ahead, as far as it can be told before which will have to be read."""
        self._handle = handle
        self._helpers = helpers
        self._marked = marked
        self._suite = handle.keys.suite
        self._packs_of = _places(marked, self._suite)
        self._above = _steps_above(self._packs_of)
        self._good: dict[PackId, frozenset[ChunkId]] = {}
        self.bytes_read = 0

    def doubled(self, leaving: Collection[str], budget: int) -> list[PackId]:
        """Packs all of whose live chunks lie in others, too, that stay: by their footers, smallest first, and no more
        than can be checked by reading `budget` bytes. `leaving`: keys of packs that do not stay anyway.
        """
        chosen: list[PackId] = []
        gone = set(leaving)
        read: set[PackId] = set()
        for seen in sorted(self._marked.packs.values(), key=lambda one: one.info.size):
            if not seen.live_bytes or seen.info.key in gone:
                continue
            others = self._others(seen, gone)
            if others is None:
                continue
            budget -= sum(self._marked.packs[pack].info.size for pack in others - read)
            if budget < 0:
                break
            read |= others
            gone.add(seen.info.key)
            chosen.append(seen.id)
        return chosen

    def proven(self, candidates: Iterable[PackId], leaving: Collection[str]) -> list[PackId]:
        """Those of the candidates that may go: each live chunk was found good, in this run, in a pack that stays.

        None of the candidates counts as staying.
        """
        listed = list(candidates)
        gone = {*leaving, *(pack_key(pack) for pack in listed)}
        known: _Known = {}
        if self._helpers is not None:
            self._read_ahead(self._helpers, listed, gone)
        return [pack for pack in listed if self._is_superseded(self._marked.packs[pack], gone, known)]

    def _read_ahead(self, helpers: PackHelpers, candidates: Iterable[PackId], gone: Collection[str]) -> None:
        """One other pack for each live chunk of a candidate. Whatever else is needed is read when it is."""
        wanted: set[PackId] = set()
        for pack in candidates:
            wanted |= self._others(self._marked.packs[pack], gone) or set()
        wanted -= self._good.keys()
        for read in helpers.read(sorted(wanted)) if wanted else ():
            self.bytes_read += read.size
            if read.problem:
                self._handle.progress.note(f"not relied upon: {read.problem}")
            good = good_chunks(self._handle, self._marked.packs[read.pack], read)
            if good is not None:
                self._good[read.pack] = good

    def _is_superseded(self, seen: SeenPack, gone: Collection[str], known: _Known) -> bool:
        if seen.table is None:
            return False
        live = [chunk for chunk, _ in seen.places(self._suite) if chunk in self._marked.chunks]
        # What is a delta to it somewhere must still be read, too: from as many steps above.
        return all(self._is_grounded(chunk, gone, _STEPS_MAX - self._above.get(chunk, 0), known) for chunk in live)

    def _is_grounded(self, chunk: ChunkId, gone: Collection[str], steps: int, known: _Known) -> bool:
        """Whether the chunk is good in packs that stay, down to a base that is whole in at most so many steps: two
        deltas to each other are not.
        """
        if steps < 0:
            return False
        answer = known.get((chunk, steps))
        if answer is None:
            answer = known[chunk, steps] = any(
                chunk in self._good_in(pack) and (not base or self._is_grounded(base, gone, steps - 1, known))
                for pack, base in self._packs_of.get(chunk, ())
                if self._marked.packs[pack].info.key not in gone
            )
        return answer

    def _others(self, seen: SeenPack, gone: Collection[str]) -> set[PackId] | None:
        """One other pack for each live chunk, or None when one of them has none."""
        found: set[PackId] = set()
        for chunk, _ in seen.places(self._suite):
            if chunk not in self._marked.chunks:
                continue
            staying = [pack for pack in self._staying(chunk, gone) if pack != seen.id]
            if not staying:
                return None
            if found.isdisjoint(staying):
                found.add(staying[0])
        return found

    def _staying(self, chunk: ChunkId, gone: Collection[str]) -> list[PackId]:
        return [pack for pack, _ in self._packs_of.get(chunk, ()) if self._marked.packs[pack].info.key not in gone]

    def _good_in(self, pack: PackId) -> frozenset[ChunkId]:
        """The chunks of a pack that were decoded and have the id that the footer says."""
        good = self._good.get(pack)
        if good is None:
            good = self._good[pack] = self._read(self._marked.packs[pack])
        return good

    def _read(self, seen: SeenPack) -> frozenset[ChunkId]:
        handle = self._handle
        try:
            data = handle.store.get(seen.info.key)
            self.bytes_read += len(data)
            if blake3(data).hexdigest() != seen.id:
                raise DamageError(f"{seen.info.key} is damaged: its bytes do not hash to its name")
            wrong = check_whole(handle, handle.reader(), seen, data)
        except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
            handle.progress.note(f"not relied upon: {error.message}")
            return frozenset()
        return frozenset(chunk for chunk, _ in seen.places(self._suite) if chunk not in wrong)


def _steps_above(packs_of: Mapping[ChunkId, list[tuple[PackId, ChunkId]]]) -> dict[ChunkId, int]:
    """How many live deltas may stand on each chunk, one upon the other, going by what all packs say. At most one more
    than readers follow.
    """
    bases = {chunk: {base for _, base in places if base} for chunk, places in packs_of.items()}
    deltas = {chunk: found for chunk, found in bases.items() if found}
    above: dict[ChunkId, int] = {}
    for _ in range(_STEPS_MAX + 1):
        higher = dict(above)
        for chunk, found in deltas.items():
            for base in found:
                higher[base] = max(higher.get(base, 0), above.get(chunk, 0) + 1)
        if higher == above:
            break
        above = higher
    return above


def _places(marked: Marked, suite: int) -> dict[ChunkId, list[tuple[PackId, ChunkId]]]:
    """The packs of each live chunk, and the base that it has there (empty: none)."""
    packs: dict[ChunkId, list[tuple[PackId, ChunkId]]] = {}
    for pack, seen in marked.packs.items():
        for chunk, place in seen.places(suite):
            if chunk in marked.chunks:
                packs.setdefault(chunk, []).append((pack, place.base))
    return packs
