"""Which bytes of a rank's files are which elements of the whole tensors, whoever holds them.

Chunks of large tensors lie on a grid of the whole tensor's rows, not of the rank's share of them. So a chunk is found
again, as the same one or as the base of a delta, when the next save is cut over other ranks.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from holdfast.vault.format.records import Entry
from holdfast.vault.regions.model import OPAQUE, Layout, Region
from holdfast.vault.snapshots.labels import BaseCandidate, entry_chunks

__all__ = ["Box", "KnownRegions", "box_name", "on_grid", "same_boxes"]

_GRID_MAX = 4 << 20  # the largest chunk
_GRID_MIN = 256 << 10  # smaller ones cost more in names than they gain
_WAYS = 16  # over so many ranks a tensor is cut without its chunks being others
_NAME = re.compile(r"(.*)#([0-9]{1,19}(?:,[0-9]{1,19})*)", re.DOTALL)

_Place = tuple[str, str, tuple[int, ...], tuple[int, ...]]


class Box(NamedTuple):
    """A tensor of a rank's file: `sizes` from `offsets` on, of the tensor `fqn` of `shape`. `dtype` is any name that is
    the same for the same elements, `width` the bytes of one.
    """

    fqn: str
    dtype: str
    width: int
    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def start(self) -> int:
        """Bytes of the whole tensor before this box, where it is whole rows of it."""
        return self.offsets[0] * self.row if self.offsets else 0

    @property
    def row(self) -> int:
        return math.prod(self.sizes[1:]) * self.width

    @property
    def nbytes(self) -> int:
        return math.prod(self.sizes) * self.width


def box_name(box: Box) -> str:
    """Its name in the file: that of the tensor, with the offsets behind unless it is the whole."""
    if box.sizes == box.shape:
        return box.fqn
    return f"{box.fqn}#{','.join(map(str, box.offsets))}"


def on_grid(layout: Layout, boxes: Mapping[str, Box]) -> Layout:
    """The layout with the regions of large tensors cut on the grids of the whole ones."""
    points: set[int] = set()
    for tensor in layout.tensors:
        box = boxes.get(tensor.name)
        grid = _grid(box) if box is not None else 0
        if box is not None and grid and tensor.nbytes == box.nbytes:
            end = tensor.offset + tensor.nbytes
            first = tensor.offset + (-box.start) % grid
            points.update((tensor.offset, end, *range(first, end, grid)))
    return layout._replace(regions=_split(layout.regions, sorted(points))) if points else layout


class KnownRegions:
    """Chunks of earlier files by the elements that they begin with."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._chunks: dict[_Place, dict[int, BaseCandidate]] = {}
        for entry in entries:
            tensors = sorted((one for one in entry.tensors if one.bytes), key=lambda one: one.offset)
            starts = [tensor.offset for tensor in tensors]
            for offset, length, chunk, element in entry_chunks(entry):
                position = bisect_right(starts, offset) - 1
                if element == OPAQUE or position < 0 or offset >= starts[position] + tensors[position].bytes:
                    continue
                tensor = tensors[position]
                place, start = _placed(tensor.name, tensor.dtype, tensor.shape, tensor.bytes)
                self._chunks.setdefault(place, {})[start + offset - tensor.offset] = (chunk, length, element)

    def candidates(self, boxes: Mapping[str, Box], dtypes: Mapping[str, str]) -> dict[str, BaseCandidate]:
        """Label → the chunk that holds the same elements, for the tensors of a new file, by their names in it.

        `dtypes`: the vault's names.
        """
        found: dict[str, BaseCandidate] = {}
        for name, box in boxes.items():
            place, start = _placed(name, dtypes[name], box.sizes, box.nbytes)
            for position, candidate in self._chunks.get(place, {}).items():
                if start <= position < start + box.nbytes:
                    found[f"{name}@{position - start}"] = candidate
        return found


def same_boxes(wanted: Mapping[str, Sequence[int]], known: Iterable[Entry], path: bytes) -> Entry | None:
    """The tensors of those names, whatever files they were in, as if they were one file: to compare with.

    `wanted`: name → shape. A share that begins where another one began, and ends elsewhere, is not compared with it.
    """
    found = {
        tensor.name: tensor
        for entry in known
        for tensor in entry.tensors
        if tensor.name in wanted and (tuple(tensor.shape) == tuple(wanted[tensor.name]) or "#" not in tensor.name)
    }
    if not found:
        return None
    return Entry(path=path, type="file", mode=0o644, mtime=0, size=1, tensors=list(found.values()))


def _placed(name: str, dtype: str, sizes: Sequence[int], nbytes: int) -> tuple[_Place, int]:
    """What is the same for all boxes of whole rows of a tensor, and at which byte of those rows this one begins."""
    match = _NAME.fullmatch(name)
    if match is None:
        return (name, dtype, tuple(sizes[1:]), (0,) * (len(sizes) - 1)), 0
    offsets = tuple(map(int, match[2].split(",")))
    if len(offsets) != len(sizes):
        return (name, dtype, tuple(sizes[1:]), (0,) * (len(sizes) - 1)), 0
    row = nbytes // sizes[0] if sizes[0] else 0
    return (match[1], dtype, tuple(sizes[1:]), offsets[1:]), offsets[0] * row


def _grid(box: Box) -> int:
    """Bytes between two cuts, 0 where the tensor is too small to be cut.

    Rows are halved as long as they can be: shares of 2, 4, 8 and 16 ranks then begin on the grid.
    """
    if not box.shape or not box.row or box.shape[0] * box.row < 2 * _GRID_MIN:
        return 0
    rows, ways = box.shape[0], 1
    while rows % 2 == 0 and (rows * box.row > _GRID_MAX or (ways < _WAYS and rows * box.row >= 2 * _GRID_MIN)):
        rows, ways = rows // 2, ways * 2
    if rows * box.row <= _GRID_MAX:
        return rows * box.row
    if box.row <= _GRID_MAX:
        return _GRID_MAX // box.row * box.row
    return _GRID_MAX


def _split(regions: Sequence[Region], points: Sequence[int]) -> list[Region]:
    split: list[Region] = []
    for region in regions:
        begin = region.offset
        if region.element != OPAQUE:
            for point in points[bisect_right(points, begin) :]:
                if point >= region.end:
                    break
                if (point - region.offset) % region.element.width == 0:
                    split.append(Region(begin, point - begin, region.element))
                    begin = point
        split.append(Region(begin, region.end - begin, region.element))
    return split
