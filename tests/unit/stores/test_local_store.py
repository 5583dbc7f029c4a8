"""LocalStore: what the contract cannot see from outside (durability, links, leftovers, errors of the system)."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import (
    FailedError,
    HoldfastError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageFullError,
)
from holdfast.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def all_files(store: LocalStore) -> list[str]:
    return sorted(str(path.relative_to(store.path)) for path in store.path.rglob("*") if path.is_file())


def keys(store: LocalStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


# ---- durability: the order of system calls is what survives a power cut ----


@contextmanager
def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the real calls through and note them, naming what each descriptor is open on."""
    calls: list[str] = []
    real_fsync, real_link, real_rename, real_mkdir, real_unlink = os.fsync, os.link, os.rename, os.mkdir, os.unlink

    def name_of(descriptor: int) -> str:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        return "temporary" if path.name.startswith("~") else path.name

    def fsync(descriptor: int) -> None:
        calls.append(f"fsync {name_of(descriptor)}")
        real_fsync(descriptor)

    def link(source: str, target: str, **options: Any) -> None:
        calls.append(f"link {target}")
        real_link(source, target, **options)

    def rename(source: str, target: str, **options: int) -> None:
        calls.append(f"rename {target}")
        real_rename(source, target, **options)

    def mkdir(path: str | Path, mode: int = 0o777, **options: int) -> None:
        calls.append(f"mkdir {Path(path).name}")
        real_mkdir(path, mode, **options)

    def unlink(path: str, **options: int) -> None:
        real_unlink(path, **options)
        calls.append(f"unlink {'temporary' if path.startswith('~') else path}")

    with monkeypatch.context() as patch:
        for name, replacement in (("fsync", fsync), ("link", link), ("rename", rename), ("mkdir", mkdir)):
            patch.setattr(os, name, replacement)
        patch.setattr(os, "unlink", unlink)
        yield calls


