"""Reading and rewriting packs for a collection, by whoever has the keys: what is asked, and what is answered.

Decisions and deletions stay with the run that holds the lease. Who helps goes by packs and by the numbers of the chunks
in their footers; that both mean the same footer is compared. A pack that is rewritten twice, because who did it died,
is there twice: the next collection finds that out by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from blake3 import blake3

from holdfast.errors import DamageError, FailedError, NotFoundError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.collecting.marking import Marked, SeenPack, check_whole
from holdfast.vault.collecting.repacking import Rewriting, Rewritten, rewrite
from holdfast.vault.format.names import pack_key
from holdfast.vault.handle import Handle
from holdfast.vault.index import read_pack_table

__all__ = ["LivePack", "PackHelpers", "ReadPack", "good_chunks", "read_pack", "rewrite_spread", "rewrite_packs"]


class ReadPack(NamedTuple):
    """A pack that was read whole. `mark`: of its chunks (`_mark`). `wrong`: numbers of the chunks that are not what
    they should be. `problem`: why nothing of it can be relied upon, or empty.
    """

    pack: PackId
    size: int
    mark: str
    wrong: tuple[int, ...]
    problem: str


class LivePack(NamedTuple):
    """A pack to be rewritten: the numbers of its chunks that are live, and of those that become whole."""

    pack: PackId
    mark: str
    live: tuple[int, ...]
    wholes: tuple[int, ...]
    bytes: int


class PackHelpers(Protocol):
    """Somebody who reads and rewrites packs. Raises what `read_pack` and `rewrite_packs` raise."""

    def read(self, packs: Sequence[PackId]) -> Iterator[ReadPack]:
        """Each as it was read, in any order."""
        ...

    def rewrite(self, packs: Sequence[LivePack]) -> Iterator[Rewritten]:
        """Group by group, in any order."""
        ...


def read_pack(handle: Handle, pack: PackId) -> ReadPack:
    """Read a pack, compare it with its name, decode all of it and compare every chunk with its id.

    What is wrong with it is in the answer. Raises what the store raises.
    """
    size = 0
    try:
        seen = _see(handle, pack)
        size = seen.info.size
        data = handle.store.get(seen.info.key)
        if blake3(data).hexdigest() != pack:
            raise DamageError(f"{seen.info.key} is damaged: its bytes do not hash to its name")
        wrong = check_whole(handle, handle.reader(), seen, data)
    except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
        return ReadPack(pack, size, "", (), error.message)
    chunks = _chunks(handle, seen)
    numbers = tuple(number for number, chunk in enumerate(chunks) if chunk in wrong)
    return ReadPack(pack, len(data), _mark(chunks), numbers, "")


def good_chunks(handle: Handle, seen: SeenPack, read: ReadPack) -> frozenset[ChunkId] | None:
    """What an answer means here. None where it is about another footer than the one that was seen here."""
    if read.problem:
        return frozenset()
    chunks = _chunks(handle, seen)
    if _mark(chunks) != read.mark:
        return None
    wrong = set(read.wrong)
    bad = {chunk for number, chunk in enumerate(chunks) if number in wrong}
    return frozenset(chunks) - bad


def rewrite_packs(handle: Handle, packs: Sequence[LivePack]) -> Rewritten:
    """Write the live chunks of these packs into new ones, as `repacking.rewrite` does. What cannot be read is in
    `left`. Needs a key that reads and writes. Raises CredentialError, and what the store raises.
    """
    handle.keys.require_reader("rewriting packs")
    handle.keys.require_writer("rewriting packs")
    seen: dict[PackId, SeenPack] = {}
    live: set[ChunkId] = set()
    wholes: set[ChunkId] = set()
    left: list[PackId] = []
    for one in packs:
        try:
            found = _see(handle, one.pack)
            chunks = _chunks(handle, found)
            if _mark(chunks) != one.mark:
                raise DamageError(f"{found.info.key} has another footer than a moment ago")
        except (DamageError, NotFoundError, WrongKeyError, FailedError) as error:
            handle.progress.note(f"not rewritten: {error.message}")
            left.append(one.pack)
            continue
        seen[one.pack] = found._replace(live_bytes=one.bytes)
        live.update(chunks[number] for number in one.live)
        wholes.update(chunks[number] for number in one.wholes)
    marked = Marked((), {}, frozenset(), frozenset(), frozenset(live), seen, frozenset())
    plan = Rewriting(tuple(seen), frozenset(wholes), sum(one.live_bytes for one in seen.values()), 0)
    done = rewrite(handle, marked, plan, lambda: None)
    return done._replace(left=(*done.left, *left))


def rewrite_spread(
    handle: Handle, marked: Marked, plan: Rewriting, keep: Callable[[], None], helpers: PackHelpers
) -> Rewritten:
    """Carry a plan out with the help of others. `keep` is called for each answer. The answers' new packs count."""
    handle.progress.phase("rewriting packs", plan.bytes)
    packs = []
    for pack in plan.packs:
        seen = marked.packs[pack]
        chunks = _chunks(handle, seen)
        live = tuple(number for number, chunk in enumerate(chunks) if chunk in marked.chunks)
        wholes = tuple(number for number in live if chunks[number] in plan.wholes)
        packs.append(LivePack(pack, _mark(chunks), live, wholes, seen.live_bytes))
    total = Rewritten(0, 0, (), (), ())
    for done in helpers.rewrite(packs):
        keep()
        handle.progress.advance(sum(marked.packs[pack].live_bytes for pack in done.emptied))
        total = Rewritten(
            total.chunks + done.chunks,
            total.bytes + done.bytes,
            total.names + done.names,
            total.left + done.left,
            total.emptied + done.emptied,
        )
    return total


def _see(handle: Handle, pack: PackId) -> SeenPack:
    info = handle.store.head(pack_key(pack))
    return SeenPack(pack, info, read_pack_table(handle.store, handle.keys, info), info.size)


def _chunks(handle: Handle, seen: SeenPack) -> list[ChunkId]:
    return [chunk for chunk, _ in seen.places(handle.keys.suite)]


def _mark(chunks: Sequence[ChunkId]) -> str:
    return blake3(b"".join(chunks)).hexdigest()
