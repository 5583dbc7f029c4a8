"""Files that are replaced whole: mode, order of syncs, what is left after a failure, two at once."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from holdfast.durable import replace_file, sync_folder


def test_content_then_name_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def observe(descriptor: int) -> None:
        real(descriptor)
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else -1))

    monkeypatch.setattr(os, "fsync", observe)
    path = tmp_path / "a"
    path.write_bytes(b"before")
    replace_file(path, b"now")
    assert path.read_bytes() == b"now" and synced == [(path.stat().st_ino, 3), (tmp_path.stat().st_ino, -1)]
    replace_file(path, b"later", synced=False)
    assert path.read_bytes() == b"later" and len(synced) == 2


@pytest.mark.parametrize(("mask", "mode", "wanted"), [(0o022, 0o666, 0o644), (0o022, 0o600, 0o600), (0, 0o600, 0o600)])
def test_the_mode_is_the_one_asked_for(tmp_path: Path, mask: int, mode: int, wanted: int) -> None:
    path = tmp_path / "a"
    path.touch(0o640)
    before = os.umask(mask)
    try:
        replace_file(path, b"", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == wanted


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")

    def fails(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(type(error)):
        replace_file(path, b"now")
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["a"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container every process may have the number 1. A link in its place is not followed."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(threading, "get_native_id", lambda: 1)
    left = tmp_path / ".a.1-1.tmp"
    left.symlink_to(tmp_path / "elsewhere")
    replace_file(tmp_path / "a", b"now")
    assert sorted(os.listdir(tmp_path)) == ["a"] and (tmp_path / "a").read_bytes() == b"now"


def test_two_at_once_each_write_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    troubles: list[OSError] = []

    def write(byte: bytes) -> None:
        try:
            for _ in range(50):
                replace_file(path, byte * 5000, synced=False)
        except OSError as error:
            troubles.append(error)

    writers = [threading.Thread(target=write, args=(byte,)) for byte in (b"a", b"b")]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert not troubles and path.read_bytes() in (b"a" * 5000, b"b" * 5000) and os.listdir(tmp_path) == ["a"]


def test_a_file_system_that_syncs_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(number: int) -> None:
        def fsync(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    cannot(errno.EINVAL)
    sync_folder(tmp_path)
    cannot(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)
