"""Whatever the bytes are: a layout covers the file, cuts cover the layout, and no parser fails in an unforeseen way."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import fastcdc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from holdfast.vault.regions import gguf, npy, npz, safetensors, torch_zip
from holdfast.vault.regions.covering import coalesce, cover
from holdfast.vault.regions.cutting import Cut, cut, cut_and_read
from holdfast.vault.regions.holes import punch
from holdfast.vault.regions.model import BYTES, HOLE, OPAQUE, Element, Kind, Layout, Region, Tensor
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import BytesSource
from holdfast.vault.regions.torch_names import name_tensors
from holdfast.vault.regions.torch_pickle import read_pickle
from holdfast.vault.regions.zip_archives import read_archives

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES = ["x.safetensors", "x.npy", "x.npz", "x.gguf", "x.pt", "caf\udce9"]
F32, F64 = Element(Kind.FLOAT, 4), Element(Kind.FLOAT, 8)
ELEMENTS = [OPAQUE, BYTES, Element(Kind.FLOAT, 2), F32, F64]

many = settings(max_examples=150, deadline=None)


def arrays(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "w": random.standard_normal((9, 7)).astype(np.float32),
        "b": random.standard_normal(5).astype(np.float16),
        "ids": np.arange(6),
        "none": np.zeros((0, 2)),
    }


def npz_file() -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays(3))
    return target.getvalue()


def npy_file() -> bytes:
    target = io.BytesIO()
    np.save(target, arrays(4)["w"])
    return target.getvalue()


SEEDS = [
    save(arrays(1), metadata={"step": "1"}),
    npz_file(),
    npy_file(),
    (FIXTURES / "gguf" / "small.gguf").read_bytes(),
]
SEEDS += [path.read_bytes() for path in sorted((FIXTURES / "torch").iterdir()) if path.suffix in (".pt", ".distcp")]
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 1 << 16, (1 << 31) - 1, 1 << 32, 1 << 60, (1 << 63) - 1, (1 << 64) - 1]
MAGICS = [b"GGUF\3\0\0\0", b"\x93NUMPY\1\0", b"PK\3\4", b"PK\5\6", b"PAR1", b"\x10\0\0\0\0\0\0\0{", b"\x80\2}"]


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A real file with a few bytes, numbers or stretches of it changed."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    # Most structure is at the ends.
    places = st.one_of(st.integers(0, len(data) - 1), st.integers(0, 300), st.integers(len(data) - 300, len(data) - 1))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(places)
        match draw(st.sampled_from(["byte", "number", "cut", "delete", "repeat", "insert"])):
            case "byte":
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "number":
                width = draw(st.sampled_from([2, 4, 8]))
                value = draw(st.sampled_from(INTERESTING)) & ((1 << 8 * width) - 1)
                data[place : place + width] = value.to_bytes(width, "little")
            case "cut":
                del data[place:]
            case "delete":
                del data[place : place + draw(st.integers(1, 100))]
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(1, 2000))]
            case "insert":
                data[place:place] = draw(st.binary(max_size=50))
    return bytes(data)


def check_layout(data: bytes, name: str) -> Layout:
    source = BytesSource(data)
    layout = propose_layout(source, name)
    end = 0
    for region in layout.regions:
        assert region.offset == end
        assert region.length > 0
        assert region.length % region.element.width == 0
        end = region.end
    assert end == len(data)
    for tensor in layout.tensors:
        assert 0 <= tensor.offset <= tensor.offset + tensor.nbytes <= len(data)
        tensor.name.encode()
    assert len({tensor.name for tensor in layout.tensors}) == len(layout.tensors)
    for problem in layout.problems:
        problem.encode()
        assert "the parser" not in problem  # it failed in a way that it does not know of
    check_cuts(layout, data, chunk_bytes=512, opaque_average=1024)
    return layout


def check_cuts(layout: Layout, data: bytes, **sizes: int) -> list[Cut]:
    source = BytesSource(data)
    read = list(cut_and_read(layout, source, **sizes))
    assert [piece for piece, _ in read] == list(cut(layout, source, **sizes))
    end = 0
    for piece, content in read:
        assert piece.offset == end
        assert piece.length > 0
        assert piece.length % piece.element.width == 0
        end += piece.length
        assert content == (b"" if piece.element == HOLE else data[piece.offset : end])
        assert bool(piece.label) == (piece.element.kind in (Kind.INT, Kind.FLOAT))
    assert end == len(data)
    return [piece for piece, _ in read]


@many
@given(st.binary(max_size=3000), st.sampled_from(NAMES))
def test_any_bytes_have_a_layout(data: bytes, name: str) -> None:
    check_layout(data, name)


@many
@given(st.sampled_from(MAGICS), st.binary(max_size=1000), st.sampled_from(MAGICS), st.sampled_from(NAMES))
def test_any_bytes_behind_a_magic_number_have_a_layout(start: bytes, data: bytes, end: bytes, name: str) -> None:
    check_layout(start + data + end + bytes(18), name)


@settings(max_examples=800, deadline=None)
@given(damaged_files(), st.sampled_from(NAMES))
def test_damaged_files_have_a_layout(data: bytes, name: str) -> None:
    check_layout(data, name)


def parse_torch(source: BytesSource) -> Proposal:
    archives = read_archives(source)
    return torch_zip.propose(source, archives) if torch_zip.is_torch(archives) else Proposal("", [], [], [])


def parse_npz(source: BytesSource) -> Proposal:
    archives = read_archives(source)
    return npz.propose(source, archives) if npz.is_npz(archives) else Proposal("", [], [], [])


@pytest.mark.parametrize("parse", [safetensors.parse, npy.parse, gguf.parse, parse_torch, parse_npz])
def test_parsers_decline_only_in_the_two_ways_they_promise(parse: Callable[[BytesSource], Proposal]) -> None:
    @settings(max_examples=200, deadline=None)
    @given(damaged_files())
    def check(data: bytes) -> None:
        try:
            proposal = parse(BytesSource(data))
        except (Malformed, Foreign) as error:
            assert str(error)
        else:
            assert all(span.length % span.element.width == 0 for span in proposal.spans)

    check()


@many
@given(st.binary(max_size=500), st.booleans())
def test_any_pickle_is_read_to_some_end(data: bytes, with_storage: bool) -> None:
    start = (
        b"\x80\x02cm\nn\nq\x00}q\x01"
        + b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000K\0K\x04tQ" * with_storage
    )
    reading = read_pickle(start + data + b".")
    assert all(isinstance(name, str) for name, _ in name_tensors(reading.root))
    assert list(reading.storages) in ([], ["0"])


OPCODES = [*b"(.012NJKMGXUTBCcRbd}el]astu)QqrhjPFIgp", *range(0x80, 0x97)]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(OPCODES), st.sampled_from([b"", b"\0", b"\1", b"\2\0", b"\1\0\0\0a", b"a\nb\n"]))
    )
)
def test_any_row_of_opcodes_is_read_to_some_end(steps: list[tuple[int, bytes]]) -> None:
    reading = read_pickle(b"".join(bytes([opcode]) + argument for opcode, argument in steps) + b".")
    assert list(name_tensors(reading.root)) == []  # no row of these makes a storage


dtypes = st.sampled_from(["<f4", "<f2", "<f8", "<i8", "|u1", "|b1", "<u2", "<i4"])
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@many
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.tuples(dtypes, shapes), max_size=12), st.randoms())
def test_every_tensor_of_a_file_is_found_where_it_was_put(spec, random) -> None:
    spec.pop("__metadata__", None)
    content = {
        name: np.frombuffer(random.randbytes(np.dtype(dtype).itemsize * int(np.prod(shape))), dtype).reshape(shape)
        for name, (dtype, shape) in spec.items()
        if dtype != "|b1"
    }
    data = save(content)
    layout = check_layout(data, "x.safetensors")
    assert layout.problems == []
    found = {tensor.name: data[tensor.offset : tensor.offset + tensor.nbytes] for tensor in layout.tensors}
    assert found == {name: array.tobytes() for name, array in content.items()}


@st.composite
def span_lists(draw: st.DrawFn) -> tuple[int, list[Region]]:
    """A size, and spans of whole elements that do not overlap, in any order."""
    spans, end = [], 0
    for gap, count, element in draw(
        st.lists(st.tuples(st.integers(0, 40) | st.integers(900, 1100), st.integers(0, 60), st.sampled_from(ELEMENTS)))
    ):
        spans.append(Region(end + gap, count * element.width, element))
        end = spans[-1].end
    return end + draw(st.integers(0, 50)), draw(st.permutations(spans))


@many
@given(span_lists())
def test_covering_loses_and_invents_nothing(case: tuple[int, list[Region]]) -> None:
    size, spans = case
    covered = cover(size, spans)
    assert [(region.offset, region.end) for region in covered][1:] == [
        (before.end, after.end) for before, after in pairwise(covered)
    ]
    assert sum(region.length for region in covered) == size
    assert set(covered) >= {span for span in spans if span.length and span.element != OPAQUE}
    assert all(a.element != OPAQUE or b.element != OPAQUE for a, b in pairwise(covered))


@many
@given(span_lists())
def test_merging_keeps_every_span_on_a_grid_of_its_type(case: tuple[int, list[Region]]) -> None:
    size, spans = case
    merged = coalesce(spans)
    cover(size, merged)
    for span in spans:
        holders = [region for region in merged if region.offset <= span.offset and span.end <= region.end]
        if span.length:
            (region,) = holders
            same = region.element == span.element and (span.offset - region.offset) % span.element.width == 0
            assert same or span.length < 1024  # only what fits in a gap may be taken for another type


@many
@given(span_lists(), st.lists(st.tuples(st.integers(1, 60), st.integers(1, 300)), max_size=6))
def test_punching_changes_only_what_lies_in_holes(case: tuple[int, list[Region]], steps: list[tuple[int, int]]) -> None:
    size, spans = case
    layout = Layout("x", cover(size, spans), [], [])
    holes, end = [], 0
    for gap, length in steps:
        holes.append((end + gap, length))
        end += gap + length
    punched = punch(layout, holes).regions
    assert sum(region.length for region in punched) == size
    starts = {region.offset: region for region in layout.regions}
    before = None
    for region in punched:
        before = starts.get(region.offset, before)
        if region.element == HOLE:
            continue
        holder = next(old for old in layout.regions if old.offset <= region.offset and region.end <= old.end)
        assert holder.element == region.element
        assert (region.offset - holder.offset) % holder.element.width == 0
        assert region.length % holder.element.width == 0
    in_holes = {place for offset, length in holes for place in range(offset, min(size, offset + length))}
    for region in punched:
        if region.element == HOLE:
            assert in_holes.issuperset(range(region.offset, region.end))
    check_cuts(Layout("x", punched, [], []), bytes(size), chunk_bytes=64)


@many
@given(st.lists(st.integers(1, 90), min_size=1, max_size=20), st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_what_is_appended_moves_no_boundary_before_the_last_chunk(counts: list[int], more: list[int]) -> None:
    def cuts(sizes: list[int]) -> list[Cut]:
        tensors, end = [], 0
        for index, count in enumerate(sizes):
            tensors.append(Tensor(f"t{index}", "f32", (count,), end, 4 * count))
            end += 4 * count
        return check_cuts(Layout("x", [Region(0, end, F32)], tensors, []), bytes(end), chunk_bytes=160)

    before, after = cuts(counts), cuts(counts + more)
    assert after[: len(before) - 1] == before[:-1]
    assert [piece.label for piece in after[: len(before)]] == [piece.label for piece in before]
    assert len({piece.label for piece in after}) == len(after)
    starts = {0}
    for count in counts + more:
        starts.add(max(starts) + 4 * count)
    large = {piece.offset for piece in after if not piece.label.endswith("@0")}
    assert {piece.offset for piece in after} - large <= starts  # a tensor that fits in a chunk is never split
    assert all((counts + more)[int(piece.label[1:].split("@")[0])] > 40 for piece in after if piece.offset in large)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200_000), st.sampled_from([1024, 1500, 4096]), st.integers(0, 255), st.randoms())
def test_streamed_cuts_are_those_of_the_whole(size: int, average: int, mask: int, random) -> None:
    data = (np.frombuffer(random.randbytes(size), np.uint8) & mask).tobytes()
    layout = Layout("opaque", cover(size, []), [], [])
    cuts = check_cuts(layout, data, opaque_average=average)
    whole = fastcdc.fastcdc(data, average // 4, average, average * 4, fat=False)
    assert [(piece.offset, piece.length) for piece in cuts] == [(chunk.offset, chunk.length) for chunk in whole]


def test_numbers_in_headers_are_not_believed() -> None:
    """Each 8 bytes of the first and last stretch of each file, replaced by huge and by negative numbers."""
    for data in SEEDS:
        places = {*range(0, min(200, len(data) - 8), 4), *range(max(0, len(data) - 200), len(data) - 8, 4)}
        for place in places:
            for value in (1 << 60, (1 << 64) - 1, 1 << 31):
                check_layout(data[:place] + struct.pack("<Q", value) + data[place + 8 :], "x.pt")
