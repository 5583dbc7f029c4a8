"""Where a chunk's delta base is looked for: the chunk of the same tensor, at the same place in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry
from holdfast.vault.regions.model import Element, Kind

__all__ = ["Labels", "chunk_offsets", "entry_chunks", "base_candidates", "BaseCandidate"]

BaseCandidate = tuple[ChunkId, int, Element]


class Labels:
    """Names places in a file so that they mean the same in the next checkpoint, even when offsets have moved.

    A place inside a tensor is named by the tensor and the offset in it; any other place by its offset in the file.
    """

    def __init__(self, tensors: Sequence[tuple[str, int, int]]) -> None:
        """`tensors`: (name, offset, bytes) in order of offset; empty ones do not count."""
        solid = [tensor for tensor in tensors if tensor[2]]
        self._starts = [offset for _, offset, _ in solid]
        self._tensors = solid

    def at(self, offset: int) -> str:
        """The label of the chunk that starts at `offset` of the file."""
        position = bisect_right(self._starts, offset) - 1
        if position >= 0:
            name, start, size = self._tensors[position]
            if offset < start + size:
                return f"{name}@{offset - start}"
        return f"#{offset}"


def entry_chunks(entry: Entry) -> list[tuple[int, int, ChunkId, Element]]:
    """(offset in the file, length, chunk id, element) of each chunk of a file's entry."""
    chunks = []
    offset = number = 0
    for length, kind, width, count in entry.runs:
        end = offset + length
        for _ in range(count):
            size = int.from_bytes(entry.lengths[4 * number : 4 * number + 4], "little")
            chunk = ChunkId(entry.chunks[32 * number : 32 * number + 32])
            chunks.append((offset, size, chunk, Element(Kind(kind), width)))
            offset += size
            number += 1
        offset = end
    return chunks


def chunk_offsets(entry: Entry) -> list[int]:
    """Offset in the file of each chunk."""
    return [offset for offset, _, _, _ in entry_chunks(entry)]


def base_candidates(entry: Entry) -> dict[str, BaseCandidate]:
    """Label → (chunk, length, element) for the chunks of an entry that a later chunk could be a delta to."""
    labels = Labels(sorted(((t.name, t.offset, t.bytes) for t in entry.tensors), key=lambda tensor: tensor[1]))
    return {
        labels.at(offset): (chunk, size, element)
        for offset, size, chunk, element in entry_chunks(entry)
        if element.kind is not Kind.OPAQUE
    }
