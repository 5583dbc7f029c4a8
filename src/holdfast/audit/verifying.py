"""Looking at a whole log: is it what was signed, is it what was there before, has anybody's entry gone?

Everything is read: each entry is hashed and compared with its tile, the tree is grown anew and compared with every
checkpoint that was ever signed, with the tiles above, with what this machine remembers, and with what witnesses saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from holdfast.audit.chains import Chains
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.layout import CHECKPOINTS, ROOT, generation_in
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import NOTE_BYTES_MAX
from holdfast.audit.reading import LogReader, Signed
from holdfast.audit.spool import Member
from holdfast.audit.tiles import TILE_WIDTH, Frontier, Tile, bundle_path, decode_bundle, tile_path
from holdfast.audit.tlog_proofs import witness_names
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.errors import DamageError, ObjectNotFoundError, UntrustedError
from holdfast.events import SILENT, Progress

__all__ = ["Finding", "Verified", "verify_log"]

FORK, ROLLBACK, TRUNCATION = "fork", "rollback", "truncation"
REORDERING, DELETION, ALTERATION = "reordering", "deletion", "alteration"
STRAY, UNWITNESSED = "stray", "unwitnessed"
_TOLD_MAX = 20


class Finding(NamedTuple):
    """`kind`: fork, rollback, truncation, reordering, deletion, alteration, stray, unwitnessed, gap, duplicate,
    untrusted, malformed. `object`: what it is about.
    """

    kind: str
    object: str
    message: str


@dataclass
class Verified:
    """`newest` is None for a log without a checkpoint. `witnessed`: the largest size that the quorum has cosigned,
    `witnesses` who cosigned the newest. `members`: entries by fingerprint ("" for the log's own).
    """

    newest: Signed | None
    checkpoints: int = 0
    entries: int = 0
    members: Counter[str] = field(default_factory=Counter)
    remembered: Checkpoint | None = None
    witnesses: set[str] = field(default_factory=set)
    witnessed: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the log is what it should be; witnesses that are missing, and strays, do not speak against it."""
        return all(one.kind in (UNWITNESSED, STRAY) for one in self.findings)


def verify_log(
    reader: LogReader,
    members: Mapping[str, Member],
    *,
    remembered: Checkpoint | None = None,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    progress: Progress = SILENT,
) -> Verified:
    """Look at everything. What is wrong is in the report; raises what the store raises besides missing objects.

    `remembered`: a checkpoint that was verified before. `members`: whose signatures count, by fingerprint.
    """
    return _Verifying(reader, members, remembered, witnesses, quorum, progress).run()


class _Verifying:
    def __init__(
        self,
        reader: LogReader,
        members: Mapping[str, Member],
        remembered: Checkpoint | None,
        witnesses: Sequence[VerifierKey],
        quorum: int,
        progress: Progress,
    ) -> None:
        self._reader = reader
        self._chains = Chains(reader.origin, members)
        self._remembered = remembered
        self._witnesses = witnesses
        self._quorum = quorum
        self._progress = progress
        self._report = Verified(None, remembered=remembered)
        self._roots: dict[int, list[tuple[str, bytes]]] = {}  # size → who claims which root
        self._wrong: list[tuple[int, str]] = []  # size and who claimed another root than that of the tree here

    def run(self) -> Verified:
        report = self._report
        signed = self._signed_checkpoints()
        report.checkpoints = len(signed)
        if signed:
            report.newest = max(signed, key=lambda one: (one.checkpoint.size, one.generation))
        self._compare_sizes(signed)
        for one in signed:
            self._claim(one.checkpoint, f"{CHECKPOINTS}{one.generation:010d}")
        if self._remembered is not None:
            self._claim(self._remembered, "what this machine saw before")
        if report.newest is not None:
            self._walk(report.newest.checkpoint)
            self._witness(signed, report.newest)
        for kind, place, message in self._chains.findings():
            self._find(kind, place, message)
        report.members = self._chains.counted
        return report

    def _find(self, kind: str, place: str, message: str) -> None:
        self._report.findings.append(Finding(kind, place, message))

    def _signed_checkpoints(self) -> list[Signed]:
        """All generations that the log has signed, lowest first; the others are told."""
        found = []
        for info in self._reader.store.list(CHECKPOINTS):
            generation = generation_in(info.key, CHECKPOINTS)
            try:
                if not generation or info.size > NOTE_BYTES_MAX:
                    raise DamageError(f"{info.key} is not a checkpoint, by its name or its size")
                found.append(self._reader.signed_at(generation))
            except (DamageError, UntrustedError, ObjectNotFoundError) as error:
                self._find(STRAY, info.key, error.message)
        return found

    def _compare_sizes(self, signed: Sequence[Signed]) -> None:
        for before, after in pairwise(signed):
            if after.checkpoint.size < before.checkpoint.size:
                sizes = f"{before.checkpoint.size} to {after.checkpoint.size} entries"
                self._find(ROLLBACK, f"{CHECKPOINTS}{after.generation:010d}", f"the log itself went back from {sizes}")
        newest, seen = self._report.newest, self._remembered
        size = newest.checkpoint.size if newest is not None else 0
        if seen is not None and seen.size > size:
            message = f"this machine saw {seen.size} entries before, and now there are {size}"
            self._find(ROLLBACK, CHECKPOINTS, message)

    def _claim(self, checkpoint: Checkpoint, who: str) -> None:
        self._roots.setdefault(checkpoint.size, []).append((who, checkpoint.root))

    def _walk(self, newest: Checkpoint) -> None:
        """Grow the tree from the entries, bundle by bundle."""
        frontier = Frontier()
        self._compare_roots(frontier)
        self._progress.phase("reading the audit log", None)
        for number in range(-(-newest.size // TILE_WIDTH)):
            leaves = self._leaves(number, newest.size)
            if leaves is None:  # nothing that comes after this can be compared
                self._judge(newest, None)
                return
            for at, leaf in enumerate(leaves, number * TILE_WIDTH + 1):
                for tile, data in frontier.grow([leaf]):
                    if tile.level:
                        self._compare_tile(tile, data)
                if at in self._roots:
                    self._compare_roots(frontier)
        for tile, data in frontier.partial():
            if tile.level:
                self._compare_tile(tile, data)
        self._judge(newest, frontier.root())

    def _leaves(self, number: int, size: int) -> list[bytes] | None:
        """Leaf hashes of one bundle: of its entries where they are what the tile says, else those of the tile."""
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        path = ROOT + bundle_path(number, width)
        entries, hashes = self._entries(number, width, size, path), self._hashes(number, size)
        if entries is None:
            return None if hashes is None else hashes[:width]
        leaves = [hash_leaf(entry) for entry in entries]
        if hashes is not None and leaves != hashes[:width]:
            self._tell_difference(path, leaves, hashes[:width])
            leaves = hashes[:width]
        for at, (entry, leaf) in enumerate(zip(entries, leaves, strict=False), number * TILE_WIDTH):
            self._report.entries += 1
            if leaf == hash_leaf(entry):
                self._chains.take(at, entry)
        return leaves if len(leaves) == width else None

    def _entries(self, number: int, width: int, size: int, path: str) -> list[bytes] | None:
        try:
            data = self._bundle_bytes(number, width)
        except ObjectNotFoundError:
            self._find(TRUNCATION, path, f"entries from {number * TILE_WIDTH} on are gone; the log has {size}")
            return None
        try:
            return decode_bundle(data, None, path)[:width] if width < TILE_WIDTH else decode_bundle(data, None, path)
        except DamageError as error:
            self._find(ALTERATION, path, error.message)
            return None

    def _bundle_bytes(self, number: int, width: int) -> bytes:
        store = self._reader.store
        try:
            return store.get(ROOT + bundle_path(number, width))
        except ObjectNotFoundError:
            if width == TILE_WIDTH:
                raise
        return store.get(ROOT + bundle_path(number, TILE_WIDTH))

    def _hashes(self, number: int, size: int) -> list[bytes] | None:
        path = ROOT + tile_path(Tile(0, number, min(TILE_WIDTH, size - number * TILE_WIDTH)))
        try:
            return self._reader.tile(0, number, size)
        except ObjectNotFoundError:
            self._find(TRUNCATION, path, "a tile of the log is gone")
        except DamageError as error:
            self._find(ALTERATION, path, error.message)
        return None

    def _tell_difference(self, path: str, leaves: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        missing, added = Counter(hashes) - Counter(leaves), Counter(leaves) - Counter(hashes)
        if not missing and not added:
            self._find(REORDERING, path, "the entries are not in the order in which they were signed")
        elif not added:
            self._find(DELETION, path, f"{missing.total()} entries that were signed are gone")
        else:
            self._find(ALTERATION, path, f"{missing.total()} entries are not those that were signed")

    def _compare_tile(self, tile: Tile, data: bytes) -> None:
        path = ROOT + tile_path(tile)
        try:
            found = self._reader.tile(tile.level, tile.number, self._size_of(tile))
        except ObjectNotFoundError:
            self._find(TRUNCATION, path, "a tile of the log is gone")
            return
        except DamageError as error:
            self._find(ALTERATION, path, error.message)
            return
        if b"".join(found[: tile.width]) != data:
            self._find(ALTERATION, path, "this tile is not what the tiles below it make")

    def _size_of(self, tile: Tile) -> int:
        return (tile.number * TILE_WIDTH + tile.width) << 8 * tile.level

    def _compare_roots(self, frontier: Frontier) -> None:
        """At this size: does everybody who said something of the log mean the log that is here?"""
        claims = self._roots.get(frontier.size, ())
        if claims:
            root = frontier.root()
            self._wrong += [(frontier.size, who) for who, claimed in claims if claimed != root]

    def _judge(self, newest: Checkpoint, root: bytes | None) -> None:
        """Where the tree is what the log signed last, whatever else was signed or seen was of another history."""
        for size, who in self._wrong[:_TOLD_MAX]:
            signed = {claimed for by, claimed in self._roots[size] if by.startswith(CHECKPOINTS)}
            if root == newest.root or len(signed) > 1:
                self._find(FORK, who, f"this log is another one than that which was signed at {size} entries")
            elif who.startswith(CHECKPOINTS):
                self._find(ALTERATION, who, f"the tiles are not what was signed at {size} entries")
        if len(self._wrong) > _TOLD_MAX:
            self._find(ALTERATION, CHECKPOINTS, f"so are {len(self._wrong) - _TOLD_MAX} further checkpoints")

    def _witness(self, signed: Sequence[Signed], newest: Signed) -> None:
        report = self._report
        for one in sorted(signed, key=lambda one: one.generation, reverse=True):
            names = self._witnesses_of(one)
            if one.generation == newest.generation:
                report.witnesses = names
            if len(names) >= max(1, self._quorum):
                report.witnessed = one.checkpoint.size
                break
        if len(report.witnesses) < self._quorum:
            message = f"{len(report.witnesses)} of {self._quorum} witnesses have cosigned the newest checkpoint"
            self._find(UNWITNESSED, f"{CHECKPOINTS}{newest.generation:010d}", message)

    def _witnesses_of(self, one: Signed) -> set[str]:
        if not self._witnesses:
            return set()
        note = one.note.with_signatures(self._reader.cosignatures(one.generation, self._witnesses))
        try:
            return witness_names(note, self._witnesses, f"{CHECKPOINTS}{one.generation:010d}")
        except UntrustedError as error:
            self._find("untrusted", f"{CHECKPOINTS}{one.generation:010d}", error.message)
            return set()
