"""Which chunks hold which bytes of a file, in columns: a million chunks cost a few arrays, not a million objects."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from holdfast.ids import ChunkId
from holdfast.vault.files.windows import Window
from holdfast.vault.format.records import Entry
from holdfast.vault.regions.model import Kind

__all__ = ["ChunkMap", "MappedChunk"]

Column = np.ndarray[Any, np.dtype[np.int64]]


class MappedChunk(NamedTuple):
    """A chunk, and the bytes of the file that it is: `length` from `offset` on."""

    offset: int
    length: int
    chunk: ChunkId


class ChunkMap:
    """The chunks of one file, in order. Built from an entry whose manifest was checked."""

    def __init__(self, entry: Entry) -> None:
        self.size = entry.size
        self._ids = entry.chunks
        lengths = np.frombuffer(entry.lengths, "<u4").astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        holes = [length if kind == Kind.HOLE else 0 for length, kind, _, _ in entry.runs]
        self.has_holes = any(holes)
        if self.has_holes:
            shift = np.cumsum(np.array(holes, np.int64))
            starts = starts + np.repeat(shift, [count for _, _, _, count in entry.runs])
        self._starts: Column = starts
        self._ends: Column = starts + lengths

    def __len__(self) -> int:
        """Number of chunks."""
        return len(self._starts)

    def covering(self, window: Window) -> list[MappedChunk]:
        """The chunks that hold a byte of the window, in order of the file; what none covers is a hole: zeros."""
        if not window.size:
            return []
        if window.runs == 1:  # by far the most frequent, and cheap
            first = int(self._ends.searchsorted(window.start, side="right"))
            last = int(self._starts.searchsorted(window.end, side="left"))
            return [self._at(number) for number in range(first, last) if self._ends[number] > self._starts[number]]
        first = int(self._ends.searchsorted(window.start, side="right"))
        last = int(self._starts.searchsorted(window.end, side="left"))
        starts, ends = self._starts[first:last], self._ends[first:last]
        # Of the runs that end behind a chunk's start, the first one must begin before the chunk's end.
        run = np.maximum(0, (starts - window.start - window.length) // window.stride + 1)
        held = (window.start + run * window.stride < ends) & (run < window.runs) & (ends > starts)
        return [self._at(first + int(number)) for number in np.flatnonzero(held)]

    def _at(self, number: int) -> MappedChunk:
        start = int(self._starts[number])
        return MappedChunk(start, int(self._ends[number]) - start, ChunkId(self._ids[32 * number : 32 * number + 32]))
