from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.errors import FailedError
from holdfast.vault.regions.source import BlockReader, BytesSource, FileSource, Slice

DATA = bytes(range(256)) * 40


@pytest.fixture
def opened(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def test_a_file_is_read_where_asked_and_keeps_its_position(opened: int) -> None:
    source = FileSource(opened)
    os.lseek(opened, 7, os.SEEK_SET)
    assert source.size == len(DATA)
    assert source.read_at(1000, 50) == DATA[1000:1050]
    assert source.read_at(len(DATA) - 3, 50) == DATA[-3:]
    assert source.read_at(len(DATA) + 5, 50) == b""
    assert os.lseek(opened, 0, os.SEEK_CUR) == 7


def test_a_file_that_grows_keeps_its_size_and_one_that_shrinks_gives_less(opened: int) -> None:
    source = FileSource(opened)
    os.pwrite(opened, b"more", len(DATA))
    assert source.size == len(DATA)
    assert source.read_at(len(DATA) - 2, 100) == DATA[-2:]
    os.ftruncate(opened, 100)
    assert source.read_at(90, 100) == DATA[90:100]


def test_a_closed_file_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDONLY)
    source = FileSource(fd)
    os.close(fd)
    with pytest.raises(FailedError, match="cannot read the file at byte 3"):
        source.read_at(3, 4)


def test_bytes_of_any_buffer() -> None:
    source = BytesSource(memoryview(bytearray(DATA)))
    assert source.size == len(DATA)
    assert source.read_at(3, 4) == DATA[3:7]
    assert source.read_at(0, 1 << 60) == DATA


def test_a_slice_ends_where_it_was_told_to() -> None:
    part = Slice(BytesSource(DATA), 100, 20)
    assert part.size == 20
    assert part.read_at(15, 100) == DATA[115:120]
    assert Slice(BytesSource(DATA), len(DATA) - 5, 20).size == 5


def test_small_reads_share_blocks() -> None:
    class Counting(BytesSource):
        reads = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.reads += 1
            return super().read_at(offset, length)

    source = Counting(DATA)
    reader = BlockReader(source, block_bytes=1024)
    assert [reader.read(offset, 30) for offset in range(0, 900, 30)] == [DATA[o : o + 30] for o in range(0, 900, 30)]
    assert source.reads == 1
    assert reader.read(5, 3000) == DATA[5:3005]
    assert reader.read(2000, 10) == DATA[2000:2010]
    assert reader.read(0, 10) == DATA[:10]
    assert source.reads == 3
