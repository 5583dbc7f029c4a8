"""Large objects go past the page cache where the file system lets them, and are the same bytes there."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from holdfast.errors import StorageFullError
from holdfast.stores.local import LocalStore

KEY = "packs/ab/abcd"


def aligned(size: int) -> memoryview:
    """`size` random bytes that begin at a page."""
    buffer = memoryview(mmap.mmap(-1, size))
    buffer[:] = os.urandom(size)
    return buffer


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, (3 << 20) + 4095, (2 << 20) + 4096])
@pytest.mark.parametrize("offset", [0, 1, 4096])
def test_every_length_and_alignment_gives_the_same_bytes(tmp_path: Path, size: int, offset: int) -> None:
    data = aligned(size + offset)[offset:]
    store = LocalStore(tmp_path)
    assert store.put(KEY, data).size == size
    assert store.get(KEY) == bytes(data)


def test_a_file_system_that_takes_no_part_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = aligned((2 << 20) + 5)
    real, refused = os.write, []

    def refuse(descriptor: int, view: memoryview) -> int:
        if len(refused) == 1:  # it takes one piece, and no more
            refused.append(0)
            raise OSError(errno.EINVAL, "not here")
        refused.append(real(descriptor, view[:4096]))
        return refused[-1]

    monkeypatch.setattr("holdfast.stores.files.os.write", refuse)
    store = LocalStore(tmp_path)
    store.put(KEY, data)
    assert refused == [4096, 0]
    assert store.get(KEY) == bytes(data)


def test_a_short_write_goes_on_through_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = aligned(2 << 20)
    real = os.write
    monkeypatch.setattr("holdfast.stores.files.os.write", lambda descriptor, view: real(descriptor, view[: 4096 + 512]))
    store = LocalStore(tmp_path)
    store.put(KEY, data)
    assert store.get(KEY) == bytes(data)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, view: memoryview) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("holdfast.stores.files.os.write", full)
    store = LocalStore(tmp_path)
    with pytest.raises(StorageFullError):
        store.put(KEY, aligned(1 << 20))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
