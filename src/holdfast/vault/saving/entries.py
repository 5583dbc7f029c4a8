"""Manifest entries, put together from coded chunks as they come in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, TensorRecord
from holdfast.vault.regions.model import DTYPES, Element, Layout, Tensor
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.tree import Item
from holdfast.vault.snapshots.labels import BaseCandidate, Labels
from holdfast.vault.tensors.statistics import NO_STATISTICS, Accumulator, TensorStatistics, statistics_of_zeros

__all__ = ["Measured", "EntryBuilder", "plain_entry", "measure"]


class Measured(NamedTuple):
    """Statistics of the piece of a tensor that lies in one chunk."""

    tensor: int
    bytes: int
    statistics: TensorStatistics


class EntryBuilder:
    """Collects one file's chunks in file order. Reading (`label`, `pieces`) is safe from several threads."""

    def __init__(self, content: Content, layout: Layout, candidates: Mapping[str, BaseCandidate]) -> None:
        self.content = content
        self.layout = layout
        self._candidates = candidates
        order = sorted(range(len(layout.tensors)), key=lambda i: layout.tensors[i].offset)
        self._labels = Labels(
            [(layout.tensors[i].name, layout.tensors[i].offset, layout.tensors[i].nbytes) for i in order]
        )
        self._measured = _disjoint(layout.tensors, order)
        self._starts = [layout.tensors[i].offset for i in self._measured]
        self._statistics: dict[int, TensorStatistics] = {}
        self._seen_bytes: dict[int, int] = {}
        self._end = 0
        self._ids: list[bytes] = []
        self._lengths: list[int] = []
        self._runs: list[list[int]] = []

    def candidate(self, offset: int) -> BaseCandidate | None:
        """The chunk of the parent snapshot that lies where the chunk at `offset` lies."""
        return self._candidates.get(self._labels.at(offset))

    def pieces(self, offset: int, length: int) -> list[tuple[int, Tensor, int, int]]:
        """(number, tensor, start, end) of the tensors that overlap a chunk; start and end within the chunk."""
        first = max(0, bisect_right(self._starts, offset) - 1)
        last = bisect_left(self._starts, offset + length)
        found = []
        for number in self._measured[first:last]:
            tensor = self.layout.tensors[number]
            start, end = max(tensor.offset - offset, 0), min(tensor.offset + tensor.nbytes - offset, length)
            # A tensor in a region that was cut by content may be cut inside an element: such a piece says nothing.
            aligned = (offset + start - tensor.offset) % DTYPES[tensor.dtype].width == 0
            if start < end and aligned:
                found.append((number, tensor, start, end))
        return found

    def add_hole(self, length: int) -> None:
        for number, tensor, start, end in self.pieces(self._end, length):
            self._add_measured(Measured(number, end - start, statistics_of_zeros(tensor.dtype, end - start)))
        self._end += length
        self._runs.append([length, 3, 1, 0])

    def add(self, chunk: ChunkId, length: int, element: Element, measured: list[Measured]) -> None:
        """Take the next chunk of the file."""
        kind, width = int(element.kind), element.width
        if self._runs and self._runs[-1][1:3] == [kind, width]:
            self._runs[-1][0] += length
            self._runs[-1][3] += 1
        else:
            self._runs.append([length, kind, width, 1])
        self._ids.append(chunk)
        self._lengths.append(length)
        self._end += length
        for piece in measured:
            self._add_measured(piece)

    def build(self) -> Entry:
        """The finished entry."""
        content = self.content
        return Entry(
            path=content.relative,
            type="file",
            mode=content.mode,
            mtime=content.mtime_ns,
            size=content.size,
            format=self.layout.format,
            runs=[(length, kind, width, count) for length, kind, width, count in self._runs],
            chunks=b"".join(self._ids),
            lengths=b"".join(length.to_bytes(4, "little") for length in self._lengths),
            tensors=[self._tensor(number, tensor) for number, tensor in enumerate(self.layout.tensors)],
        )

    def _add_measured(self, piece: Measured) -> None:
        known = self._statistics.get(piece.tensor, NO_STATISTICS)
        self._statistics[piece.tensor] = known.joined(piece.statistics)
        self._seen_bytes[piece.tensor] = self._seen_bytes.get(piece.tensor, 0) + piece.bytes

    def _tensor(self, number: int, tensor: Tensor) -> TensorRecord:
        found = self._statistics.get(number, NO_STATISTICS)
        whole = self._seen_bytes.get(number) == tensor.nbytes  # else some of it was cut inside an element
        return TensorRecord(
            _printable(tensor.name),
            tensor.dtype,
            list(tensor.shape),
            tensor.offset,
            tensor.nbytes,
            tensor.fortran,
            found.norm,
            found.nonfinite,
            found.least if whole else None,
            found.greatest if whole else None,
            found.zeros if whole else None,
        )


def measure(builder: EntryBuilder, offset: int, data: bytes | memoryview) -> list[Measured]:
    """Statistics of every tensor piece in a chunk."""
    view = memoryview(data)
    found = []
    for number, tensor, start, end in builder.pieces(offset, len(view)):
        accumulator = Accumulator()
        accumulator.add(tensor.dtype, view[start:end])
        found.append(Measured(number, end - start, accumulator.result()))
    return found


def plain_entry(item: Item, target: bytes) -> Entry:
    """The entry of a folder or link."""
    return Entry(
        path=item.relative,
        type=item.type,
        mode=item.stat.st_mode & 0o7777,
        mtime=item.stat.st_mtime_ns,
        target=target,
    )


def _printable(name: str) -> str:
    """Names from foreign headers may hold lone surrogates, which no UTF-8 text can."""
    return name.encode(errors="backslashreplace").decode()


def _disjoint(tensors: list[Tensor], order: list[int]) -> list[int]:
    """Numbers of the tensors to measure, by offset: those with numbers in them, without overlaps (tied or strided
    views).
    """
    chosen: list[int] = []
    end = 0
    for number in order:
        tensor = tensors[number]
        if tensor.nbytes and tensor.dtype in DTYPES and tensor.offset >= end:
            chosen.append(number)
            end = tensor.offset + tensor.nbytes
    return chosen
