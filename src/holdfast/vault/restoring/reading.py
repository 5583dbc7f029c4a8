"""From chunk ids to bytes: fetch packs' ranges in few requests, open, decode, and check every id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    WrongKeyError,
)
from holdfast.events import SILENT, Progress
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import Buffer, Store
from holdfast.vault.codecs import Codec, decode_into
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.packs import PackOpener, places_of, preamble_bytes
from holdfast.vault.index import ChunkIndex, Located
from holdfast.vault.restoring.anywhere import DEPTH_MAX, Anywhere, Elsewhere
from holdfast.vault.restoring.decoding import decode_sealed
from holdfast.vault.restoring.fetching import Sealed
from holdfast.vault.restoring.sites import Site
from holdfast.vault.scratch import bytes_scratch

__all__ = ["ChunkReader", "Elsewhere", "Site", "Wanted", "BATCH_BYTES"]

BATCH_BYTES = 16 << 20  # of plaintext that one worker fetches and decodes at a time
_LOCAL_BATCH_BYTES = 4 << 20  # where a request costs nothing: what is fetched is still in the cache when it is opened
_PACKS_IN_PLACE = 4  # a batch from more packs than this takes fresh memory for the others

T = TypeVar("T")


class Wanted(NamedTuple, Generic[T]):
    """A chunk that somebody wants, its plaintext length, and what it is wanted for."""

    chunk: ChunkId
    length: int
    purpose: T


class ChunkReader:
    """Reads chunks of one vault. Safe for several threads.

    What cannot be read soundly from this store is read from the replicas of `elsewhere`, if there are any (see
    `anywhere.py`); a delta of one site may have its base from another. Every chunk is compared with its id all the
    same.
    """

    def __init__(
        self,
        store: Store,
        keys: VaultKeys,
        index: ChunkIndex,
        progress: Progress = SILENT,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._index = index
        self._progress = progress
        self._here = Site(store, keys, index, progress)
        self._fetcher = self._here.fetcher
        self._elsewhere = elsewhere
        self._anywhere = Anywhere(self._here, keys.names, elsewhere)

    def read(self, chunks: Iterable[ChunkId]) -> dict[ChunkId, bytes | bytearray]:
        """The plaintext of these chunks, each checked against its id. Raises DamageError naming the pack concerned.

        Where one pack is damaged, and another holds the same chunk, that one is used; after these, a replica's.
        """
        wanted = dict.fromkeys(chunks)
        try:
            return self._read(wanted, depth=0)
        except (DamageError, WrongKeyError, FailedError) as error:
            if self._fetcher.doubt():  # some of it came from a nearer store
                with suppress(DamageError, WrongKeyError, FailedError):
                    return self._read(wanted, depth=0)
            plain, used = self._anywhere.read(wanted)
            instead = f"{', '.join(sorted(used))} has the same" if used else "another pack holds the same"
            self._progress.note(f"{error.message}; {instead}, and was used")
            return plain

    def stream(
        self,
        wanted: Iterable[Wanted[T]],
        sink: Callable[[Wanted[T], Buffer], None],
        *,
        workers: int,
        batch_bytes: int | None = None,
    ) -> None:
        """Hand every wanted chunk to `sink`, from several threads and in no particular order.

        The bytes are the sink's only while it runs: the thread's next chunk comes in the same memory. At most `workers`
        + 1 batches are in memory. The first error stops everything and is raised.
        """
        if batch_bytes is None:
            batch_bytes = BATCH_BYTES if self._store.capabilities.remote else _LOCAL_BATCH_BYTES
        pool = ThreadPoolExecutor(workers, thread_name_prefix="holdfast-read")
        running: set[Future[None]] = set()
        try:
            for batch in _batches(wanted, batch_bytes):
                running.add(pool.submit(self._deliver, batch, sink))
                if len(running) > workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            for future in running:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def locate(self, chunk: ChunkId) -> Located:
        """Where a chunk lies. Raises DamageError when no pack of this store has it."""
        return self._here.locate(chunk)

    def check_pack(self, pack: PackId, data: bytes) -> dict[ChunkId, HoldfastError]:
        """Decode every chunk of a pack, given its stored bytes. Returns what is wrong, by chunk.

        Raises DamageError when the pack as a whole does not open, or the index does not know it (whoever checks packs
        tells it their footers first). At most a batch of plaintext is in memory.
        """
        table = self._index.table(pack)
        if table is None:
            name = pack_key(pack)
            raise DamageError(f"{name} was not checked: the index does not know what is in it", object_name=name)
        opener = PackOpener(self._keys, pack, data[: preamble_bytes(self._keys.suite)])
        wrong: dict[ChunkId, HoldfastError] = {}
        members = (
            Wanted(chunk, place.raw, Located(pack, len(data), place))
            for chunk, place in places_of(table, self._keys.suite, pack_key(pack), len(data))
        )
        for batch in _batches(members, BATCH_BYTES):
            bases = self._bases_of(batch, wrong)
            for chunk, _, located in batch:
                if chunk in wrong:
                    continue
                place = located.place
                try:
                    stored = memoryview(data)[place.offset : place.offset + place.stored]
                    decode_sealed(self._keys.names, Sealed(chunk, located, opener, stored), bases)
                except DamageError as error:
                    wrong[chunk] = error
        return wrong

    def _bases_of(
        self, batch: Sequence[Wanted[Located]], wrong: dict[ChunkId, HoldfastError]
    ) -> dict[ChunkId, bytes | bytearray]:
        """The bases that a batch of chunks needs; a chunk whose base cannot be had goes to `wrong`."""
        users: dict[ChunkId, list[ChunkId]] = {}
        for chunk, _, located in batch:
            if located.place.base:
                try:
                    self._require_base_length(located)
                except DamageError as error:
                    wrong[chunk] = error
                    continue
                users.setdefault(located.place.base, []).append(chunk)
        try:
            return self.read(users)
        except (DamageError, WrongKeyError, FailedError):
            pass  # one of them is bad: which, is found out one by one
        bases: dict[ChunkId, bytes | bytearray] = {}
        for base, chunks in users.items():
            try:
                bases[base] = self.read([base])[base]
            except (DamageError, WrongKeyError, FailedError) as error:
                wrong |= dict.fromkeys(chunks, error)
        return bases

    def _deliver(self, batch: Sequence[Wanted[T]], sink: Callable[[Wanted[T], Buffer], None]) -> None:
        """Chunk by chunk in this thread's memory; what cannot be had that way, or is not sound, by `read`."""
        wanted: dict[ChunkId, list[Wanted[T]]] = {}
        here: dict[ChunkId, None] = {}
        for one in batch:
            if self._is_here(one):
                here[one.chunk] = None
            wanted.setdefault(one.chunk, []).append(one)
        for chunk, data in self._plain_in_place(here):
            for one in wanted.pop(chunk):
                _hand_over(one, data, sink)
        if wanted:
            plain = self.read(wanted)
            for chunk, ones in wanted.items():
                for one in ones:
                    _hand_over(one, plain[chunk], sink)

    def _is_here(self, one: Wanted[T]) -> bool:
        """Whether a pack of this store has the chunk, as far as the index knows. Raises DamageError where none has, and
        nobody else can be asked.

        Batches are cut by the lengths that manifests give: nothing longer is decoded for them.
        """
        try:
            if self.locate(one.chunk).place.raw == one.length:
                return True
            if all(located.place.raw != one.length for located in self._index.places(one.chunk)):
                raise _other_length(one.chunk, one.length)
        except DamageError:
            if self._elsewhere is None:
                raise
            return False
        return True

    def _plain_in_place(self, chunks: Iterable[ChunkId]) -> Iterator[tuple[ChunkId, memoryview]]:
        """The plaintext of the chunks that can be had straight away, each valid until the next one.

        Left out are chunks whose base is a delta itself, and whatever is damaged: nothing is raised for those.
        """
        located = {chunk: self.locate(chunk) for chunk in chunks}
        bases: dict[ChunkId, Located] = {}
        for found in located.values():
            if found.place.base:
                with suppress(DamageError):
                    bases[found.place.base] = self.locate(found.place.base)
        try:
            sealed_bases = {sealed.chunk: sealed for sealed in self._fetch_all(bases, "sealed bases")}
            for sealed in self._fetch_all(located, "sealed"):
                data = self._open_in_place(sealed, sealed_bases)
                if data is not None:
                    yield sealed.chunk, data
        except (DamageError, WrongKeyError, FailedError):
            return  # `read` finds out what it is, and whether there is a way round it

    def _fetch_all(self, located: dict[ChunkId, Located], purpose: str) -> Iterator[Sealed]:
        by_pack: dict[PackId, list[tuple[ChunkId, Located]]] = {}
        for chunk, found in located.items():
            by_pack.setdefault(found.pack, []).append((chunk, found))
        for number, (pack, members) in enumerate(by_pack.items()):
            yield from self._fetcher.fetch(pack, members, f"{purpose} {number}" if number < _PACKS_IN_PLACE else "")

    def _open_in_place(self, sealed: Sealed, bases: dict[ChunkId, Sealed]) -> memoryview | None:
        place = sealed.located.place
        base = None
        if place.base:
            found = bases.get(place.base)
            if found is None or found.located.place.base or found.located.place.raw != place.raw:
                return None
            base = self._decode_in_place(found, None, "base")
        data = self._decode_in_place(sealed, base, "plain")
        # A base need not be compared with its own id: with any other, this would not come out.
        return data if self._keys.names.chunk_id(data) == sealed.chunk else None

    def _decode_in_place(self, sealed: Sealed, base: memoryview | None, purpose: str) -> memoryview:
        place = sealed.located.place
        out = bytes_scratch(purpose, place.raw).data
        coded = bytes_scratch(f"coded {purpose}", place.stored).data
        payload = sealed.opener.open_blob_into(place.number, sealed.chunk, sealed.data, coded)
        if place.codec == Codec.RAW and len(payload) == place.raw:
            return payload
        decode_into(place.codec, place.element, payload, out, base)
        return out

    def _read(self, chunks: Iterable[ChunkId], depth: int) -> dict[ChunkId, bytes | bytearray]:
        if depth > DEPTH_MAX:
            raise DamageError(f"a chain of deltas is longer than {DEPTH_MAX}")
        by_pack: dict[PackId, list[tuple[ChunkId, Located]]] = {}
        bases: dict[ChunkId, None] = {}
        for chunk in chunks:
            located = self.locate(chunk)
            by_pack.setdefault(located.pack, []).append((chunk, located))
            if located.place.base:
                self._require_base_length(located)
                bases[located.place.base] = None
        base_data = self._read(bases, depth + 1) if bases else {}
        plain: dict[ChunkId, bytes | bytearray] = {}
        for pack, members in by_pack.items():
            for sealed in self._fetcher.fetch(pack, members):
                plain[sealed.chunk] = decode_sealed(self._keys.names, sealed, base_data)
        return plain

    def _require_base_length(self, located: Located) -> None:
        """A base of another length is of no use, and must not cost what it claims to be."""
        base = located.place.base
        if self.locate(base).place.raw == located.place.raw:
            return
        if all(other.place.raw != located.place.raw for other in self._index.places(base)):
            name = pack_key(located.pack)
            raise DamageError(
                f"{name} is damaged: blob {located.place.number} (its base has another length)", object_name=name
            )


def _other_length(chunk: ChunkId, length: int) -> DamageError:
    return DamageError(f"chunk {chunk.hex()[:16]}… does not have the {length} bytes that it should")


def _hand_over(one: Wanted[T], data: Buffer, sink: Callable[[Wanted[T], Buffer], None]) -> None:
    if len(data) != one.length:
        raise _other_length(one.chunk, one.length)
    sink(one, data)


def _batches(wanted: Iterable[Wanted[T]], batch_bytes: int) -> Iterator[list[Wanted[T]]]:
    batch: list[Wanted[T]] = []
    size = 0
    for item in wanted:
        batch.append(item)
        size += item.length
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
