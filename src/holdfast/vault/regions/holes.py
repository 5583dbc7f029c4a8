"""Holes of sparse files: zeros that are not stored, and need not be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from typing import Final

from holdfast.errors import FailedError
from holdfast.vault.regions.model import HOLE, Layout, Region

__all__ = ["HOLE_BYTES_MIN", "file_holes", "punch"]

HOLE_BYTES_MIN: Final = 64 << 10  # shorter ones are cheaper to read than to list


def file_holes(fd: int, size: int) -> list[tuple[int, int]]:
    """(offset, length) of the holes in the first `size` bytes of an open file, in order, of `HOLE_BYTES_MIN` or more.

    Empty where the system or the file system cannot tell. The file's position is kept. Raises FailedError. Holes are
    not read afterwards: it is the caller who must notice that a file changed meanwhile.
    """
    if not hasattr(os, "SEEK_HOLE"):
        return []
    try:
        position = os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return []  # a pipe or the like
    try:
        return [hole for hole in _holes(fd, size) if hole[1] >= HOLE_BYTES_MIN]
    except OSError as error:
        raise FailedError(f"cannot look for holes in the file: {error.strerror}") from error
    finally:
        os.lseek(fd, position, os.SEEK_SET)


def _holes(fd: int, size: int) -> Iterator[tuple[int, int]]:
    position = 0
    while position < size:
        hole = _next_hole(fd, position, size)
        position = _next_data(fd, hole, size)
        if position <= hole:  # none is left, or the file system contradicts itself
            return
        yield hole, position - hole


def _next_hole(fd: int, position: int, size: int) -> int:
    try:
        return min(os.lseek(fd, position, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP):  # the file system cannot tell, or it shrank
            return size
        raise


def _next_data(fd: int, position: int, size: int) -> int:
    if position >= size:
        return size
    try:
        return min(os.lseek(fd, position, os.SEEK_DATA), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole up to the end
            return size
        raise


def punch(layout: Layout, holes: Iterable[tuple[int, int]]) -> Layout:
    """`layout` with HOLE regions where `holes` ((offset, length), ascending, apart) are; tensors stay listed.

    Within a region of elements a hole shrinks to whole elements, so that what follows stays on the region's grid.
    """
    pending = list(holes)
    regions: list[Region] = []
    first = 0
    for region in layout.regions:
        while first < len(pending) and sum(pending[first]) <= region.offset:
            first += 1
        index, position = first, region.offset
        while index < len(pending) and pending[index][0] < region.end:
            hole = _inside(region, *pending[index])
            if hole is not None:
                _append(regions, Region(position, hole.offset - position, region.element))
                _append(regions, hole)
                position = hole.end
            index += 1
        _append(regions, Region(position, region.end - position, region.element))
    return layout._replace(regions=regions)


def _inside(region: Region, offset: int, length: int) -> Region | None:
    """The part of a hole that covers whole elements of `region`."""
    width = region.element.width
    begin, end = max(offset, region.offset), min(offset + length, region.end)
    begin += -(begin - region.offset) % width
    end -= (end - region.offset) % width
    return Region(begin, end - begin, HOLE) if end > begin else None


def _append(regions: list[Region], region: Region) -> None:
    if not region.length:
        return
    if region.element == HOLE and regions and regions[-1].element == HOLE:
        last = regions.pop()
        region = Region(last.offset, last.length + region.length, HOLE)
    regions.append(region)
