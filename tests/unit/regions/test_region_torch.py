from __future__ import annotations

import json
import struct
import zipfile
from typing import Any

import pytest
from region_files import (
    BF16,
    F32,
    FIXTURES,
    I64,
    Call,
    Persistent,
    StorageKind,
    elements_at,
    layout_of,
    tensor_call,
    torch_file,
    torch_pickle,
    weights,
    zip_file,
)

from holdfast.vault.regions import torch_pickle as reader
from holdfast.vault.regions.model import DTYPES, OPAQUE
from holdfast.vault.regions.torch_names import name_tensors
from holdfast.vault.regions.torch_pickle import read_pickle
from holdfast.vault.regions.torch_symbols import TensorRef

TORCH = FIXTURES / "torch"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((TORCH / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - {"shard.distcp"}))
def test_tensors_lie_where_pytorch_finds_them(name: str) -> None:
    layout = layout_of((TORCH / name).read_bytes(), name)
    assert (layout.format, layout.problems) == ("torch-zip", [])
    tensors = {tensor.name: tensor for tensor in layout.tensors}
    for expected in EXPECTED[name]:
        if expected["order"] == "strided":
            assert expected["name"] not in tensors
            continue
        tensor = tensors[expected["name"]]
        assert (tensor.dtype, list(tensor.shape), tensor.nbytes) == (
            expected["dtype"],
            expected["shape"],
            expected["nbytes"],
        )
        assert tensor.fortran == (expected["order"] == "F")
        if expected["offset"] is not None:
            assert tensor.offset == expected["offset"]


def test_storages_that_only_strided_views_see_are_given_whole() -> None:
    tensors = {tensor.name: tensor for tensor in layout_of((TORCH / "views.pt").read_bytes()).tensors}
    assert (tensors["data/4"].dtype, tensors["data/4"].shape) == ("f64", (64,))
    assert (tensors["data/1"].dtype, tensors["data/1"].shape) == ("f32", (8,))


def test_the_dense_parts_of_a_sparse_tensor_are_found() -> None:
    tensors = {tensor.name: tensor for tensor in layout_of((TORCH / "wrapped.pt").read_bytes()).tensors}
    assert (tensors["sparse.1.0"].dtype, tensors["sparse.1.0"].shape) == ("i64", (2, 2))
    assert (tensors["sparse.1.1"].dtype, tensors["sparse.1.1"].shape) == ("f32", (2,))


def test_a_distributed_checkpoint_is_a_row_of_archives() -> None:
    data = (TORCH / "shard.distcp").read_bytes()
    layout = layout_of(data, "__0_0.distcp")
    assert (layout.format, layout.problems) == ("torch-zip", [])
    found = [(tensor.dtype, list(tensor.shape), tensor.offset, tensor.nbytes) for tensor in layout.tensors]
    assert found == [(e["dtype"], e["shape"], e["offset"], e["nbytes"]) for e in EXPECTED["shard.distcp"]]
    assert [tensor.name for tensor in layout.tensors] == ["1/data/0", "2/data/0", "3/data/0"]
    assert [elements_at(layout, tensor.offset) for tensor in layout.tensors] == [F32, BF16, I64]


def test_bytes_before_the_first_archive_stay_opaque() -> None:
    data = b"not an archive, " * 10 + (TORCH / "shard.distcp").read_bytes()
    assert layout_of(data).format == "opaque"  # the first bytes decide
    layout = layout_of(b"PK\x03\x04" + data)
    assert [tensor.name for tensor in layout.tensors] == ["1/data/0", "2/data/0", "3/data/0"]
    assert elements_at(layout, 50) == OPAQUE


def test_the_legacy_format_is_opaque() -> None:
    layout = layout_of((TORCH / "legacy.pt").read_bytes(), "legacy.pt")
    assert (layout.format, layout.tensors, layout.problems) == ("opaque", [], [])


def test_big_endian_files_are_opaque_without_a_finding() -> None:
    data = torch_file({"w": tensor_call("FloatStorage", "0", 4, (4,), (1,))}, {"0": bytes(16)}, byteorder=b"big")
    layout = layout_of(data, "x.pt")
    assert (layout.format, layout.problems) == ("opaque", [])


