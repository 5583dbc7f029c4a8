"""Where the bytes of a snapshot went: by mechanism, component, dtype, file and tensor, and what restoring it reads.

Every table takes the same bytes apart, so each adds up to the same total. A chunk that occurs twice counts at its
first occurrence; again it is `repeated`, and takes nothing. What a chunk takes is divided among the tensors in it by
their bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, TypeVar

from holdfast.ids import ChunkId, PackId
from holdfast.vault.codecs import Codec
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.index import Located
from holdfast.vault.saving.anchors import Ages, summarise
from holdfast.vault.saving.memory import memory_path, recall
from holdfast.vault.snapshots.finding import read_parts
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.origins import chunk_ids, new_chunks
from holdfast.vault.snapshots.thinning import dropped_components

__all__ = ["Cost", "RestoreCost", "Disagreement", "Accounts", "account_for", "HOLE", "REPEATED", "MISSING", "NO_TENSOR"]

HOLE = "hole"
REPEATED = "repeated"
MISSING = "missing"  # in no pack that the index knows
NO_TENSOR = "no tensor"

_CHAIN_MAX = 8  # of deltas to deltas, as readers follow it

Name = TypeVar("Name", str, bytes, tuple[bytes, str])


class Cost(NamedTuple):
    """Bytes of the source and what they take on the store (tags included), and how much of that this snapshot added.

    `chunks`: those that hold some of it. A hole is no chunk.
    """

    chunks: int = 0
    bytes: int = 0
    stored: int = 0
    new_bytes: int = 0
    new_stored: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(*(one + more for one, more in zip(self, other, strict=True)))


class RestoreCost(NamedTuple):
    """What restoring the whole snapshot reads: its chunks, the bases of deltas besides, and the packs they lie in."""

    chunks: int
    stored: int
    bases: int
    base_stored: int
    packs: int
    pack_bytes: int


class Disagreement(NamedTuple):
    """A figure that the save took down (`stats` of the root), and the one counted now."""

    figure: str
    at_save: int
    now: int


class Accounts(NamedTuple):
    """Where the bytes of a snapshot went. In each table the dearest come first.

    `files` and `tensors` are by path, and by path and name. `overhead`: bytes that the save stored besides chunks: the
    tables of packs, index and manifests. `ages`: None unless this machine made the snapshot, and it is its last one of
    the asset.
    """

    total: Cost
    mechanisms: dict[str, Cost]
    components: dict[str, Cost]
    dtypes: dict[str, Cost]
    files: dict[bytes, Cost]
    tensors: dict[tuple[bytes, str], Cost]
    restore: RestoreCost
    overhead: int
    disagreements: list[Disagreement]
    ages: Ages | None


def account_for(handle: Handle, root: Root) -> Accounts:
    """Count, from manifests and the index alone: no chunk is read. Raises DamageError.

    What the index lacks is looked for in packs that it does not list, as far as the key can read those.
    """
    parts = read_parts(handle, root)
    wanted = chunk_ids(entry for part in parts for entry in part.entries)
    places = _find(handle, wanted)
    if len(places) < len(wanted) and handle.keys.can_read:
        handle.index.add_unlisted(handle.store, handle.keys, handle.progress)
        places = _find(handle, wanted)
    ledger = _Ledger(places, new_chunks(handle, root, places))
    for part in parts:
        for entry in part.entries:
            ledger.add(part.component, entry)
    stats = root.stats
    coded = sum(stats.get(f"stored_{codec.name.lower()}", 0) for codec in Codec)
    return Accounts(
        total=_total(ledger.mechanisms),
        mechanisms=_dearest_first(ledger.mechanisms),
        components=_dearest_first(ledger.components),
        dtypes=_dearest_first(ledger.dtypes),
        files=_dearest_first(ledger.files),
        tensors=_dearest_first(ledger.tensors),
        restore=_restore_cost(handle, places),
        overhead=max(0, stats.get("stored", 0) - coded),
        disagreements=[] if dropped_components(handle, root) else _disagreements(root, ledger),
        ages=_ages(handle, root),
    )


def _find(handle: Handle, chunks: Collection[ChunkId]) -> dict[ChunkId, Located]:
    return {chunk: located for chunk in chunks if (located := handle.index.find(chunk)) is not None}


class _Ledger:
    """The tables while they are filled."""

    def __init__(self, places: Mapping[ChunkId, Located], new: set[ChunkId]) -> None:
        self._places = places
        self._new = new
        self._met: set[ChunkId] = set()
        self.mechanisms: dict[str, Cost] = {}
        self.components: dict[str, Cost] = {}
        self.dtypes: dict[str, Cost] = {}
        self.files: dict[bytes, Cost] = {}
        self.tensors: dict[tuple[bytes, str], Cost] = {}

    def add(self, component: str, entry: Entry) -> None:
        """Take in one entry of a manifest; only files have bytes."""
        if entry.type != "file":
            return
        _book(self.components, component, Cost())
        _book(self.files, entry.path, Cost())
        pieces = _Pieces(entry)
        for offset, length, chunk in _spans(entry):
            mechanism, stored = self._coded(chunk)
            new = mechanism not in (HOLE, REPEATED, MISSING) and chunk in self._new
            cost = _cost(chunk is not None, length, stored, new=new)
            _book(self.mechanisms, mechanism, cost)
            _book(self.components, component, cost)
            _book(self.files, entry.path, cost)
            for tensor, start, end in pieces.within(offset, length):
                # Rounded at the piece's two ends alike, so that the pieces of a chunk add up to it.
                share = stored * end // length - stored * start // length
                piece = _cost(chunk is not None, end - start, share, new=new)
                _book(self.dtypes, NO_TENSOR if tensor is None else tensor.dtype, piece)
                if tensor is not None:
                    _book(self.tensors, (entry.path, tensor.name), piece)

    def _coded(self, chunk: ChunkId | None) -> tuple[str, int]:
        """By what mechanism the next piece of a file is kept, and what that takes."""
        if chunk is None:
            return HOLE, 0
        if chunk in self._met:
            return REPEATED, 0
        self._met.add(chunk)
        located = self._places.get(chunk)
        if located is None:
            return MISSING, 0
        return Codec(located.place.codec).name.lower(), located.place.stored


class _Pieces:
    """A file taken apart into tensors and what lies between. Of tensors that overlap, the first one has the bytes."""

    def __init__(self, entry: Entry) -> None:
        self._pieces: list[tuple[int, int, TensorRecord | None]] = []
        self._next = 0
        end = 0
        for tensor in sorted(entry.tensors, key=lambda tensor: tensor.offset):
            start, stop = max(tensor.offset, end), tensor.offset + tensor.bytes
            if start < stop:
                self._pieces += [(end, start, None)] if end < start else []
                self._pieces.append((start, stop, tensor))
                end = stop
        if end < entry.size:
            self._pieces.append((end, entry.size, None))

    def within(self, offset: int, length: int) -> Iterator[tuple[TensorRecord | None, int, int]]:
        """(tensor or None, start, end) of what lies in a part of the file, counted from that part's start. Parts must
        be asked for in order.
        """
        while self._next < len(self._pieces):
            start, stop, tensor = self._pieces[self._next]
            if start >= offset + length:
                return
            yield tensor, max(start - offset, 0), min(stop - offset, length)
            if stop > offset + length:
                return
            self._next += 1


def _spans(entry: Entry) -> Iterator[tuple[int, int, ChunkId | None]]:
    """(offset, length, chunk) of the whole file in order; None for a hole."""
    end = 0
    for offset, length, chunk, _ in entry_chunks(entry):
        if offset > end:
            yield end, offset - end, None
        if length:
            yield offset, length, chunk
        end = offset + length
    if entry.size > end:
        yield end, entry.size - end, None


def _cost(is_chunk: bool, size: int, stored: int, *, new: bool) -> Cost:
    return Cost(int(is_chunk), size, stored, size if new else 0, stored if new else 0)


def _book(table: dict[Name, Cost], name: Name, cost: Cost) -> None:
    table[name] = table.get(name, Cost()).plus(cost)


def _dearest_first(table: dict[Name, Cost]) -> dict[Name, Cost]:
    return dict(sorted(table.items(), key=lambda item: (-item[1].stored, -item[1].bytes)))


def _total(table: Mapping[str, Cost]) -> Cost:
    total = Cost()
    for cost in table.values():
        total = total.plus(cost)
    return total


def _restore_cost(handle: Handle, places: Mapping[ChunkId, Located]) -> RestoreCost:
    bases: dict[ChunkId, Located] = {}
    for located in places.values():
        step = located
        for _ in range(_CHAIN_MAX):
            base = step.place.base
            found = handle.index.find(base) if base and base not in places and base not in bases else None
            if found is None:
                break
            bases[base] = step = found
    packs: dict[PackId, int] = {one.pack: one.pack_size for one in [*places.values(), *bases.values()]}
    return RestoreCost(
        chunks=len(places),
        stored=sum(located.place.stored for located in places.values()),
        bases=len(bases),
        base_stored=sum(located.place.stored for located in bases.values()),
        packs=len(packs),
        pack_bytes=sum(packs.values()),
    )


def _disagreements(root: Root, ledger: _Ledger) -> list[Disagreement]:
    """Where the save's own figures are others. Those that it did not take down are not compared."""
    total = _total(ledger.mechanisms)
    hole = ledger.mechanisms.get(HOLE, Cost()).bytes
    now = {"raw": total.bytes, "hole": hole, "chunks": total.chunks, "dedup": total.bytes - hole - total.new_bytes}
    for codec in Codec:
        name = codec.name.lower()
        cost = ledger.mechanisms.get(name, Cost())
        now |= {f"raw_{name}": cost.new_bytes, f"stored_{name}": cost.new_stored}
    return [
        Disagreement(figure, root.stats[figure], count)
        for figure, count in now.items()
        if root.stats.get(figure, count) != count
    ]


def _ages(handle: Handle, root: Root) -> Ages | None:
    remembered = recall(memory_path(handle.keys, root.asset))
    if remembered is None or remembered.snapshot != root.id or not remembered.anchors:
        return None
    return summarise(remembered.anchors.values())
