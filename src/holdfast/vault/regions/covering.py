"""From the spans that a parser found to regions that cover the file: merged, complete, without overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast.vault.regions.model import OPAQUE, Region
from holdfast.vault.regions.proposal import Malformed

__all__ = ["cover", "coalesce", "thin"]

# Zip headers, data descriptors and alignment padding between two tensors take 16 to 700 bytes. Reading them as
# elements costs a little compression; a region (and with it a chunk) of its own for each tiny tensor costs far more.
GAP_BYTES: Final = 1024
# Small tensors of other dtypes may lie in such a gap (batch norm's counters between its floats).
LOOK_BACK: Final = 8

# Beyond this many regions they must be worth it: on average this many bytes each.
REGIONS_FREE: Final = 4096
REGION_BYTES_MEAN: Final = 256 << 10
THIN_FROM, THIN_TO = 4 << 10, 256 << 10


def coalesce(spans: Iterable[Region]) -> list[Region]:
    """Spans in order of offset; those of one element type with small gaps between them are merged.

    Merging needs the later span to be congruent with the earlier one modulo the element's width, so that all elements
    of the merged region lie on one grid. Raises Malformed when spans overlap.
    """
    runs: list[Region] = []
    end = 0
    for span in sorted(spans):
        if not span.length:
            continue
        if span.offset < end:
            raise Malformed(f"two of its arrays overlap at byte {span.offset}")
        end = span.end
        _append(runs, span)
    return runs


def _append(runs: list[Region], span: Region) -> None:
    for index in range(len(runs) - 1, max(-1, len(runs) - 1 - LOOK_BACK), -1):
        run = runs[index]
        if span.offset - run.end >= GAP_BYTES:
            break
        if run.element == span.element and (span.offset - run.offset) % span.element.width == 0:
            runs[index:] = [Region(run.offset, span.end - run.offset, run.element)]
            return
    runs.append(span)


def cover(size: int, regions: Iterable[Region]) -> list[Region]:
    """`regions` made to cover [0, size) exactly, in order: gaps become OPAQUE, neighbouring OPAQUE ones are one.

    A region that ends within an element gives the rest to an OPAQUE one. Raises Malformed when regions overlap or
    reach beyond the file.
    """
    covered: list[Region] = []
    end = 0
    for region in sorted(regions):
        if not region.length:
            continue
        if region.offset < end or region.length < 0:
            raise Malformed(f"two regions overlap at byte {region.offset}")
        _append_opaque(covered, end, region.offset)
        whole = region.length - region.length % region.element.width
        if region.element == OPAQUE:
            _append_opaque(covered, region.offset, region.end)
        elif whole:
            covered.append(Region(region.offset, whole, region.element))
        end = region.end
        _append_opaque(covered, region.offset + whole, end)
    if end > size:
        raise Malformed(f"a region ends at byte {end} of {size}")
    _append_opaque(covered, end, size)
    return covered


def _append_opaque(covered: list[Region], begin: int, end: int) -> None:
    if end <= begin:
        return
    if covered and covered[-1].element == OPAQUE:
        begin = covered.pop().offset
    covered.append(Region(begin, end - begin, OPAQUE))


def thin(size: int, regions: list[Region]) -> list[Region]:
    """Without the smallest regions, where a file of `size` bytes has far too many for its size.

    Tens of thousands of small tensors of alternating dtypes would give as many chunks of a few kilobytes: their
    records would outweigh what byte planes save.
    """
    allowed = max(REGIONS_FREE, size // REGION_BYTES_MEAN)
    smallest = THIN_FROM
    while len(regions) > allowed and smallest <= THIN_TO:
        regions = [region for region in regions if region.length >= smallest]
        smallest *= 2
    return regions
