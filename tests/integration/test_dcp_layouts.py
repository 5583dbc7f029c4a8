"""What ranks say of their files, and where the same elements lie in those of other ranks. No torch is needed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.training.dcp.layout import (
    FORMAT,
    RankLayout,
    TensorItem,
    check_layouts,
    encode_layout,
    layout_name,
    parse_layout,
    tensors_name,
)
from holdfast.training.dcp.regions import Box, KnownRegions, box_name, on_grid
from holdfast.vault.format.records import Entry, TensorRecord
from holdfast.vault.regions.cutting import cut
from holdfast.vault.regions.model import DTYPES, OPAQUE, Layout, Region, Tensor
from holdfast.vault.regions.source import BytesSource

ROWS, COLUMNS = 2048, 512  # of float32: 4 MiB


def item(rank: int, **changes: Any) -> TensorItem:
    whole = TensorItem(
        "w", ["w"], "float32", [4, 2], [2 * rank, 0], [2, 2], tensors_name("w", rank, 2), f"w#{2 * rank},0"
    )
    return msgspec.structs.replace(whole, **changes)


def layouts(*items: TensorItem) -> list[RankLayout]:
    return [RankLayout(FORMAT, rank, len(items), [one], []) for rank, one in enumerate(items)]


def test_ranks_that_fill_a_tensor() -> None:
    check_layouts(layouts(item(0), item(1)), "x")
    check_layouts([*layouts(item(0, offsets=[0, 0], sizes=[4, 2]))], "x")
    empty = item(1, offsets=[4, 0], sizes=[0, 2])
    check_layouts(layouts(item(0, sizes=[4, 2]), empty), "x")
    check_layouts(layouts(item(0, sizes=[4, 2]), item(0, sizes=[4, 2])), "x")  # ranks that do not talk: twice the same


@pytest.mark.parametrize(
    "found",
    [
        layouts(item(0), item(0)),  # a gap
        layouts(item(0, sizes=[3, 2]), item(1, offsets=[2, 0], sizes=[1, 2])),  # an overlap, and a gap
        layouts(item(0, sizes=[3, 2]), item(1)),
        layouts(item(0), item(1, dtype="float16")),
        layouts(item(0), item(1, shape=[4, 3])),
        layouts(item(0), item(1, path=["other"])),
        layouts(item(0), item(1))[:1],  # a rank is missing
        [*layouts(item(0), item(1))[:1]] * 2,
        [RankLayout(FORMAT, 0, 1, [], []), RankLayout(FORMAT, 1, 2, [], [])],
    ],
)
def test_ranks_that_do_not(found: list[RankLayout]) -> None:
    with pytest.raises(DamageError):
        check_layouts(found, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"offsets": [0]},
        {"sizes": [5, 2]},
        {"offsets": [-1, 0]},
        {"shape": [1 << 62, 2]},
        {"shape": [4] * 65, "offsets": [0] * 65, "sizes": [1] * 65},
        {"offsets": [3, 0]},
    ],
)
def test_boxes_that_cannot_be(changes: dict[str, Any]) -> None:
    data = encode_layout(RankLayout(FORMAT, 0, 1, [item(0, **changes)], []))
    with pytest.raises(DamageError, match="impossible"):
        parse_layout(data, layout_name(0, 1))


def test_layouts_of_others() -> None:
    name = layout_name(1, 2)
    good = RankLayout(FORMAT, 1, 2, [], [])
    assert parse_layout(encode_layout(good), name) == good
    with pytest.raises(DamageError, match="another rank"):
        parse_layout(encode_layout(good), layout_name(0, 2))
    with pytest.raises(UnsupportedFormatError):
        parse_layout(encode_layout(msgspec.structs.replace(good, format="holdfast-dcp-2")), name)
    for junk in (b"", b"{}", b"[]", b"\x80\x02.", encode_layout(good)[:-2]):
        with pytest.raises(DamageError):
            parse_layout(junk, name)


def share(rank: int, world: int, axis: int = 0) -> Box:
    shape = (ROWS, COLUMNS)
    size = shape[axis] // world
    offsets, sizes = [0, 0], list(shape)
    offsets[axis], sizes[axis] = rank * size, size
    return Box("w", "f32", 4, shape, (offsets[0], offsets[1]), (sizes[0], sizes[1]))


def entry_of(box: Box) -> Entry:
    """A file with that share behind a header of 8 bytes, cut as it would be; chunks are called by what they hold."""
    name, size = box_name(box), box.nbytes + 8
    layout = Layout(
        "safetensors",
        [Region(0, 8, OPAQUE), Region(8, box.nbytes, DTYPES["f32"])],
        [Tensor(name, "f32", box.sizes, 8, box.nbytes)],
        [],
    )
    cuts = list(cut(on_grid(layout, {name: box}), BytesSource(bytes(size))))
    ids = [(box.start + one.offset).to_bytes(32, "big") for one in cuts]
    tensor = TensorRecord(name, "f32", list(box.sizes), 8, box.nbytes, False, None, 0)
    runs = [(8, 0, 1, 1), (box.nbytes, 2, 4, len(cuts) - 1)]
    lengths = b"".join(one.length.to_bytes(4, "little") for one in cuts)
    return Entry(b"f", "file", 0, 0, size, b"", "safetensors", runs, b"".join(ids), lengths, [tensor])


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4), (1, 8), (8, 1), (3, 4), (4, 4)])
def test_chunks_are_found_again_when_a_tensor_is_cut_over_other_ranks(before: int, after: int) -> None:
    known = KnownRegions(entry_of(share(rank, before)) for rank in range(before))
    found = total = 0
    for rank in range(after):
        box = share(rank, after)
        entry = entry_of(box)
        candidates = known.candidates({box_name(box): box}, {box_name(box): "f32"})
        lengths = [int.from_bytes(entry.lengths[at : at + 4], "little") for at in range(4, len(entry.lengths), 4)]
        place = 0
        for length in lengths:
            candidate = candidates.get(f"{box_name(box)}@{place}")
            if candidate is not None and candidate[1] == length:
                assert int.from_bytes(candidate[0], "big") == box.start + 8 + place, "the same elements"
                found += length
            total += length
            place += length
    assert found == total if before != 3 else found > total // 2


def test_columns_are_not_taken_for_rows() -> None:
    known = KnownRegions(entry_of(share(rank, 2, axis=1)) for rank in range(2))
    rows = share(0, 2)
    assert not known.candidates({box_name(rows): rows}, {box_name(rows): "f32"})
    columns = share(1, 2, axis=1)
    assert known.candidates({box_name(columns): columns}, {box_name(columns): "f32"})
    other = KnownRegions([entry_of(share(0, 2, axis=1))])
    assert not other.candidates({box_name(columns): columns}, {box_name(columns): "f32"})