def test_many_small_tensors_give_few_regions() -> None:
    value = {f"layer.{index}": tensor_call("FloatStorage", str(index), 4, (4,), (1,)) for index in range(3000)}
    layout = layout_of(torch_file(value, {str(index): weights(4, index).tobytes() for index in range(3000)}), "x.pt")
    assert len(layout.tensors) == 3000
    assert len(layout.regions) <= 12  # the offsets of this zip are not aligned; PyTorch's are: see training.pt
    assert len(layout_of((TORCH / "training.pt").read_bytes()).regions) < len(EXPECTED["training.pt"]) / 3


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_packed_pickle_is_read_too(compression: int) -> None:
    value = {"w": tensor_call("FloatStorage", "0", 4, (2, 2), (2, 1))}
    data = zip_file({"x/data.pkl": torch_pickle(value), "x/data/0": weights(4).tobytes()}, compression)
    tensors = layout_of(data, "x.pt").tensors
    assert [tensor.name for tensor in tensors] == (["w"] if compression == zipfile.ZIP_STORED else [])


def test_a_pickle_that_unpacks_to_too_much_is_left_alone() -> None:
    members = {"x/data.pkl": torch_pickle({}) + bytes(70 << 20)}
    data = zip_file(members, zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 20
    assert layout_of(data, "x.pt").tensors == []


def test_without_names_tensors_are_called_by_their_storage() -> None:
    understood = torch_pickle([Persistent("BFloat16Storage", "0", 4)])
    data = zip_file({"x/data.pkl": understood[:-2] + b"\xff.", "x/data/0": bytes(8), "x/data/1": bytes(5)})
    layout = layout_of(data, "x.pt")
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in layout.tensors] == [
        ("data/0", "bf16", (4,)),
        ("data/1", "u8", (5,)),
    ]
    assert elements_at(layout, layout.tensors[0].offset) == BF16


def test_a_large_storage_of_an_unknown_class_is_sniffed() -> None:
    content = weights(1 << 19).tobytes()
    data = zip_file({"x/data.pkl": b"\x80\x02\xff", "x/data/0": content})
    layout = layout_of(data, "x.pt")
    assert elements_at(layout, layout.tensors[0].offset + 100) == F32


def test_tensors_beyond_their_storage_are_a_finding() -> None:
    value = {
        "whole": tensor_call("FloatStorage", "0", 4, (4,), (1,)),
        "long": tensor_call("FloatStorage", "0", 5, (5,), (1,)),
        "late": tensor_call("FloatStorage", "0", 4, (4,), (1,), offset=1),
        "lost": tensor_call("FloatStorage", "9", 4, (4,), (1,)),
    }
    layout = layout_of(torch_file(value, {"0": bytes(16)}), "x.pt")
    assert [tensor.name for tensor in layout.tensors] == ["whole"]
    assert layout.problems == ["2 tensors reach beyond their storage"]


def test_a_cut_off_archive_is_a_finding() -> None:
    data = (TORCH / "training.pt").read_bytes()
    layout = layout_of(data[:-30], "x.pt")
    assert layout.format == "opaque"
    assert layout.problems == ["not a sound zip file: its zip directory is missing or damaged; perhaps it is truncated"]


def test_a_member_that_is_not_where_the_directory_says_is_a_finding() -> None:
    data = bytearray((TORCH / "dtypes.pt").read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 42, 77)
    layout = layout_of(bytes(data), "x.pt")
    assert layout.format == "opaque"
    assert "where its zip directory has one" in layout.problems[0]


def test_a_member_that_reaches_into_the_directory_is_a_finding() -> None:
    data = bytearray(torch_file({}, {"0": bytes(16)}))
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<II", data, entry + 20, 1000, 1000)
    layout = layout_of(bytes(data), "x.pt")
    assert layout.format == "opaque"
    assert "reaches beyond its zip directory" in layout.problems[0]


def test_a_member_with_two_sizes_is_a_finding() -> None:
    data = bytearray(torch_file({}, {"0": bytes(16)}))
    struct.pack_into("<II", data, data.rindex(b"PK\x01\x02") + 20, 16, 17)
    assert "two different sizes" in layout_of(bytes(data), "x.pt").problems[0]


