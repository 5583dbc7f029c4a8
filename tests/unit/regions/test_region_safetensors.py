from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from region_files import BF16, F32, elements_at, entry, layout_of, safetensors_file, weights
from safetensors import deserialize
from safetensors.numpy import save

from holdfast.vault.regions.model import DTYPES, OPAQUE, Region, Tensor
from holdfast.vault.regions.proposal import Malformed
from holdfast.vault.regions.safetensors import HEADER_BYTES_MAX, looks_like, parse
from holdfast.vault.regions.source import BytesSource

BITS = {
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0"], 8),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "C64": 64,
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["F64", "I64", "U64"], 64),
}


def test_tensors_lie_where_the_reference_implementation_puts_them() -> None:
    arrays = {
        "layer.weight": weights(600).reshape(20, 30),
        "layer.bias": weights(30),
        "half": weights(64).astype(np.float16),
        "brain": weights(50).astype(ml_dtypes.bfloat16),
        "ids": np.arange(77, dtype=np.int64),
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False, True]),
        "complex": (weights(6) + 1j).astype(np.complex64),
    }
    data = save(arrays, metadata={"format": "pt", "shape": "not a list"})
    layout = layout_of(data, "model.safetensors")
    assert layout.format == "safetensors"
    assert layout.problems == []
    tensors = {tensor.name: tensor for tensor in layout.tensors}
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        tensor = tensors[name]
        assert data[tensor.offset : tensor.offset + tensor.nbytes] == array.tobytes()
        assert tensor.shape == array.shape
    assert tensors["brain"].dtype == "bf16"
    assert elements_at(layout, tensors["layer.weight"].offset) == F32
    assert elements_at(layout, tensors["ids"].offset) == DTYPES["i64"]


@pytest.mark.parametrize("dtype", BITS)
def test_every_dtype_of_the_format_is_known(dtype: str) -> None:
    nbytes = 8 * BITS[dtype] // 8
    data = safetensors_file({"t": entry(dtype, [2, 4], 0, nbytes)}, bytes(range(nbytes)))
    deserialize(data)  # the reference implementation agrees that this is such a file
    layout = layout_of(data, "x.safetensors")
    assert layout.problems == []
    assert layout.tensors == [Tensor("t", dtype.lower(), (2, 4), len(data) - nbytes, nbytes)]
    assert elements_at(layout, len(data) - nbytes) == DTYPES[dtype.lower()]


def test_a_truncated_file_keeps_the_regions_that_are_there_and_says_what_is_missing() -> None:
    whole = save({"a": weights(1000), "b": weights(1000)})
    layout = layout_of(whole[:-1001], "x.safetensors")
    assert layout.problems == ["truncated: 1001 bytes are missing"]
    assert [tensor.name for tensor in layout.tensors] == ["a"]
    assert layout.regions[1] == Region(len(whole) - 8000, 6996, F32)


def test_bytes_behind_the_last_tensor_are_a_finding() -> None:
    layout = layout_of(save({"a": weights(10)}) + b"tail", "x.safetensors")
    assert layout.problems == ["4 bytes follow the last tensor"]
    assert layout.regions[-1].element == OPAQUE


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "shorter than the length of a header"),
        (struct.pack("<Q", HEADER_BYTES_MAX + 1) + b"{}", "header claims 100000001 bytes"),
        (struct.pack("<Q", 1 << 63) + b"{}", "header claims"),
        (struct.pack("<Q", 100) + b"{}", "header is truncated: 98 bytes are missing"),
        (safetensors_file(b"{" * 100, b""), "not the JSON"),
        (safetensors_file(b"[" * 100_000, b""), "not the JSON"),
        (safetensors_file(b'{"a": 1}', b""), "not the JSON"),
        (safetensors_file(b'{"\xff": {}}', b""), "not the JSON"),
        (safetensors_file(b'{"a": {}}', b""), "unknown dtype"),
        (safetensors_file({"a": entry("F128", [1], 0, 16)}, bytes(16)), "unknown dtype 'F128'"),
        (safetensors_file({"a": entry("F32", [2], 0, 4)}, bytes(4)), "larger than its file|does not fit"),
        (safetensors_file({"a": entry("F32", [1 << 60] * 60, 0, 4)}, bytes(4)), "larger than its file"),
        (safetensors_file({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4)), "65 dimensions"),
        (safetensors_file({"a": entry("F32", [-1, -1], 0, 4)}, bytes(4)), "negative"),
        (safetensors_file({"a": entry("F32", [1], 4, 0)}, bytes(4)), "impossible offsets"),
        (safetensors_file({"a": entry("F32", [1], 4, 8)}, bytes(8)), "begins at byte"),
        (safetensors_file({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6)), "begins at byte"),
        (safetensors_file(b'{"a": {"dtype": "U8", "shape": "", "data_offsets": ""}}', b""), "lacks its shape"),
        (safetensors_file(b'{"a": {"dtype": "U8", "shape": [' + b"1," * 9_000_000 + b"1]}}", b""), "too many"),
    ],
)
def test_broken_headers_are_malformed(data: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse(BytesSource(data))
    layout = layout_of(data, "x.safetensors")
    assert layout.format == "opaque"
    assert len(layout.problems) == 1
    assert layout.problems[0].startswith("not a sound safetensors file: ")


def test_without_the_name_a_broken_header_is_no_finding() -> None:
    data = safetensors_file(b'{"a": 1}', bytes(100))
    assert looks_like(data[:16], len(data))
    assert layout_of(data, "unknown.bin").problems == []


def test_many_small_tensors_share_a_region() -> None:
    layout = layout_of(save({f"layer.{index}": weights(16, index) for index in range(20_000)}), "x.safetensors")
    assert len(layout.tensors) == 20_000
    assert len(layout.regions) == 2


def test_dtypes_that_alternate_keep_their_own_regions() -> None:
    header = {"a": entry("F32", [512], 0, 2048), "b": entry("BF16", [1024], 2048, 4096)}
    layout = layout_of(safetensors_file(header, bytes(4096)), "x.safetensors")
    assert [region.element for region in layout.regions[1:]] == [F32, BF16]
