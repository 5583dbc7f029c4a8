"""From regions to chunks: tensors are cut at their starts, opaque bytes where their content says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from holdfast.errors import SourceChangedError, UsageError
from holdfast.vault.regions.model import Element, Kind, Layout, Region, Source, Tensor
from holdfast.vault.regions.source import read_into

__all__ = ["CHUNK_BYTES", "OPAQUE_AVERAGE", "Cut", "cut", "cut_and_read", "cut_lazily", "read_cut"]

CHUNK_BYTES: Final = 4 << 20
OPAQUE_AVERAGE: Final = 1 << 20
OPAQUE_AVERAGE_MIN, OPAQUE_AVERAGE_MAX = 1 << 10, 64 << 20  # what the library takes, with min / 4 and max × 4


class Cut(NamedTuple):
    """One chunk of a file.

    `label` finds the chunk's predecessor in another snapshot of the file: `<tensor>@<offset in the tensor>` where a
    tensor leads, `#<offset in the file>` for elements outside of tensors, empty for opaque bytes and holes.
    """

    offset: int
    length: int
    element: Element
    label: str


def cut(
    layout: Layout, source: Source, *, chunk_bytes: int = CHUNK_BYTES, opaque_average: int = OPAQUE_AVERAGE
) -> Iterator[Cut]:
    """All chunks of a file, in order; only opaque regions are read. Raises as `cut_and_read`."""
    cutter = _Cutter(layout, source, chunk_bytes, opaque_average)
    for region in layout.regions:
        if region.element.kind is Kind.OPAQUE:
            yield from (piece for piece, _ in cutter.opaque(region))
        else:
            yield from cutter.plan(region)


def cut_and_read(
    layout: Layout, source: Source, *, chunk_bytes: int = CHUNK_BYTES, opaque_average: int = OPAQUE_AVERAGE
) -> Iterator[tuple[Cut, bytes]]:
    """All chunks of a file with their bytes (none for a hole), in order; each byte is read once.

    Errors are those of `cut_lazily`.
    """
    for piece, data in cut_lazily(layout, source, chunk_bytes=chunk_bytes, opaque_average=opaque_average):
        if data is not None:
            yield piece, bytes(data)
        else:
            yield piece, b"" if piece.element.kind is Kind.HOLE else _read(source, piece.offset, piece.length)


def cut_lazily(
    layout: Layout, source: Source, *, chunk_bytes: int = CHUNK_BYTES, opaque_average: int = OPAQUE_AVERAGE
) -> Iterator[tuple[Cut, memoryview | None]]:
    """All chunks of a file, in order; with their bytes where these had to be read to find the cut, else None.

    Holds at most a chunk and `opaque_average` × 8 bytes. Raises SourceChangedError when the source ends early, and
    UsageError unless `chunk_bytes` is a positive multiple of 8 and `opaque_average` is 1 KiB to 64 MiB.
    """
    cutter = _Cutter(layout, source, chunk_bytes, opaque_average)
    for region in layout.regions:
        if region.element.kind is Kind.OPAQUE:
            yield from cutter.opaque(region)
        else:
            for piece in cutter.plan(region):
                yield piece, None


def read_cut(source: Source, piece: Cut, out: memoryview) -> None:
    """Fill `out`, of the cut's length, with its bytes. Raises SourceChangedError when the source ends early."""
    done = read_into(source, piece.offset, out)
    if done < piece.length:
        raise _ended(piece.offset + done)


