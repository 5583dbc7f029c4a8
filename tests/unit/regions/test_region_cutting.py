from __future__ import annotations

import os
import random
import tracemalloc

import fastcdc
import pytest
from region_files import BF16, F32, entry, labels_of, safetensors_file, weights

from holdfast.errors import SourceChangedError, UsageError
from holdfast.vault.regions.cutting import CHUNK_BYTES, OPAQUE_AVERAGE, Cut, cut, cut_and_read
from holdfast.vault.regions.holes import punch
from holdfast.vault.regions.model import HOLE, OPAQUE, Element, Layout, Region, Tensor
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import BytesSource


def floats(sizes: dict[str, int]) -> bytes:
    """A safetensors file of one-dimensional float32 tensors, with so many elements each."""
    header, end = {}, 0
    for name, count in sizes.items():
        header[name] = entry("F32", [count], end, end + 4 * count)
        end += 4 * count
    return safetensors_file(header, weights(end // 4).tobytes())


def tensor_labels(sizes: dict[str, int], chunk_bytes: int = 4096) -> list[str]:
    return [label for label in labels_of(floats(sizes), "x.safetensors", chunk_bytes=chunk_bytes) if label]


def plain(regions: list[Region], tensors: list[Tensor] | None = None) -> Layout:
    return Layout("x", regions, tensors or [], [])


def opaque(data: bytes) -> Layout:
    return plain([Region(0, len(data), OPAQUE)])


def random_bytes(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count)


def check(layout: Layout, data: bytes, **sizes: int) -> list[Cut]:
    """The cuts, which are checked to cover the file and to agree with what is read."""
    source = BytesSource(data)
    cuts = list(cut(layout, source, **sizes))
    read = list(cut_and_read(layout, source, **sizes))
    assert [piece for piece, _ in read] == cuts
    end = 0
    for piece, content in read:
        assert piece.offset == end
        end += piece.length
        assert content == (b"" if piece.element == HOLE else data[piece.offset : end])
    assert end == len(data)
    return cuts


def test_large_tensors_are_cut_on_a_grid_from_their_start() -> None:
    assert tensor_labels({"a": 2500, "b": 1024}) == ["a@0", "a@4096", "a@8192", "b@0"]


def test_small_neighbours_share_a_chunk_and_are_never_split() -> None:
    assert tensor_labels({"a": 300, "b": 300, "c": 300, "d": 200, "e": 500}) == ["a@0", "d@0"]
    assert tensor_labels({"a": 1, "b": 1024, "c": 1}) == ["a@0", "b@0", "c@0"]


def test_the_rest_of_a_large_tensor_takes_small_neighbours_in() -> None:
    assert tensor_labels({"w": 1500, "bias": 10, "v": 900}) == ["w@0", "w@4096", "v@0"]


def test_what_follows_moves_no_earlier_boundary() -> None:
    sizes = {"a": 300, "b": 2500, "c": 20, "d": 900, "e": 7}
    before = tensor_labels(sizes)
    after = tensor_labels({**sizes, "f": 5000, "g": 3})
    assert after[: len(before)] == before


def test_a_tensor_that_is_inserted_renames_only_its_surroundings() -> None:
    before = tensor_labels({"a": 1500, "b": 2000, "c": 3000})
    after = tensor_labels({"a": 1500, "new": 2000, "b": 2000, "c": 3000})
    assert set(before) < set(after)


def test_header_length_does_not_reach_the_labels() -> None:
    data = weights(3000).tobytes()
    header = {"w": entry("F32", [3000], 0, 12000)}
    short = labels_of(safetensors_file(header, data), "x.safetensors", chunk_bytes=4096)
    padded = safetensors_file({"__metadata__": {"step": "1000" * 99}, **header}, data)
    assert labels_of(padded, "x.safetensors", chunk_bytes=4096) == short


def test_elements_without_tensors_are_labelled_by_their_place() -> None:
    data = weights(1 << 19).tobytes()
    assert labels_of(b"x" + data, "dump", chunk_bytes=1 << 20) == ["", "#1", "#1048577"]


def test_views_cut_at_their_starts_and_the_longest_leads() -> None:
    tensors = [
        Tensor("alias", "f32", (5,), 0, 20),
        Tensor("flat", "f32", (100,), 0, 400),
        Tensor("none", "f32", (0,), 200, 0),
        Tensor("view", "f32", (25,), 200, 100),
        Tensor("odd", "u8", (9,), 301, 9),
    ]
    cuts = check(plain([Region(0, 400, F32)], tensors), bytes(400), chunk_bytes=160)
    assert [(piece.offset, piece.label) for piece in cuts] == [
        (0, "flat@0"),
        (160, "flat@160"),
        (200, "view@0"),
        (360, "view@160"),
    ]


def test_of_tied_tensors_the_first_by_name_leads_always() -> None:
    data = weights(100).tobytes()
    tied = [Tensor(name, "f32", (100,), 0, 400) for name in ("head.weight", "wte.weight")]
    assert [piece.label for piece in check(plain([Region(0, 400, F32)], tied), data)] == ["head.weight@0"]


def test_behind_a_hole_chunks_return_to_the_grid_of_their_tensor() -> None:
    data = weights(10_000).tobytes()
    tensor = Tensor("w", "f32", (10_000,), 0, 40_000)
    whole = plain([Region(0, 40_000, F32)], [tensor])
    sparse = bytes(data[:10_000]) + bytes(10_000) + bytes(data[20_000:])
    cuts = check(punch(whole, [(10_000, 10_000)]), sparse, chunk_bytes=4096)
    before = check(whole, data, chunk_bytes=4096)
    assert [piece for piece in cuts if piece.offset >= 20_480] == [p for p in before if p.offset >= 20_480]
    assert Cut(10_000, 10_000, HOLE, "") in cuts
    assert Cut(20_000, 480, F32, "w@20000") in cuts


def test_chunks_hold_whole_elements_and_respect_the_limit() -> None:
    data = floats({f"t{index}": count for index, count in enumerate([1, 5000, 3, 1023, 1024, 1025, 7, 12_000])})
    cuts = check(propose_layout(BytesSource(data), "x.safetensors"), data, chunk_bytes=4096)
    assert all(piece.length % 4 == 0 and piece.length <= 4096 for piece in cuts if piece.element == F32)


def test_a_region_behind_another_type_does_not_take_its_label() -> None:
    tensors = [Tensor("a", "f32", (10,), 0, 40), Tensor("late", "bf16", (4,), 50, 8)]
    cuts = check(plain([Region(0, 40, F32), Region(40, 20, BF16)], tensors), bytes(60))
    assert [piece.label for piece in cuts] == ["a@0", "#40"]


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 30_000, 100_000, 333_333])
def test_opaque_cuts_are_those_of_the_whole_region(size: int) -> None:
    data = random_bytes(size, 1)
    cuts = check(opaque(data) if size else plain([]), data, opaque_average=4096)
    expected = [(c.offset, c.length) for c in fastcdc.fastcdc(data, 1024, 4096, 16384, fat=False)] if size else []
    assert [(piece.offset, piece.length) for piece in cuts] == expected
    assert {piece.label for piece in cuts} <= {""}


