from __future__ import annotations

import os
from pathlib import Path

import pytest
from region_files import F32, check_cover

from holdfast.errors import FailedError
from holdfast.vault.regions.holes import HOLE_BYTES_MIN, file_holes, punch
from holdfast.vault.regions.model import HOLE, OPAQUE, Layout, Region, Tensor

MIB = 1 << 20
TENSOR = Tensor("w", "f32", (100,), 10, 400)


@pytest.fixture
def sparse(tmp_path: Path):
    """1 MiB of data, 2 MiB of hole, 1 MiB of data, a hole of 32 KiB, 4 KiB of data, a hole of 3 MiB up to the end."""
    fd = os.open(tmp_path / "sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, os.urandom(MIB), 0)
    os.pwrite(fd, os.urandom(MIB), 3 * MIB)
    os.pwrite(fd, os.urandom(4096), 4 * MIB + (32 << 10))
    os.ftruncate(fd, 7 * MIB + (36 << 10))
    os.fsync(fd)
    yield fd
    os.close(fd)


def test_holes_of_a_sparse_file(sparse: int) -> None:
    size = os.fstat(sparse).st_size
    holes = file_holes(sparse, size)
    if os.fstat(sparse).st_blocks * 512 > 4 * MIB:
        pytest.skip("this file system does not keep holes")
    assert holes == [(MIB, 2 * MIB), (4 * MIB + (36 << 10), 3 * MIB)]
    assert all(length >= HOLE_BYTES_MIN for _, length in holes)


def test_holes_end_with_the_size_that_was_asked_for(sparse: int) -> None:
    for size in (0, 100, MIB, 2 * MIB, 6 * MIB):
        assert all(offset + length <= size for offset, length in file_holes(sparse, size))


def test_holes_are_zeros_and_the_position_is_kept(sparse: int) -> None:
    os.lseek(sparse, 12345, os.SEEK_SET)
    for offset, length in file_holes(sparse, os.fstat(sparse).st_size):
        assert not any(os.pread(sparse, length, offset))
    assert os.lseek(sparse, 0, os.SEEK_CUR) == 12345


def test_full_and_empty_files_and_pipes_have_none(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.write_bytes(os.urandom(200_000))
    with path.open("rb") as file:
        assert file_holes(file.fileno(), 200_000) == []
        assert file_holes(file.fileno(), 0) == []
    readable, writable = os.pipe()
    try:
        assert file_holes(readable, 100) == []
    finally:
        os.close(readable)
        os.close(writable)


def test_a_file_that_shrank_is_no_endless_loop(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        assert all(offset >= 100 for offset, _ in file_holes(file.fileno(), 1 << 30))


def test_an_error_of_the_system_is_one_of_ours(monkeypatch: pytest.MonkeyPatch, sparse: int) -> None:
    real = os.lseek

    def failing(fd: int, position: int, how: int) -> int:
        if how == os.SEEK_DATA:
            raise OSError(5, "Input/output error")
        return real(fd, position, how)

    monkeypatch.setattr(os, "lseek", failing)
    with pytest.raises(FailedError, match="Input/output error"):
        file_holes(sparse, os.fstat(sparse).st_size)


def punched(regions: list[Region], holes: list[tuple[int, int]]) -> list[Region]:
    layout = punch(Layout("x", regions, [TENSOR], ["a finding"]), holes)
    check_cover(layout.regions, regions[-1].end if regions else 0)
    assert (layout.format, layout.tensors, layout.problems) == ("x", [TENSOR], ["a finding"])
    return layout.regions


def test_a_hole_shrinks_to_whole_elements() -> None:
    regions = [Region(0, 10, OPAQUE), Region(10, 400, F32)]
    assert punched(regions, [(101, 200)]) == [
        Region(0, 10, OPAQUE),
        Region(10, 92, F32),
        Region(102, 196, HOLE),
        Region(298, 112, F32),
    ]
    assert punched(regions, [(11, 4)]) == regions


def test_a_hole_over_several_regions_is_one() -> None:
    regions = [Region(0, 10, OPAQUE), Region(10, 400, F32), Region(410, 90, OPAQUE)]
    assert punched(regions, [(5, 450)]) == [Region(0, 5, OPAQUE), Region(5, 450, HOLE), Region(455, 45, OPAQUE)]
    assert punched(regions, [(0, 500)]) == [Region(0, 500, HOLE)]


def test_several_holes_in_one_region_and_none() -> None:
    regions = [Region(0, 400, F32)]
    assert punched(regions, [(40, 40), (80, 40), (200, 8)]) == [
        Region(0, 40, F32),
        Region(40, 80, HOLE),
        Region(120, 80, F32),
        Region(200, 8, HOLE),
        Region(208, 192, F32),
    ]
    assert punched(regions, []) == regions
    assert punched(regions, [(400, 100)]) == regions
    assert punched([], [(0, 100)]) == []