class _Cutter:
    def __init__(self, layout: Layout, source: Source, chunk_bytes: int, opaque_average: int) -> None:
        if chunk_bytes < 8 or chunk_bytes % 8:
            raise UsageError(f"chunks of {chunk_bytes} bytes hold no whole elements of 8 bytes")
        if not OPAQUE_AVERAGE_MIN <= opaque_average <= OPAQUE_AVERAGE_MAX:
            raise UsageError(f"opaque chunks cannot be {opaque_average} bytes on average")
        self._source = source
        self._chunk_bytes = chunk_bytes
        self._average = opaque_average
        # The longest of the tensors that begin at one place leads there; empty ones lead nowhere.
        leaders: dict[int, Tensor] = {}
        for tensor in layout.tensors:
            if tensor.nbytes and tensor.nbytes > leaders.get(tensor.offset, _NOTHING).nbytes:
                leaders[tensor.offset] = tensor
        self._starts = sorted(leaders)
        self._leaders = [leaders[start] for start in self._starts]

    def plan(self, region: Region) -> Iterator[Cut]:
        """Chunks of a region of elements, or the one of a hole. Nothing is read."""
        if region.element.kind is Kind.HOLE:
            yield Cut(region.offset, region.length, region.element, "")
            return
        begin = filled = region.offset  # [begin, filled) is the chunk under way
        led = None
        for piece in self._pieces(region):
            if filled > begin and piece.end - begin > self._chunk_bytes:
                yield _labelled(region, begin, filled, led)
                begin = piece.start
            if begin == piece.start:
                led = piece.leader
            # Chunks of a large tensor lie on a grid from its start, also behind a hole.
            while piece.end - begin > self._chunk_bytes:
                stop = begin + self._chunk_bytes - (begin - piece.grid) % self._chunk_bytes
                yield _labelled(region, begin, stop, led)
                begin = stop
            filled = piece.end
        if filled > begin:
            yield _labelled(region, begin, filled, led)

    def _pieces(self, region: Region) -> Iterator[_Piece]:
        """The stretches between the starts of tensors that lie on the region's grid of elements."""
        width = region.element.width
        index = bisect_right(self._starts, region.offset)
        start, leader = region.offset, None
        if index and _reaches(self._leaders[index - 1], start):
            leader = self._leaders[index - 1]
        while index < len(self._starts) and self._starts[index] < region.end:
            following = self._starts[index]
            if (following - region.offset) % width == 0:
                yield _Piece(start, following, leader, width)
                start, leader = following, self._leaders[index]
            index += 1
        yield _Piece(start, region.end, leader, width)

    def opaque(self, region: Region) -> Iterator[tuple[Cut, memoryview]]:
        """Chunks of an opaque region, by content: as if the whole region were cut at once, in bounded memory."""
        smallest, largest = self._average // 4, self._average * 4
        buffer, position = b"", region.offset  # `buffer` holds what is read and not yet cut, from `position` on
        while position < region.end:
            wanted = min(2 * largest, region.end - position)
            buffer += _read(self._source, position + len(buffer), wanted - len(buffer))
            view = memoryview(buffer)
            done = 0
            for length in _content_lengths(buffer, smallest, self._average, largest):
                # A cut depends on the `largest` bytes behind it at most: nearer to the end more must be read first.
                if done and wanted - done < largest and position + wanted < region.end:
                    break
                yield Cut(position + done, length, region.element, ""), view[done : done + length]
                done += length
            buffer, position = buffer[done:], position + done


class _Piece(NamedTuple):
    """A stretch of a region that one tensor leads, or none."""

    start: int
    end: int
    leader: Tensor | None
    width: int

    @property
    def grid(self) -> int:
        """Where the grid of the leader's chunks begins, as far as it is one of whole elements here."""
        if self.leader is None or (self.start - self.leader.offset) % self.width:
            return self.start
        return self.leader.offset


_NOTHING: Final = Tensor("", "u8", (), 0, 0)


def _reaches(tensor: Tensor, position: int) -> bool:
    return tensor.offset + tensor.nbytes > position


def _labelled(region: Region, begin: int, end: int, leader: Tensor | None) -> Cut:
    # Behind a tensor's end its storage may go on, or a header follows: still best found by that tensor.
    label = f"#{begin}" if leader is None else f"{leader.name}@{begin - leader.offset}"
    return Cut(begin, end - begin, region.element, label)


def _content_lengths(data: bytes, smallest: int, average: int, largest: int) -> Iterator[int]:
    if len(data) <= smallest:
        yield len(data)
        return
    import fastcdc  # here, because it imports a command-line toolkit

    for chunk in fastcdc.fastcdc(data, smallest, average, largest, fat=False):
        yield chunk.length


def _read(source: Source, offset: int, length: int) -> bytes:
    data = source.read_at(offset, length)
    if len(data) < length:
        raise _ended(offset + len(data))
    return data


def _ended(position: int) -> SourceChangedError:
    return SourceChangedError(f"the file ended at byte {position} while it was read")
