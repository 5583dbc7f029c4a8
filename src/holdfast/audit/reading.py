"""Reading a log: checkpoints, tiles, entries and proofs, each checked against what the log's keys have signed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from holdfast.audit.checkpoint_text import Checkpoint, parse_checkpoint_text
from holdfast.audit.layout import CHECKPOINTS, COSIGNATURES, ROOT, generation_in, generation_key
from holdfast.audit.log_keys import LogKeys, keys_of_checkpoint
from holdfast.audit.merkle import (
    Node,
    consistency_proof,
    hash_leaf,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from holdfast.audit.notes import NOTE_BYTES_MAX, SIGNATURES_MAX, Note, NoteSignature, open_note, parse_lines, parse_note
from holdfast.audit.tiles import TILE_WIDTH, Frontier, Tile, bundle_path, decode_bundle, parse_tile, tile_path
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.errors import DamageError, NotFoundError, ObjectNotFoundError, UntrustedError
from holdfast.stores.protocol import Store

__all__ = ["Signed", "LogReader", "open_checkpoint"]

_TILES_KEPT = 256
_FOLLOWED_MAX = 64
_OWN_MAX = 8  # signatures of the log itself below a checkpoint
_TILES_PER_LEVEL = 8  # levels of the tree that a tile stands for


class Signed(NamedTuple):
    """A checkpoint that the log has signed: its generation on the store, the note, and what it says."""

    generation: int
    note: Note
    checkpoint: Checkpoint


def open_checkpoint(
    data: bytes, origin: str, keys: Sequence[VerifierKey], name: str, *, generation: int | None = None
) -> tuple[Note, Checkpoint]:
    """A note that says something of this log, signed by the log in every way that it signs (Ed25519 *and* ML-DSA-44).

    `keys`: where they are `LogKeys`, by those that count for a checkpoint of that size, and of that generation if it
    was read from the series.

    Raises DamageError (no checkpoint), UntrustedError (of another log, or not signed by this one).
    """
    note = parse_note(data, name)
    checkpoint = parse_checkpoint_text(note.text, name)
    if checkpoint.origin != origin:
        raise UntrustedError(f"{name} is of the log {checkpoint.origin!r}, not of {origin!r}", object_name=name)
    keys = keys_of_checkpoint(keys, checkpoint, generation, name)
    signed = open_note(note, keys, name).signed
    kinds = {key.kind for key in keys}
    if {key.kind for key in signed} != kinds:
        raise UntrustedError(f"{name} is not signed in each way that the log signs", object_name=name)
    return note, checkpoint


def _verifies(key: VerifierKey, text: str, one: NoteSignature) -> bool:
    try:
        key.verify(text, one.signature, "a cosignature")
    except UntrustedError:
        return False
    return True


class LogReader:
    """One log on one store. Tiles that were read are kept: they never change. Not to be shared by threads."""

    def __init__(
        self, store: Store, origin: str, keys: Sequence[VerifierKey], *, witnesses: Sequence[VerifierKey] = ()
    ) -> None:
        """`keys`: all that may have signed a checkpoint of the log; with their times, where they are `LogKeys`.

        `witnesses`: keys of those that are known.
        """
        self.store = store
        self.origin = origin
        self.keys: Sequence[VerifierKey] = keys if isinstance(keys, LogKeys) else list(keys)
        self.witnesses = list(witnesses)
        self.hint = 0  # a generation that was seen before: older ones are not listed
        self._checked: set[tuple[int, int, bytes, bytes]] = set()
        self._tiles: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    def newest(self) -> Signed | None:
        """The highest generation that the log has signed; None for a log without any."""
        after = generation_key(CHECKPOINTS, self.hint - 1) if self.hint > 1 else ""
        keys = [
            info.key
            for info in self.store.list(CHECKPOINTS, after)
            if generation_in(info.key, CHECKPOINTS) and info.size <= NOTE_BYTES_MAX
        ]
        for key in reversed(keys):
            try:
                found = self.signed_at(generation_in(key, CHECKPOINTS))
            except (DamageError, UntrustedError, ObjectNotFoundError):
                continue  # somebody else's: `verify` tells of it
            self.hint = found.generation
            return found
        if not self.hint:
            return None
        self.hint = 0  # the store was put back: all are looked at
        return self.newest()

    def followed(self, newest: Signed) -> Signed:
        """The last of those that follow it at once, looked for by their names: a listing may lag behind."""
        for _ in range(_FOLLOWED_MAX):
            try:
                newest = self.signed_at(newest.generation + 1)
            except (DamageError, UntrustedError, ObjectNotFoundError):
                break
        return newest

    def largest(self) -> Signed | None:
        """The first generation of those with the most entries; None for a log without any. Reads all of them.

        Sizes rise with the generations that the log writes. Somebody else, who may only add to the store, can put a
        copy of an old checkpoint under a later generation: it is signed, and is no commit.
        """
        found: Signed | None = None
        for info in self.store.list(CHECKPOINTS):
            generation = generation_in(info.key, CHECKPOINTS)
            try:
                one = self.signed_at(generation) if generation and info.size <= NOTE_BYTES_MAX else None
            except (DamageError, UntrustedError, ObjectNotFoundError):
                continue
            if one is not None and (found is None or one.checkpoint.size > found.checkpoint.size):
                found = one
        return found

    def get_newest(self) -> Signed:
        """Raises NotFoundError where there is no checkpoint yet."""
        newest = self.newest()
        if newest is None:
            raise NotFoundError(
                f"the audit log in {self.store.url} has no checkpoint yet", hint="write one: `holdfast audit append`"
            )
        return newest

    def signed_at(self, generation: int) -> Signed:
        """Raises ObjectNotFoundError, DamageError, UntrustedError."""
        key = generation_key(CHECKPOINTS, generation)
        note, checkpoint = open_checkpoint(self.store.get(key), self.origin, self.keys, key, generation=generation)
        return Signed(generation, note, checkpoint)

    def cosignatures(self, generation: int, witnesses: Sequence[VerifierKey] = ()) -> list[NoteSignature]:
        """What lies there as cosignatures of a checkpoint: nobody's word until it is opened as part of the note.

        Those of witnesses that are known come first, one of each key, and one that verifies if there is any: whoever
        may write to the store could else bury them below others.
        """
        keys = [*self.witnesses, *witnesses]
        known = {(key.name, key.key_id): key for key in keys}
        text = self.signed_at(generation).note.text if known else ""
        good: dict[tuple[str, bytes], NoteSignature] = {}
        wrong: dict[tuple[str, bytes], NoteSignature] = {}
        others: list[NoteSignature] = []
        for one in self._lines_below(generation):
            place = (one.name, one.key_id)
            if place not in known:
                others += [one] if len(others) < SIGNATURES_MAX else []
            elif place not in good:
                kept = good if _verifies(known[place], text, one) else wrong
                kept.setdefault(place, one)
        lines = [*good.values(), *(one for place, one in wrong.items() if place not in good), *others]
        return lines[: SIGNATURES_MAX - _OWN_MAX]  # the log's own are in the same note

    def _lines_below(self, generation: int) -> Iterator[NoteSignature]:
        for info in self.store.list(f"{generation_key(COSIGNATURES, generation)}/"):
            if info.size <= NOTE_BYTES_MAX:
                with suppress(DamageError, UnicodeDecodeError, ObjectNotFoundError):
                    yield from parse_lines(self.store.get(info.key).decode(), info.key)

    def tile(self, level: int, index: int, size: int) -> list[bytes]:
        """The hashes of a tile in a tree of `size` leaves. Raises ObjectNotFoundError, DamageError."""
        width = min(TILE_WIDTH, (size >> _TILES_PER_LEVEL * level) - index * TILE_WIDTH)
        kept = self._tiles.get((level, index))
        if kept is not None and len(kept) >= width:
            self._tiles.move_to_end((level, index))
            return kept
        hashes = self._read_tile(Tile(level, index, width))
        self._tiles[level, index] = hashes
        while len(self._tiles) > _TILES_KEPT:
            self._tiles.popitem(last=False)
        return hashes

    def _read_tile(self, tile: Tile) -> list[bytes]:
        path = ROOT + tile_path(tile)
        try:
            return parse_tile(self.store.get(path), tile.width, path)
        except ObjectNotFoundError:
            if tile.width == TILE_WIDTH:
                raise
        full = ROOT + tile_path(tile._replace(width=TILE_WIDTH))  # partial ones go when the full one is there
        return parse_tile(self.store.get(full), TILE_WIDTH, full)[: tile.width]

    def bundle(self, index: int, size: int) -> list[bytes]:
        """The entries of a bundle in a log of `size` entries. Raises ObjectNotFoundError, DamageError."""
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        path = ROOT + bundle_path(index, width)
        try:
            return decode_bundle(self.store.get(path), width, path)
        except ObjectNotFoundError:
            if width == TILE_WIDTH:
                raise
        full = ROOT + bundle_path(index, TILE_WIDTH)
        return decode_bundle(self.store.get(full), TILE_WIDTH, full)[:width]

    def node(self, size: int) -> Node:
        """How `holdfast.audit.merkle` gets at the tree of `size` leaves."""

        def node(level: int, index: int) -> bytes:
            tiles, within = divmod(level, _TILES_PER_LEVEL)
            first = index << within
            hashes = self.tile(tiles, first // TILE_WIDTH, size)
            at = first % TILE_WIDTH
            part = hashes[at : at + (1 << within)]
            if len(part) != 1 << within:
                raise DamageError(f"tile {first // TILE_WIDTH} of level {tiles} is too short")
            return root_of(part)

        return node

    def frontier(self, size: int) -> Frontier:
        """The right edge of the tree of `size` leaves, as the tiles say. Raises ObjectNotFoundError, DamageError."""
        levels = []
        level = 0
        while size >> _TILES_PER_LEVEL * level:
            index, width = divmod(size >> _TILES_PER_LEVEL * level, TILE_WIDTH)
            levels.append(self.tile(level, index, size)[:width] if width else [])
            level += 1
        return Frontier(size, levels)

    def entries(self, start: int, checkpoint: Checkpoint) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of entries from `start` on, not checked against the tree."""
        for index in range(start // TILE_WIDTH, -(-checkpoint.size // TILE_WIDTH)):
            for at, entry in enumerate(self.bundle(index, checkpoint.size), index * TILE_WIDTH):
                if at >= start:
                    yield at, entry

    def checked_tile(self, level: int, number: int, checkpoint: Checkpoint) -> list[bytes]:
        """The hashes of a tile, compared with the tiles above it, and those with the root. Raises DamageError, …"""
        size = checkpoint.size
        width = min(TILE_WIDTH, (size >> _TILES_PER_LEVEL * level) - number * TILE_WIDTH)
        hashes = self.tile(level, number, size)[:width]
        # With what it says: a tile that was read anew may be another one than that which was compared.
        place = (level, number, checkpoint.root, root_of(hashes))
        if place not in self._checked:
            if width == TILE_WIDTH:
                above = self.checked_tile(level + 1, number // TILE_WIDTH, checkpoint)
                sound = place[-1] == above[number % TILE_WIDTH]
            else:
                sound = self.frontier(size).root() == checkpoint.root
            if not sound:
                raise DamageError(
                    f"tile {number} of level {level} of the audit log is not what was signed",
                    hint="see `holdfast audit verify`",
                    object_name=ROOT + tile_path(Tile(level, number, width)),
                )
            self._checked.add(place)
        return hashes

    def checked_entries(self, checkpoint: Checkpoint) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of all entries; none that was not signed. Raises DamageError, ObjectNotFoundError."""
        for first in range(0, checkpoint.size, TILE_WIDTH):
            hashes = self.checked_tile(0, first // TILE_WIDTH, checkpoint)
            bundle = self.bundle(first // TILE_WIDTH, checkpoint.size)
            if [hash_leaf(entry) for entry in bundle] != hashes:
                raise DamageError(
                    f"entries from {first} on are not what was signed", hint="see `holdfast audit verify`"
                )
            yield from enumerate(bundle, first)

    def proven_entry(self, index: int, checkpoint: Checkpoint) -> tuple[bytes, list[bytes]]:
        """An entry and the proof that it is in the log at that place. Raises UsageError, DamageError, NotFoundError."""
        proof = inclusion_proof(index, checkpoint.size, self.node(checkpoint.size))
        entry = self.bundle(index // TILE_WIDTH, checkpoint.size)[index % TILE_WIDTH]
        verify_inclusion(hash_leaf(entry), index, checkpoint.size, proof, checkpoint.root)
        return entry, proof

    def consistency(self, old: int, checkpoint: Checkpoint) -> list[bytes]:
        """The proof that the log still begins as it was with `old` entries; not checked."""
        return consistency_proof(old, checkpoint.size, self.node(checkpoint.size))

    def check_extends(self, old: Checkpoint, new: Checkpoint) -> None:
        """Raises DamageError where `new` is no continuation of `old`."""
        verify_consistency(old.size, new.size, old.root, new.root, self.consistency(old.size, new))
