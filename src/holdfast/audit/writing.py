"""Adding to a log: durable, in one order, never forked, whoever dies when, and however many write at once.

A batch goes through these steps; the third is the commit:

1. the batch (entries, and the last entry of each member) is created under a name made of its content;
2. the tree is grown in memory, and its checkpoint signed;
3. the checkpoint is created as the generation after the one that was built on. Of several writers one wins; the others
   have written nothing that anybody will look at, and begin anew on top of the winner;
4. bundles, full tiles, and last the partial tiles are created. They follow from what was committed: all who write them
   write the same bytes. Whoever opens the log for writing and finds them incomplete completes them from the batch;
5. `audit/checkpoint`, which C2SP clients read, is replaced by the newest generation;
6. what nobody needs any more goes: older batches, partial tiles of tiles that are full now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.audit.batches import BATCH_BYTES_MAX, Batch, batch_key, batch_prefix, encode_batch
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.groups import Head
from holdfast.audit.heads import find_batch, heads_from_entries
from holdfast.audit.key_changes import Named, named_keys
from holdfast.audit.layout import BATCHES, CHECKPOINT, CHECKPOINTS, ROOT, create_same, generation_key
from holdfast.audit.log_keys import current_keys, keys_of_batch
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import Note, NoteSignature
from holdfast.audit.reading import LogReader, Signed
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.tiles import ENTRY_BYTES_MAX, TILE_WIDTH, Frontier, Tile, bundle_path, encode_bundle, tile_path
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    HoldfastError,
    ObjectNotFoundError,
    RefusedError,
    UntrustedError,
    UsageError,
)
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store

__all__ = ["Appended", "LogWriter"]

_ATTEMPTS = 20


class Appended(NamedTuple):
    """`first`: number of the first new entry. `signed`: the checkpoint that has them."""

    first: int
    entries: int
    signed: Signed


@dataclass
class _State:
    generation: int
    checkpoint: Checkpoint
    frontier: Frontier
    heads: Mapping[str, Head]
    tail: list[bytes]  # entries of the last, partial bundle
    last: bytes  # the last entry, or nothing

    def named(self) -> Named | None:
        """The keys that the log has handed over to, if that is the last thing it did."""
        return named_keys(self.last) if self.last else None


class LogWriter:
    """One log on one store, and its key. What it knows of the log is kept between calls. Not for several threads."""

    def __init__(
        self, store: Store, key: NoteKey, *, clock: Clock = SYSTEM_CLOCK, progress: Progress = SILENT, reader: LogReader
    ) -> None:
        """`reader`: of the same log. Raises CredentialError when the key is not the one that signs for the log now."""
        if not set(key.keys) <= set(current_keys(reader.keys)) or key.use != "log":
            raise CredentialError(f"the key of {key.name} is not the key of the log {reader.origin}")
        self._store = store
        self._key = key
        self._clock = clock
        self._progress = progress
        self.reader = reader
        self._state: _State | None = None

    def heads(self) -> Mapping[str, Head]:
        """The last entry of each member that is in the log. May read the whole log, where no batch is left."""
        return self._load().heads

    def refresh(self) -> None:
        """Somebody else may have written since: the log is looked at anew."""
        self._state = None

    def append(
        self, choose: Callable[[Mapping[str, Head]], tuple[Sequence[bytes], Mapping[str, Head]]] | Sequence[bytes]
    ) -> Appended | None:
        """Add entries: these, or what `choose` makes of the members' last entries (called anew after a lost race).

        `choose` gives the entries and the heads that changed. Returns None when there is nothing to add. Raises
        UsageError (an entry or all of them too large), RefusedError (the log has handed over to another key),
        ConflictError, DamageError (the log is not whole), and what the store raises; then the entries may be in the
        log, or be put there by who writes next.
        """
        for _ in range(_ATTEMPTS):
            state = self._load()
            entries, changed = choose(state.heads) if callable(choose) else (choose, {})
            if not entries:
                return None
            _check_sizes(entries)
            self._check_not_handed_over(state)
            done = self._try(state, entries, {**state.heads, **changed}, self._key.sign)
            if done is not None:
                return done
            self._state = None
        raise ConflictError(f"others kept writing to the audit log in {self._store.url}", hint="try again")

    def hand_over(self, key: NoteKey, entry: bytes, *, anew: bool = False) -> Signed:
        """Add the entry that names `key` as the next one, and sign the checkpoint with both; where that was done
        already, and nothing since, nothing is added. Nothing more can be appended until a keeper has declared the new
        key. `anew`: even if it was handed over to another key, which nobody has declared. Raises what `append` raises,
        UsageError for an entry that does not name that key.
        """
        if named_keys(entry) != Named.of(key.keys):
            raise UsageError("the entry that hands a log over names the new key")

        def sign(checkpoint: Checkpoint, time: int) -> list[NoteSignature]:
            return [*self._key.sign(checkpoint, time), *key.sign(checkpoint, time)]

        for _ in range(_ATTEMPTS):
            state = self._load()
            if state.named() == Named.of(key.keys):
                return self.reader.signed_at(state.generation)
            if not anew:
                self._check_not_handed_over(state)
            done = self._try(state, [entry], state.heads, sign)
            if done is not None:
                return done.signed
            self._state = None
        raise ConflictError(f"others kept writing to the audit log in {self._store.url}", hint="try again")

    def _check_not_handed_over(self, state: _State) -> None:
        declared = keys_of_batch(self.reader.keys, state.generation) == current_keys(self.reader.keys)
        if declared and state.named() not in (None, Named.of(self._key.keys)):
            raise RefusedError(
                "the log has handed over to a new key, which is not declared yet",
                hint="whoever changes the key has to finish it: `holdfast audit rotate-key`",
                object_name=CHECKPOINTS,
            )

    def publish(self) -> Signed | None:
        """Write `audit/checkpoint`: the newest generation, with the cosignatures that there are. None: no log yet."""
        for _ in range(_ATTEMPTS):
            newest = self.reader.newest()
            if newest is None:
                return None
            note = newest.note.with_signatures(self.reader.cosignatures(newest.generation))
            self._store.put(CHECKPOINT, note.encode())
            again = self.reader.newest()
            if again is not None and again.generation == newest.generation:
                return newest
        raise ConflictError(f"others kept writing to the audit log in {self._store.url}", hint="try again")

    def _try(
        self,
        state: _State,
        entries: Sequence[bytes],
        heads: Mapping[str, Head],
        sign: Callable[[Checkpoint, int], list[NoteSignature]],
    ) -> Appended | None:
        frontier = state.frontier.copy()
        full = list(frontier.grow(map(hash_leaf, entries)))
        checkpoint = Checkpoint(self._key.name, frontier.size, frontier.root())
        signatures = sign(checkpoint, self._clock.now_ns() // NANOSECONDS)
        note = Note(checkpoint.text, tuple(signatures))
        for generation in range(state.generation + 1, state.generation + 1 + _ATTEMPTS):
            batch = encode_batch(Batch(generation, state.frontier.size, checkpoint.root, heads, entries), self._key)
            self._store.put(batch_key(generation, batch), batch)
            if create_same(self._store, generation_key(CHECKPOINTS, generation), note.encode()):
                break
            if self._goes_on(generation, state.checkpoint.size):
                return None
            self._progress.note(f"{generation_key(CHECKPOINTS, generation)} is not of this log, and is passed over")
        else:
            raise ConflictError(f"{_ATTEMPTS} generations of {CHECKPOINTS} are taken by what is not of the log")
        before = state.checkpoint.size
        self._write_tiles(before, state.tail, entries, full, list(frontier.partial()))
        tail = [*state.tail, *entries][-(checkpoint.size % TILE_WIDTH) :] if checkpoint.size % TILE_WIDTH else []
        self._state = _State(generation, checkpoint, frontier, heads, tail, entries[-1])
        self.publish()
        self._tidy(generation, [tile for tile, _ in full])
        return Appended(before, len(entries), Signed(generation, note, checkpoint))

    def _goes_on(self, generation: int, size: int) -> bool:
        """Whether the log was continued there; a copy of an old checkpoint does not do that."""
        try:
            return self.reader.signed_at(generation).checkpoint.size > size
        except (DamageError, UntrustedError):
            return False

    def _write_tiles(
        self,
        before: int,
        tail: Sequence[bytes],
        entries: Sequence[bytes],
        full: Iterable[tuple[Tile, bytes]],
        partial: Iterable[tuple[Tile, bytes]],
    ) -> None:
        """`tail`: the entries of the bundle that was partial before. The highest partial tile comes last of all."""
        together, first = [*tail, *entries], before // TILE_WIDTH
        for at in range(0, len(together), TILE_WIDTH):
            part = together[at : at + TILE_WIDTH]
            self._create(bundle_path(first + at // TILE_WIDTH, len(part)), encode_bundle(part))
        for tile, data in (*full, *partial):
            self._create(tile_path(tile), data)

    def _create(self, path: str, data: bytes) -> None:
        if create_same(self._store, ROOT + path, data):
            return
        # What was signed and committed says what belongs there, so this is not the log's.
        raise DamageError(
            f"{ROOT}{path} is there, and is not what the log has committed",
            hint="somebody else wrote it: look into it, move it away, and append again",
            object_name=ROOT + path,
        )

    def _load(self) -> _State:
        if self._state is None:
            self._state = self._read_state()
        return self._state

    def _read_state(self) -> _State:
        newest = self.reader.newest()
        if newest is None:
            return _State(0, Checkpoint(self._key.name, 0, Frontier().root()), Frontier(), {}, [], b"")
        generation, checkpoint = newest.generation, newest.checkpoint
        batch = find_batch(self.reader, newest)
        if batch is None:  # lost, or this is a copy of an old checkpoint under a later generation
            newest = self.reader.largest() or newest
            batch = find_batch(self.reader, newest)
            generation, checkpoint = newest.generation, newest.checkpoint
        try:
            frontier = self.reader.frontier(checkpoint.size)
        except (ObjectNotFoundError, DamageError):
            frontier = None
        if frontier is None or frontier.root() != checkpoint.root:
            frontier = self._complete(newest, batch)
        heads = batch.heads if batch is not None else heads_from_entries(self.reader, checkpoint)
        tail = self._tail(checkpoint)
        last = tail[-1:] or [entry for _, entry in self.reader.entries(max(0, checkpoint.size - 1), checkpoint)]
        return _State(generation, checkpoint, frontier, heads, tail, last[-1] if last else b"")

    def _complete(self, newest: Signed, batch: Batch | None) -> Frontier:
        """Write the tiles of a checkpoint that was committed by who did not live to write them."""
        checkpoint = newest.checkpoint
        if batch is None:
            raise DamageError(
                f"tiles of the audit log of {checkpoint.size} entries are damaged or gone, and so is its last batch",
                hint="`holdfast audit verify` says what is missing; copy it from another site",
                object_name=ROOT,
            )
        base = Checkpoint(checkpoint.origin, batch.start, b"")
        frontier = self.reader.frontier(batch.start)
        full = list(frontier.grow(map(hash_leaf, batch.entries)))
        if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
            raise DamageError(
                f"the tiles below the first {batch.start} entries are not those that were signed", object_name=ROOT
            )
        tail = self._tail(base)
        self._write_tiles(batch.start, tail, batch.entries, full, list(frontier.partial()))
        self.publish()
        self._progress.note(
            f"completed the audit log up to entry {checkpoint.size}, which a writer had left unfinished"
        )
        return frontier

    def _tail(self, at: Checkpoint) -> list[bytes]:
        """The entries of the last bundle, if it is partial. They are written once more: they have to be the log's."""
        start = at.size - at.size % TILE_WIDTH
        if at.size == start:
            return []
        tail = [entry for _, entry in self.reader.entries(start, at)]
        if [hash_leaf(entry) for entry in tail] != self.reader.tile(0, start // TILE_WIDTH, at.size)[: len(tail)]:
            raise DamageError(f"entries from {start} on are not what was signed", hint="see `holdfast audit verify`")
        return tail

    def _tidy(self, generation: int, full: Sequence[Tile]) -> None:
        """Never fails what was done: where nothing can be deleted (object lock), everything stays."""
        try:
            for info in list(self._store.list(BATCHES)):
                if info.key < batch_prefix(generation):
                    self._store.delete(info.key)
            for tile in full:
                paths = [tile_path(tile)] if tile.level else [tile_path(tile), bundle_path(tile.number, TILE_WIDTH)]
                for path in paths:
                    for info in list(self._store.list(f"{ROOT}{path}.p/")):
                        self._store.delete(info.key)
        except HoldfastError as error:
            self._progress.note(f"what the audit log needs no more stays in {self._store.url}: {error.message}")


def _check_sizes(entries: Sequence[bytes]) -> None:
    if any(not 0 < len(entry) <= ENTRY_BYTES_MAX for entry in entries):
        raise UsageError(f"an entry of a log has 1 to {ENTRY_BYTES_MAX} bytes")
    if sum(map(len, entries)) + 2 * len(entries) > BATCH_BYTES_MAX:
        raise UsageError(f"a batch for the audit log has at most {BATCH_BYTES_MAX >> 20} MiB")
