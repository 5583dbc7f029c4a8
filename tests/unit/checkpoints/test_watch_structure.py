"""A file that is cut off anywhere is told from a whole one."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import checkpoint_writers as writers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.checkpoints.listing import read_entry
from holdfast.checkpoints.structure import HEADER_LIMIT, file_problem


def problem_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    entry = read_entry(path)
    assert entry is not None
    return file_problem(path, entry)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.safetensors", writers.safetensors()),
        ("optimizer.pt", writers.torch_zip()),
        ("weights.npz", writers.npz()),
        (".metadata", b"\x80\x02}q\x00(K\x01K\x02u."),
        ("trainer_state.json", writers.as_json({"global_step": 1, "log_history": []})),
    ],
)
def test_whole_passes_and_every_cut_is_noticed(name: str, data: bytes, tmp_path: Path) -> None:
    assert problem_of(tmp_path / name, data) == ""
    for length in range(len(data)):
        assert problem_of(tmp_path / name, data[:length]), f"cut to {length} of {len(data)} bytes"


def test_a_safetensors_file_with_anything_behind_its_data_is_not_whole(tmp_path: Path) -> None:
    assert "longer" in problem_of(tmp_path / "model.safetensors", writers.safetensors() + b"x")


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}x",
        b'{"a": 1}',
        b'{"a": {"data_offsets": "0,4"}}',
        b'{"a": {"data_offsets": [0]}}',
        b'{"a": {"data_offsets": [0, 1.5]}}',
        b'{"a": ' * 5000,
        b"\xff\xfe",
    ],
)
def test_a_malformed_safetensors_header_is_a_problem_and_no_exception(header: bytes, tmp_path: Path) -> None:
    assert problem_of(tmp_path / "model.safetensors", struct.pack("<Q", len(header)) + header)


def test_an_absurd_header_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", HEADER_LIMIT + 1))
    os.truncate(path, HEADER_LIMIT + 10_000)  # a hole: takes no space
    entry = read_entry(path)
    assert entry is not None
    assert "impossible" in file_problem(path, entry)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("arbitrary.safetensors", "arbitrary.pt", "trainer_state.json"):
        assert isinstance(problem_of(folder / name, data), str)


def test_an_archive_with_a_comment_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", bytes(100))
        archive.comment = b"PK\x05\x06 saved by hand" * 100
    assert problem_of(path, path.read_bytes()) == ""


def test_an_end_record_that_points_behind_itself_is_none(tmp_path: Path) -> None:
    data = bytearray(writers.torch_zip())
    struct.pack_into("<L", data, len(data) - 6, len(data))  # offset of the directory
    assert "no end" in problem_of(tmp_path / "model.pt", bytes(data))


def test_files_of_other_formats_pass(tmp_path: Path) -> None:
    assert problem_of(tmp_path / "pytorch_model.bin", b"\x80\x02 an old pickle, torch before 1.6") == ""
    assert problem_of(tmp_path / "notes.txt", b"") == ""


def test_a_file_that_becomes_whole_within_the_resolution_of_its_time_is_noticed(tmp_path: Path) -> None:
    """A preallocated file: same size and same time before and after its end is written."""
    path, data = tmp_path / "model.pt", writers.torch_zip()
    path.write_bytes(data[:-22] + bytes(22))
    os.utime(path, ns=(10**18, 10**18))
    entry = read_entry(path)
    assert entry is not None
    assert file_problem(path, entry)
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18))
    assert file_problem(path, entry) == ""


def test_a_vanished_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(writers.safetensors(7))
    entry = read_entry(path)
    assert entry is not None
    path.unlink()
    assert "vanished" in file_problem(path, entry)