def test_create_syncs_the_data_before_the_name_and_the_folder_after(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("refs/first", b"x")
    with recorded_calls(monkeypatch) as calls:
        store.create("refs/1", b"content")
    assert calls == ["fsync temporary", "link 1", "fsync refs", "unlink temporary"]


def test_put_syncs_the_data_before_the_name_and_the_folder_after(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("packs/first", b"x")
    with recorded_calls(monkeypatch) as calls:
        store.put("packs/1", b"content")
    assert calls == ["fsync temporary", "rename 1", "fsync packs"]


def test_every_new_folder_is_synced_into_its_parent_before_the_object_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "outer" / "store")
    with recorded_calls(monkeypatch) as calls:
        store.put("packs/ab/1", b"content")
    assert calls == [
        "mkdir outer",
        f"fsync {tmp_path.name}",
        "mkdir store",
        "fsync outer",
        "mkdir packs",
        "fsync store",
        "mkdir ab",
        "fsync packs",
        "fsync temporary",
        "rename 1",
        "fsync ab",
    ]


def test_a_folder_that_another_process_has_just_made_is_synced_too(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.path / "packs").mkdir(parents=True)
    with recorded_calls(monkeypatch) as calls:
        store.put("packs/1", b"content")
        store.put("packs/2", b"content")
    assert calls.count("fsync store") == 1
    assert calls.index("fsync store") < calls.index("rename 1")


def test_a_deletion_is_durable(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("packs/1", b"content")
    with recorded_calls(monkeypatch) as calls:
        store.delete("packs/1")
        store.delete("packs/1")
    assert calls == ["unlink 1", "fsync packs"]


def test_a_file_system_that_cannot_sync_folders_still_serves(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no synchronized I/O")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.create("refs/1", b"content")
    assert store.get("refs/1") == b"content"


def test_folders_that_vanish_are_made_again(store: LocalStore) -> None:
    store.put("packs/ab/1", b"content")
    (store.path / "packs/ab/1").unlink()
    (store.path / "packs/ab").rmdir()
    (store.path / "packs").rmdir()
    store.path.rmdir()
    store.put("packs/ab/1", b"content")
    assert keys(store) == ["packs/ab/1"]


# ---- what a crash leaves ----

WRITER = """
import sys
from holdfast.stores.local import LocalStore
store = LocalStore(sys.argv[1])
number = 0
while True:
    store.put(f"packs/{number % 5}", bytes([number % 251]) * 3_000_000)
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_leaves_whole_objects_and_hidden_leftovers(store: LocalStore) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(store.path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(7):
            writer.stdout.readline()
        deadline = time.monotonic() + 30
        while not any(name.startswith("packs/~") for name in all_files(store)):  # kill it in the middle of a write
            assert time.monotonic() < deadline
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        written = 6 + len(writer.stdout.read().split())
    assert keys(store) == [f"packs/{number}" for number in range(5)]
    for key in keys(store):
        content = store.get(key)
        assert len(content) == 3_000_000
        assert len(set(content)) == 1
    assert max(store.get(key)[0] for key in keys(store)) >= written, "an acknowledged object is lost"


def test_leftovers_are_removed_when_they_are_old_enough(store: LocalStore) -> None:
    store.put("packs/ab/1", b"content")
    old, new = store.path / "packs/ab/~1-old", store.path / "~2-new"
    old.write_bytes(b"12345")
    new.write_bytes(b"123")
    os.utime(old, ns=(0, 1_000))
    assert keys(store) == ["packs/ab/1"]
    assert store.remove_leftovers(written_before_ns=2_000) == 5
    assert all_files(store) == ["packs/ab/1", "~2-new"]
    assert store.remove_leftovers(written_before_ns=time.time_ns() + 10**9) == 3
    assert all_files(store) == ["packs/ab/1"]


def test_leftovers_are_removed_below_a_root_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real/packs").mkdir(parents=True)
    (tmp_path / "real/packs/~1-old").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert LocalStore(tmp_path / "link").remove_leftovers(written_before_ns=time.time_ns() + 10**9) == 5


def test_removing_leftovers_of_a_store_that_was_never_written_is_no_error(store: LocalStore) -> None:
    assert store.remove_leftovers(written_before_ns=0) == 0


# ---- errors of the system ----


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EACCES, PermissionDeniedError),
        (errno.EPERM, PermissionDeniedError),
        (errno.EROFS, PermissionDeniedError),
        (errno.EIO, FailedError),
        (errno.EMFILE, FailedError),
    ],
)
@pytest.mark.parametrize("call", ["open", "writev", "fsync", "rename"])
def test_errors_of_the_system_become_ours_and_leave_no_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: str, number: int, expected: type[HoldfastError]
) -> None:
    store.put("packs/first", b"x")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(expected) as caught:
            store.put("packs/1", b"content")
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.object_name == "packs/1"
    assert os.strerror(number) in str(caught.value)
    assert "packs/1" in str(caught.value)
    assert all_files(store) == ["packs/first"]


def test_a_disk_that_fills_up_in_the_middle_leaves_no_file(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real_writev = os.writev
    calls = 0

    def writev(descriptor: int, buffers: list[memoryview]) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "full")
        return real_writev(descriptor, [buffers[0][:4]])

    monkeypatch.setattr(os, "writev", writev)
    with pytest.raises(StorageFullError):
        store.put("packs/1", [b"first", b"second"])
    assert all_files(store) == []


def test_a_crash_in_the_middle_of_the_process_leaves_no_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "writev", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.put("packs/1", b"content")
    assert all_files(store) == []


def test_short_writes_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real_writev = os.writev
    pieces = [bytes([number]) * (number % 5) for number in range(1, 60)]

    def writev(descriptor: int, buffers: list[memoryview]) -> int:
        flat = b"".join(buffers)
        return real_writev(descriptor, [flat[:7]])

    monkeypatch.setattr(os, "writev", writev)
    store.put("packs/1", pieces)
    assert store.get("packs/1") == b"".join(pieces)


def test_short_reads_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("packs/1", bytes(range(100)))
    real_pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, start: real_pread(descriptor, min(size, 9), start))
    assert store.get_ranges("packs/1", [(3, 90)]) == [bytes(range(3, 93))]


def test_a_file_system_without_hard_links_is_named(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(FailedError, match="no hard links") as caught:
        store.create("refs/1", b"content")
    assert caught.value.hint
    assert all_files(store) == []


# ---- folders, links and special files ----


def test_the_root_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    LocalStore(tmp_path / "link").put("a/b", b"content")
    assert (tmp_path / "real/a/b").read_bytes() == b"content"


def test_links_inside_do_not_lead_out(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("first", b"x")
    (store.path / "folder").symlink_to(outside)
    (store.path / "file").symlink_to(outside / "secret")
    for key in ("folder/secret", "file"):
        with pytest.raises(ObjectNotFoundError):
            store.get(key)
        with pytest.raises(ObjectNotFoundError):
            store.head(key)
        store.delete(key)
    with pytest.raises(FailedError) as caught:
        store.put("folder/new", b"content")
    assert caught.value.hint
    assert keys(store) == ["first"]
    assert keys(store, "folder/") == []
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_putting_onto_a_link_replaces_the_link(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    store.put("first", b"x")
    (store.path / "name").symlink_to(outside)
    store.put("name", b"content")
    assert outside.read_bytes() == b"untouched"
    assert store.get("name") == b"content"


def test_special_files_are_no_objects(store: LocalStore) -> None:
    store.put("first", b"x")
    os.mkfifo(store.path / "pipe")
    done = threading.Event()

    def look() -> None:
        with pytest.raises(ObjectNotFoundError):
            store.get("pipe")
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(5), "reading waits for a writer of the pipe"
    assert keys(store) == ["first"]


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_an_object_cannot_be_a_folder_too(store: LocalStore, first: str, second: str) -> None:
    store.put(first, b"content")
    with pytest.raises(FailedError) as caught:
        store.put(second, b"content")
    assert caught.value.object_name == second
    assert all_files(store) == [first]


def test_foreign_names_are_not_listed(store: LocalStore) -> None:
    store.put("a/b", b"x")
    for name in ("with space", "~temporary", "dot.", b"\xff\xfe"):
        Path(os.fsdecode(os.path.join(os.fsencode(store.path), os.fsencode(name)))).write_bytes(b"x")
    (store.path / "bad folder").mkdir()
    (store.path / "bad folder/name").write_bytes(b"x")
    assert keys(store) == ["a/b"]


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o600, 0o700), (0o277, 0o400, 0o500)])
def test_modes_are_private_and_honour_the_umask(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        store = LocalStore(tmp_path / "store")
        # A folder without the right to write stops anyone but root, so only the root folder is made then.
        LocalStore(tmp_path / "store")._folders.make([])
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.path.stat().st_mode) == folder_mode
    store.path.chmod(0o700)
    os.umask(umask)
    try:
        store.put("name", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((store.path / "name").stat().st_mode) == file_mode


def test_a_store_keeps_its_place_when_the_process_changes_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("relative")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("name", b"x")
    assert (tmp_path / "relative/name").exists()
    assert store.url == str(tmp_path / "relative")


def test_no_descriptor_is_left_open(store: LocalStore) -> None:
    def use() -> None:
        store.put("packs/ab/1", b"content")
        with pytest.raises(HoldfastError):
            store.create("packs/ab/1", b"content")
        store.get_ranges("packs/ab/1", [(0, 3)])
        with pytest.raises(ObjectNotFoundError):
            store.get("packs/nothing")
        next(store.list(""))  # not exhausted
        keys(store)
        store.delete("packs/ab/1")

    use()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        use()
    assert len(os.listdir("/proc/self/fd")) == before


RIVAL = """
import sys
from holdfast.errors import AlreadyExistsError
from holdfast.stores.local import LocalStore
store = LocalStore(sys.argv[1])
sys.stdin.readline()
won = []
for number in range(200):
    try:
        store.create(f"refs/{number}", sys.argv[2].encode())
        won.append(number)
    except AlreadyExistsError:
        pass
print(*won)
"""


def test_of_several_processes_exactly_one_creates_each_name(store: LocalStore) -> None:
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL, str(store.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    won: dict[str, set[str]] = {}
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    for rival, name in zip(rivals, ("a", "b", "c"), strict=True):
        won[name] = set(rival.communicate(timeout=60)[0].split())
    assert sorted(number for numbers in won.values() for number in numbers) == sorted(map(str, range(200)))
    for name, numbers in won.items():
        assert all(store.get(f"refs/{number}") == name.encode() for number in numbers)


def test_the_reader_of_a_file_that_shrinks_is_told(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("name", b"0123456789")
    real_fstat: Callable[[int], os.stat_result] = os.fstat

    def fstat_then_shrink(descriptor: int) -> os.stat_result:
        found = real_fstat(descriptor)
        os.truncate(store.path / "name", 4)
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_shrink)
    with pytest.raises(HoldfastError, match="byte 8 and ends earlier") as caught:
        store.get_ranges("name", [(0, 8)])
    assert caught.value.code == "damage"
