from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from region_files import elements_at, layout_of, weights, zip_file

from holdfast.vault.regions.model import BYTES, DTYPES, OPAQUE
from holdfast.vault.regions.npy import ARRAY_NAME, parse
from holdfast.vault.regions.proposal import Foreign, Malformed
from holdfast.vault.regions.source import BytesSource


def npy_file(array: Any, version: tuple[int, int] | None = None) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, version=version, allow_pickle=True)
    return target.getvalue()


def raw_npy(header: bytes, data: bytes = b"", version: int = 2) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("<f4", "f32"),
        ("<f8", "f64"),
        ("<f2", "f16"),
        ("<i8", "i64"),
        ("<u4", "u32"),
        ("|i1", "i8"),
        ("|b1", "bool"),
        ("<c8", "c64"),
        ("<c16", "c128"),
        ("<M8[ns]", "i64"),
    ],
)
def test_arrays_of_every_version(dtype: str, name: str, version: tuple[int, int]) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    data = npy_file(array, version)
    layout = layout_of(data, "x.npy")
    assert (layout.format, layout.problems) == ("npy", [])
    (tensor,) = layout.tensors
    assert (tensor.name, tensor.dtype, tensor.shape, tensor.fortran) == (ARRAY_NAME, name, (3, 4, 5), False)
    assert data[tensor.offset : tensor.offset + tensor.nbytes] == array.tobytes()
    assert elements_at(layout, tensor.offset) == DTYPES[name]


def test_order_scalars_and_emptiness() -> None:
    fortran = np.asfortranarray(weights(12).reshape(3, 4))
    data = npy_file(fortran)
    (tensor,) = layout_of(data, "x.npy").tensors
    assert tensor.fortran
    stored = np.frombuffer(data[tensor.offset :], np.float32).reshape(tensor.shape, order="F")
    assert (stored == fortran).all()
    assert layout_of(npy_file(np.float64(2.5)), "x.npy").tensors[0].shape == ()
    assert layout_of(npy_file(np.zeros((0, 3))), "x.npy").tensors[0].nbytes == 0


def test_bfloat16_of_ml_dtypes_is_recognised() -> None:
    layout = layout_of(npy_file(weights(100).astype(ml_dtypes.bfloat16)), "x.npy")
    assert layout.tensors[0].dtype == "bf16"


@pytest.mark.parametrize("dtype", [[("a", "<f4"), ("b", "<i2")], "<U7", "S5", "V3"])
def test_what_has_no_elements_is_bytes(dtype: Any) -> None:
    array = np.zeros(9, dtype)
    layout = layout_of(npy_file(array), "x.npy")
    (tensor,) = layout.tensors
    assert (tensor.dtype, tensor.shape, tensor.nbytes) == ("u8", (array.nbytes,), array.nbytes)
    assert elements_at(layout, tensor.offset) == BYTES


@pytest.mark.parametrize(
    "array", [np.arange(9, dtype=">f4"), np.arange(9, dtype=">i8"), np.array([{}, "object"], dtype=object)]
)
def test_big_endian_arrays_and_objects_are_foreign_but_no_finding(array: Any) -> None:
    data = npy_file(array)
    with pytest.raises(Foreign):
        parse(BytesSource(data))
    layout = layout_of(data, "x.npy")
    assert (layout.format, layout.problems) == ("opaque", [])


def test_truncated_and_longer_files() -> None:
    data = npy_file(weights(100))
    layout = layout_of(data[:-10], "x.npy")
    assert (layout.problems, layout.tensors) == (["truncated: 10 bytes are missing"], [])
    assert elements_at(layout, 200) == DTYPES["f32"]
    assert layout_of(data + b"abc", "x.npy").problems == ["3 bytes follow the array"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\x93NUMPY", "does not begin"),
        (b"something else", "does not begin"),
        (raw_npy(b"{'descr': '<f4'}"), "lacks the type, the order or the shape"),
        (raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}"), "impossible shape"),
        (raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s,)}" % (b"9" * 30)), "impossible shape"),
        (
            raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s)}" % (b"9" * 19 + b"," + b"9" * 19)),
            "larger",
        ),
        (raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s)}" % (b"1," * 70)), "70 dimensions"),
        (raw_npy(b"{}")[:9] + b"\xff\xff\xff", "header claims"),
        (raw_npy(b"{'descr': '<f4'")[:-3], "header is truncated: 3 bytes"),
    ],
)
def test_broken_headers_are_findings(data: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse(BytesSource(data))
    layout = layout_of(data, "x.npy")
    assert (layout.format, len(layout.problems)) == ("opaque", 1)


def test_a_header_is_not_evaluated() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').abort(),)}"
    assert layout_of(raw_npy(header), "x.npy").format == "opaque"


def test_members_of_an_npz_have_the_names_that_numpy_gives_them() -> None:
    arrays = {"w": weights(5000).reshape(50, 100), "ids": np.arange(300), "fortran": np.asfortranarray(np.eye(5))}
    target = io.BytesIO()
    np.savez(target, **arrays)
    data = target.getvalue()
    layout = layout_of(data, "x.npz")
    assert (layout.format, layout.problems) == ("npz", [])
    tensors = {tensor.name: tensor for tensor in layout.tensors}
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        order = "F" if tensors[name].fortran else "C"
        assert data[tensors[name].offset :][: tensors[name].nbytes] == array.tobytes(order)
        assert elements_at(layout, tensors[name].offset) == DTYPES[tensors[name].dtype]
    assert tensors["fortran"].fortran


def test_compressed_members_are_opaque() -> None:
    target = io.BytesIO()
    np.savez_compressed(target, w=weights(5000))
    layout = layout_of(target.getvalue(), "x.npz")
    assert (layout.format, layout.tensors) == ("npz", [])
    assert {region.element for region in layout.regions} == {OPAQUE}


def test_a_broken_member_does_not_spoil_the_others() -> None:
    data = zip_file({"bad.npy": b"\x93NUMPY\x01\x00", "good.npy": npy_file(weights(50)), "notes.txt": b"text"})
    layout = layout_of(data, "x.npz")
    assert [tensor.name for tensor in layout.tensors] == ["good"]
    assert len(layout.problems) == 1
    assert "'bad'" in layout.problems[0]


def test_a_zip_of_something_else_is_opaque_without_a_finding() -> None:
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        layout = layout_of(zip_file({"readme.txt": b"text" * 1000}, compression), "x.zip")
        assert (layout.format, layout.problems) == ("opaque", [])
