"""Writing the live chunks of packs that are mostly dead, or that are held by deltas alone, into new packs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, FailedError, NotFoundError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.codecs import encode_in_place
from holdfast.vault.collecting.marking import Marked, SeenPack, check_whole
from holdfast.vault.format.packs import ChunkPlace, PackOpener, preamble_bytes
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import ChunkReader
from holdfast.vault.saving.pack_writer import PackWriter

__all__ = ["Rewriting", "Rewritten", "plan_rewriting", "rewrite"]

_WHOLE = ChunkId(b"")


class Rewriting(NamedTuple):
    """What is to be rewritten. `packs`: those that empty by it. `wholes`: deltas that become whole, so that their base,
    which nothing else needs, can go. `bytes`: stored bytes of what is written anew; `frees`: what can be deleted then.
    """

    packs: tuple[PackId, ...]
    wholes: frozenset[ChunkId]
    bytes: int
    frees: int


class Rewritten(NamedTuple):
    """`names`: the new packs. Of the plan's, `emptied` may go; `left` could not be read."""

    chunks: int
    bytes: int
    names: tuple[PackId, ...]
    left: tuple[PackId, ...]
    emptied: tuple[PackId, ...]


def plan_rewriting(handle: Handle, marked: Marked, *, below: float, budget: int, leaving: Collection[str]) -> Rewriting:
    """Packs of which less than the share `below` is live, the cheapest gain first, up to `budget` bytes to write.

    A restore reads ranges of packs, so what rewriting saves it is bounded by what it saves the store: a pack is worth
    it only where it frees more than has to be written, or where it is smaller than a quarter of a pack and there are
    others to join it with (fewer requests). A base that only deltas need goes with its pack: those deltas become whole.
    """
    suite = handle.keys.suite
    fixed = {seen.id for seen in marked.packs.values() if seen.info.key in leaving or seen.table is None}
    candidates = sorted(
        (seen for seen in marked.packs.values() if seen.id not in fixed and 0 < _share(seen) < below), key=_share
    )
    full = (one for one in marked.packs.values() if one.id not in fixed and one.live_bytes and _share(one) >= below)
    small = [seen for seen in full if seen.info.size < handle.pack_bytes // 4]
    if sum(seen.info.size for seen in small) < handle.pack_bytes:
        small = []  # they would not fill one pack
    chosen: list[PackId] = []
    written = freed = 0
    for seen in [*candidates, *sorted(small, key=lambda one: one.info.size)]:
        if written + seen.live_bytes > budget:
            break
        written += seen.live_bytes
        freed += seen.info.size - seen.live_bytes
        chosen.append(seen.id)
    wholes = _wholes(marked, chosen, suite)
    return Rewriting(tuple(chosen), wholes, written, freed)


def _share(seen: SeenPack) -> float:
    return seen.live_bytes / seen.info.size


def _wholes(marked: Marked, chosen: Collection[PackId], suite: int) -> frozenset[ChunkId]:
    """Deltas in the chosen packs whose base no part names, and no other chunk needs."""
    needed_by: dict[ChunkId, set[ChunkId]] = {}
    for seen in marked.packs.values():
        for chunk, place in seen.places(suite):
            if place.base and chunk in marked.chunks and place.base not in marked.direct:
                needed_by.setdefault(place.base, set()).add(chunk)
    there = {chunk for pack in chosen for chunk, _ in marked.packs[pack].places(suite)}
    return frozenset(
        next(iter(deltas)) for base, deltas in needed_by.items() if len(deltas) == 1 and there.issuperset(deltas)
    )


def rewrite(handle: Handle, marked: Marked, plan: Rewriting, keep: Callable[[], None]) -> Rewritten:
    """Carry it out: each chunk is decoded and compared with its id before it goes into a new pack, as it was coded, or
    whole. Nothing is deleted here. `keep` is called for each pack. Raises what the store raises.
    """
    handle.progress.phase("rewriting packs", plan.bytes)
    left: list[PackId] = []
    with PackWriter(handle, salted=True) as writer:
        work = _Rewriter(handle, marked, plan, writer)
        for pack in plan.packs:
            keep()
            try:
                work.take(marked.packs[pack])
            except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
                handle.progress.note(f"not rewritten: {error.message}")
                left.append(pack)
        writer.finish()
        emptied = tuple(pack for pack in plan.packs if pack not in left)
        return Rewritten(work.chunks, writer.stored_bytes, tuple(writer.names), tuple(left), emptied)


class _Rewriter:
    def __init__(self, handle: Handle, marked: Marked, plan: Rewriting, writer: PackWriter) -> None:
        self._handle = handle
        self._marked = marked
        self._plan = plan
        self._writer = writer
        self._reader = ChunkReader(handle.store, handle.keys, handle.index, handle.progress)
        self.chunks = 0

    def take(self, seen: SeenPack) -> None:
        """Write what is live in a pack. Raises DamageError for one that is not what its name says, and others."""
        handle = self._handle
        data = handle.store.get(seen.info.key)
        if blake3(data).hexdigest() != seen.id:
            raise DamageError(f"{seen.info.key} is damaged: its bytes do not hash to its name")
        wrong = check_whole(handle, self._reader, seen, data)
        live = [(chunk, place) for chunk, place in seen.places(handle.keys.suite) if chunk in self._marked.chunks]
        for chunk, _ in live:
            if chunk in wrong:
                raise wrong[chunk]
        opener = PackOpener(handle.keys, seen.id, data[: preamble_bytes(handle.keys.suite)])
        view = memoryview(data)
        for chunk, place in live:
            self._add(chunk, place, opener, view)
        handle.progress.advance(seen.live_bytes)

    def _add(self, chunk: ChunkId, place: ChunkPlace, opener: PackOpener, data: memoryview) -> None:
        if self._writer.holds(chunk):
            return
        if place.base and chunk in self._plan.wholes:
            codec, payload = encode_in_place(self._reader.read([chunk])[chunk], place.element, None)
            number, base = int(codec), _WHOLE
        else:
            payload = memoryview(
                opener.open_blob(place.number, chunk, data[place.offset : place.offset + place.stored])
            )
            number, base = place.codec, place.base
        self._writer.add(chunk, payload, raw=place.raw, codec=number, element=place.element, base=base)
        self.chunks += 1