def names(value: object, protocol: int = 2) -> list[str]:
    return [name for name, _ in name_tensors(read_pickle(torch_pickle(value, protocol)).root)]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_paths_become_names(protocol: int) -> None:
    tensor = tensor_call("FloatStorage", "0", 1, (1,), (1,))
    value = {"a": [1, tensor, {"b": (tensor, None)}], 3: tensor, (1, 2): tensor, "s": {1, 2}, "x": b"bytes", "f": 1.5}
    assert names(value, protocol) == ["a.1", "a.2.b.0", "3", "[2]"]


def test_objects_show_their_attributes() -> None:
    tensor = tensor_call("FloatStorage", "0", 1, (1,), (1,))
    subclass = Call(("torch._tensor", "_rebuild_from_type_v2"), StorageKind("Any"), None, (), None)
    assert names(
        {"p": Call(("torch._utils", "_rebuild_parameter"), tensor, True, ()), "o": Call(("m", "F"), tensor)}
    ) == [
        "p",
        "o.0",
    ]
    assert names({"s": subclass}) == []


def test_cycles_and_depth_end() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    cycle.append({"w": tensor_call("FloatStorage", "0", 1, (1,), (1,))})
    assert names(cycle) == ["1.w"]
    nested = b"}" + b"X\x03\x00\x00\x00key}" * 100_000 + b"s" * 100_000 + b"."
    assert list(name_tensors(read_pickle(nested).root)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02(",
        b"0.",
        b"t.",
        b"\x87.",
        b"R.",
        b"X\xff\xff\xff\xff.",
        b"\x8d" + b"\xff" * 8 + b".",
        b"h\x07.",
        b"ctorch",
        b"}K\x01s.",
        b"]K\x01K\x01K\x01u.",
        b"Q.",
        b"I1\n.",
    ],
)
def test_broken_pickles_are_not_understood(data: bytes) -> None:
    assert read_pickle(data) == (None, {})


def test_a_pickle_with_too_many_operations_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "OPCODES_MAX", 1000)
    assert read_pickle(b"N0" * 499 + b"].").root == []
    assert read_pickle(b"N0" * 500 + b"].").root is None


def test_nothing_in_a_pickle_is_run() -> None:
    payload = torch_pickle({"w": Call(("os", "abort")), "v": Call(("builtins", "exec"), "raise SystemExit")})
    layout = layout_of(zip_file({"x/data.pkl": payload, "x/data/0": bytes(16)}), "x.pt")
    assert layout.format == "torch-zip"


def test_views_are_told_apart_by_their_strides() -> None:
    def order(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[str, bool]]:
        value = {"w": tensor_call("FloatStorage", "0", 64, shape, strides)}
        return [(tensor.name, tensor.fortran) for tensor in layout_of(torch_file(value, {"0": bytes(256)})).tensors]

    assert order((4, 16), (16, 1)) == [("w", False)]
    assert order((4, 16), (1, 4)) == [("w", True)]
    assert order((1, 64, 1), (5, 1, 9)) == [("w", False)]
    assert order((4, 8), (16, 1)) == [("data/0", False)]
    assert order((8, 4, 2), (8, 1, 4)) == [("data/0", False)]
    assert order((4, 4), (0, 1)) == [("data/0", False)]


def test_the_dtype_of_version_3_decides() -> None:
    dtype = StorageKind("float8_e5m2")
    storage = Persistent("UntypedStorage", "0", 4)
    value = {"w": Call(("torch._utils", "_rebuild_tensor_v3"), storage, 1, (3,), (1,), False, (), dtype)}
    layout = layout_of(torch_file(value, {"0": bytes(4)}))
    assert [(t.name, t.dtype, t.nbytes) for t in layout.tensors] == [("data/0", "u8", 4), ("w", "f8_e5m2", 3)]
    assert elements_at(layout, layout.tensors[1].offset) == DTYPES["f8_e5m2"]


def test_arguments_of_another_kind_make_no_tensor() -> None:
    storage = Persistent("FloatStorage", "0", 4)
    function = ("torch._utils", "_rebuild_tensor_v2")
    for arguments in [(), (storage,), (storage, -1, (4,), (1,)), (storage, 0, (4,), ()), (storage, 0, 4, 1)]:
        root = read_pickle(torch_pickle(Call(function, *arguments))).root
        assert not isinstance(root, TensorRef)
        assert list(name_tensors(root)) == []
    assert isinstance(read_pickle(torch_pickle(Call(function, storage, 0, (4,), (1,)))).root, TensorRef)