def test_opaque_cuts_of_the_default_size_are_those_of_the_whole_region() -> None:
    data = random_bytes(30 << 20, 2) + bytes(20 << 20)
    cuts = check(opaque(data), data)
    expected = [(c.offset, c.length) for c in fastcdc.fastcdc(data, 256 << 10, 1 << 20, 4 << 20, fat=False)]
    assert [(piece.offset, piece.length) for piece in cuts] == expected
    assert (CHUNK_BYTES, OPAQUE_AVERAGE) == (4 << 20, 1 << 20)


def test_small_opaque_regions_are_one_chunk() -> None:
    data = random_bytes(256 << 10, 3)
    assert len(check(opaque(data), data)) == 1


def test_an_insertion_near_the_front_moves_only_the_next_cuts() -> None:
    data = random_bytes(600_000, 4)
    longer = data[:5000] + b"a few bytes more" + data[5000:]
    before = {bytes_ for _, bytes_ in cut_and_read(opaque(data), BytesSource(data), opaque_average=8192)}
    after = [bytes_ for _, bytes_ in cut_and_read(opaque(longer), BytesSource(longer), opaque_average=8192)]
    new = [chunk for chunk in after if chunk not in before]
    assert len(after) > 40
    assert len(new) <= 5


def test_only_opaque_regions_are_read_for_a_plan() -> None:
    class Guarded(BytesSource):
        def read_at(self, offset: int, length: int) -> bytes:
            assert offset >= 400_000
            return super().read_at(offset, length)

    data = bytes(400_000) + random_bytes(100_000, 5)
    layout = plain([Region(0, 300_000, F32), Region(300_000, 100_000, HOLE), Region(400_000, 100_000, OPAQUE)])
    assert sum(piece.length for piece in cut(layout, Guarded(data))) == len(data)


def test_memory_stays_bounded() -> None:
    class Endless:
        """48 MiB that are made when they are read."""

        size = 48 << 20
        block = random_bytes(1 << 20, 6)

        def read_at(self, offset: int, length: int) -> bytes:
            start = offset % (1 << 20)
            return (self.block * (length // (1 << 20) + 2))[start : start + length]

    source = Endless()
    layout = plain([Region(0, 24 << 20, OPAQUE), Region(24 << 20, 24 << 20, F32)])
    tracemalloc.start()
    try:
        total = sum(len(data) for _, data in cut_and_read(layout, source))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == source.size
    assert peak < 36 << 20  # the buffer of 8 MiB, its successor, a chunk, and what this source itself holds


@pytest.mark.parametrize("element", [OPAQUE, F32])
def test_a_file_that_shrank_is_noticed(element: Element) -> None:
    layout = plain([Region(0, 1000, element)])
    with pytest.raises(SourceChangedError, match="ended at byte 600"):
        list(cut_and_read(layout, BytesSource(os.urandom(600))))


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 0}, {"chunk_bytes": 12}, {"opaque_average": 512}])
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        list(cut(plain([]), BytesSource(b""), **sizes))
