from __future__ import annotations

import json
import struct

import pytest
from region_files import BF16, F32, FIXTURES, elements_at, gguf_file, gguf_text, layout_of

from holdfast.vault.regions.gguf import parse
from holdfast.vault.regions.model import BYTES, DTYPES
from holdfast.vault.regions.proposal import Foreign, Malformed
from holdfast.vault.regions.source import BytesSource

STRING_ARRAY = struct.pack("<II", 9, 8)


def test_tensors_lie_where_the_reference_reader_finds_them() -> None:
    layout = layout_of((FIXTURES / "gguf" / "small.gguf").read_bytes(), "small.gguf")
    expected = json.loads((FIXTURES / "gguf" / "expected.json").read_text())
    assert (layout.format, layout.problems) == ("gguf", [])
    found = [
        {"name": t.name, "dtype": t.dtype, "shape": list(t.shape), "offset": t.offset, "nbytes": t.nbytes}
        for t in layout.tensors
    ]
    assert found == sorted(expected, key=lambda tensor: tensor["offset"])
    assert len({tensor.dtype for tensor in layout.tensors} - DTYPES.keys()) == 26  # the block-quantised types


@pytest.mark.parametrize("version", [2, 3])
def test_shapes_are_turned_round_and_elements_known(version: int) -> None:
    data = gguf_file([("a", (32, 4), 0, 0), ("b", (8,), 30, 512), ("q", (256,), 12, 544)], bytes(688), version=version)
    layout = layout_of(data)
    assert [(tensor.name, tensor.dtype, tensor.shape, tensor.nbytes) for tensor in layout.tensors] == [
        ("a", "f32", (4, 32), 512),
        ("b", "bf16", (8,), 16),
        ("q", "q4_k", (256,), 144),
    ]
    assert [elements_at(layout, tensor.offset) for tensor in layout.tensors] == [F32, BF16, BYTES]


def test_metadata_of_all_types_are_walked_over() -> None:
    scalars = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    values = [gguf_text(f"key{kind}") + struct.pack("<I", kind) + bytes(size) for kind, size in scalars.items()]
    values += [gguf_text(f"array{k}") + struct.pack("<IIQ", 9, k, 3) + bytes(3 * size) for k, size in scalars.items()]
    values.append(gguf_text("texts") + STRING_ARRAY + struct.pack("<Q", 2) + gguf_text("one") + gguf_text("zwölf"))
    values.append(gguf_text("text") + struct.pack("<I", 8) + gguf_text("x" * 3_000_000))
    data = gguf_file([("a", (8,), 0, 0)], bytes(32), values=values)
    (tensor,) = layout_of(data).tensors
    assert tensor.offset == len(data) - 32


def test_a_type_of_the_future_leaves_the_other_tensors_alone() -> None:
    layout = layout_of(gguf_file([("new", (64,), 999, 0), ("old", (8,), 0, 128)], bytes(160)))
    assert [tensor.name for tensor in layout.tensors] == ["old"]
    assert layout.problems == []


def test_a_truncated_file_keeps_what_is_there() -> None:
    data = gguf_file([("a", (64,), 0, 0), ("b", (64,), 0, 256)], bytes(512))
    layout = layout_of(data[:-100], "x.gguf")
    assert [tensor.name for tensor in layout.tensors] == ["a"]
    assert layout.problems == ["truncated: 100 bytes are missing"]
    assert elements_at(layout, len(data) - 120) == F32


@pytest.mark.parametrize("start", [b"GGUF" + struct.pack("<I", 1), b"GGUF" + struct.pack(">I", 3)])
def test_other_versions_and_byte_orders_are_foreign_but_no_finding(start: bytes) -> None:
    with pytest.raises(Foreign):
        parse(BytesSource(start + bytes(100)))
    assert layout_of(start + bytes(100), "x.gguf").problems == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GGUF", "truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "claims 1152921504606846976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1 << 60), "a name in its header"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("k") + STRING_ARRAY + struct.pack("<Q", 1 << 60),
            "truncated",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("k") + struct.pack("<I", 99), "unknown type 99"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("k") + struct.pack("<III", 9, 9, 9) + bytes(4),
            "array holds",
        ),
        (gguf_file([("a", (1 << 60, 1 << 60), 0, 0)], b""), "larger than its file"),
        (gguf_file([("a", (1,) * 5, 0, 0)], b""), "5 dimensions"),
        (gguf_file([("a", (33,), 8, 0)], bytes(100)), "no whole blocks"),
        (gguf_file([], b"", values=[gguf_text("general.alignment") + struct.pack("<II", 4, 3)]), "alignment is 3"),
        (gguf_file([], b"", values=[gguf_text("general.alignment") + struct.pack("<II", 4, 0)]), "alignment is 0"),
    ],
)
def test_broken_headers_are_findings(data: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse(BytesSource(data))
    layout = layout_of(data, "model")
    assert (layout.format, len(layout.problems)) == ("opaque", 1)


def test_overlapping_tensors_are_a_finding() -> None:
    layout = layout_of(gguf_file([("a", (64,), 0, 0), ("b", (64,), 1, 128)], bytes(512)))
    assert layout.format == "opaque"
    assert "overlap" in layout.problems[0]
