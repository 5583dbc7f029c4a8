from __future__ import annotations

import pytest
from region_files import BF16, F32, I64, check_cover

from holdfast.vault.regions.covering import GAP_BYTES, REGIONS_FREE, coalesce, cover, thin
from holdfast.vault.regions.model import BYTES, OPAQUE, Region
from holdfast.vault.regions.proposal import Malformed


def test_gaps_become_opaque_and_order_is_restored() -> None:
    assert cover(100, [Region(60, 8, F32), Region(10, 20, BYTES)]) == [
        Region(0, 10, OPAQUE),
        Region(10, 20, BYTES),
        Region(30, 30, OPAQUE),
        Region(60, 8, F32),
        Region(68, 32, OPAQUE),
    ]


def test_nothing_is_one_opaque_region_and_an_empty_file_has_none() -> None:
    assert cover(5, []) == [Region(0, 5, OPAQUE)]
    assert cover(0, []) == []
    assert cover(0, [Region(0, 0, F32)]) == []


def test_part_of_an_element_goes_to_an_opaque_region() -> None:
    assert cover(20, [Region(4, 11, F32)]) == [Region(0, 4, OPAQUE), Region(4, 8, F32), Region(12, 8, OPAQUE)]
    assert cover(3, [Region(0, 3, F32)]) == [Region(0, 3, OPAQUE)]


def test_opaque_neighbours_are_one() -> None:
    assert cover(30, [Region(5, 10, OPAQUE), Region(15, 5, OPAQUE)]) == [Region(0, 30, OPAQUE)]


@pytest.mark.parametrize(
    ("regions", "sentence"),
    [
        ([Region(0, 8, F32), Region(4, 8, F32)], "overlap at byte 4"),
        ([Region(0, 8, F32), Region(0, 8, F32)], "overlap at byte 0"),
        ([Region(-4, 8, F32)], "overlap at byte -4"),
        ([Region(8, 16, F32)], "ends at byte 24 of 20"),
    ],
)
def test_overlaps_and_overruns_are_rejected(regions: list[Region], sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        cover(20, regions)


def test_neighbours_of_one_type_are_merged_over_small_gaps_on_one_grid() -> None:
    near = [Region(0, 40, F32), Region(100, 40, F32), Region(140, 4, F32)]
    assert coalesce(near) == [Region(0, 144, F32)]
    assert coalesce([Region(0, 40, F32), Region(101, 40, F32)]) == [Region(0, 40, F32), Region(101, 40, F32)]
    assert coalesce([Region(0, 40, F32), Region(100, 40, BF16)]) == [Region(0, 40, F32), Region(100, 40, BF16)]
    wide = [Region(0, 40, F32), Region(40 + GAP_BYTES, 40, F32)]
    assert coalesce(wide) == wide


def test_a_small_tensor_of_another_type_is_part_of_the_gap() -> None:
    spans = [Region(0, 4000, F32), Region(4064, 8, I64), Region(4128, 4000, F32), Region(8192, 8, I64)]
    assert coalesce(spans) == [Region(0, 8128, F32), Region(8192, 8, I64)]


def test_overlapping_spans_are_malformed() -> None:
    with pytest.raises(Malformed, match="overlap at byte 4"):
        coalesce([Region(0, 8, F32), Region(4, 8, BF16)])


def test_far_too_many_small_regions_are_dropped_and_a_few_are_not() -> None:
    few = [Region(index * 4096, 512, F32) for index in range(REGIONS_FREE)]
    assert thin(REGIONS_FREE * 4096, few) == few
    many = [Region(index * 4096, 2048, F32) for index in range(REGIONS_FREE)] + [Region(1 << 26, 1 << 20, BF16)]
    assert thin(1 << 27, many) == [Region(1 << 26, 1 << 20, BF16)]
    check_cover(cover(1 << 27, thin(1 << 27, many)), 1 << 27)
