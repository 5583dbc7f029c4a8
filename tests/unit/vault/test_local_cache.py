"""Databases that may be lost, shared, spoilt or refused a place."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import threading
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from holdfast.errors import FailedError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.vault.local_cache import LocalCache, cache_folder, open_cache, replace_cache, temporary_cache

VAULT = bytes(range(16))
SCHEMA = "CREATE TABLE facts (name TEXT PRIMARY KEY); CREATE INDEX again ON facts (name)"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault")


def opened(store: Store, version: int = 1) -> LocalCache:
    return open_cache(VAULT, store, "test", schema=SCHEMA, version=version)


def names(cache: LocalCache) -> list[str]:
    with cache.reading() as database:
        return [name for (name,) in database.execute("SELECT name FROM facts ORDER BY name")]


def put(cache: LocalCache, name: str) -> None:
    with cache.writing() as database:
        database.execute("INSERT INTO facts VALUES (?)", (name,))


def test_it_stays(store: LocalStore, tmp_path: Path) -> None:
    cache = opened(store)
    put(cache, "a")
    assert names(opened(store)) == ["a"], "also while another has it open"
    cache.close()
    cache.close()
    assert names(opened(store)) == ["a"]
    assert cache.path == cache_folder(VAULT, store.url) / "test.sqlite"
    assert cache.path.is_relative_to(tmp_path / "cache")
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700


def test_each_vault_and_store_has_its_own(tmp_path: Path) -> None:
    folders = {cache_folder(vault, url) for vault in (VAULT, bytes(16)) for url in ("a", "b")}
    assert len(folders) == 4
    assert cache_folder(VAULT, "a", {"HOME": "/home/me"}).is_relative_to("/home/me/.cache/holdfast")
    assert cache_folder(VAULT, "a", {"HOME": "/x", "XDG_CACHE_HOME": "/y"}).is_relative_to("/y/holdfast")


def test_another_version_is_begun_afresh(store: LocalStore) -> None:
    put(opened(store, 1), "a")
    assert names(opened(store, 2)) == []
    put(opened(store, 2), "b")
    assert names(opened(store, 2)) == ["b"] and names(opened(store, 1)) == []


def test_a_store_in_memory_leaves_no_file(tmp_path: Path) -> None:
    cache = opened(MemoryStore())
    put(cache, "a")
    assert cache.path is None and names(cache) == ["a"] and names(opened(MemoryStore())) == []
    assert not (tmp_path / "cache").exists()


def test_an_error_undoes_the_whole_transaction(store: LocalStore) -> None:
    cache = opened(store)
    with pytest.raises(sqlite3.IntegrityError), cache.writing() as database:
        database.execute("INSERT INTO facts VALUES ('a')")
        database.execute("INSERT INTO facts VALUES ('a')")
    put(cache, "b")
    assert names(cache) == ["b"]


def test_a_disk_that_fills_up(store: LocalStore) -> None:
    cache = opened(store)
    put(cache, "a")
    with cache.reading() as database:
        [(pages,)] = database.execute("PRAGMA page_count")
        database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        for number in range(1000):
            put(cache, f"{number:0500d}")
    assert "a" in names(cache), "and it can be used on"
    other = replace_cache(cache, caught.value, schema=SCHEMA, version=1)
    put(other, "b")
    assert other.path is None and names(other) == ["b"] and "a" in names(opened(store)), "the file is not to blame"


def test_what_is_spoilt_is_removed_and_the_process_goes_on(store: LocalStore) -> None:
    cache = opened(store)
    put(cache, "a")
    with cache.reading() as database:
        database.execute("DROP TABLE facts")
    with pytest.raises(sqlite3.OperationalError) as caught:
        names(cache)
    temporary = replace_cache(cache, caught.value, schema=SCHEMA, version=1)
    assert temporary.path is None and not temporary.in_memory and names(temporary) == []
    put(opened(store), "b")
    in_memory = replace_cache(temporary, caught.value, schema=SCHEMA, version=1)
    assert in_memory.in_memory and names(in_memory) == []
    with pytest.raises(FailedError) as last:
        replace_cache(in_memory, caught.value, schema=SCHEMA, version=1)
    assert last.value.hint and names(opened(store)) == ["b"]


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + bytes(5000)], ids=["garbage", "header"])
def test_a_file_that_is_no_database(store: LocalStore, content: bytes) -> None:
    folder = cache_folder(VAULT, store.url)
    folder.mkdir(parents=True)
    (folder / "test.sqlite").write_bytes(content)
    cache = opened(store)
    put(cache, "a")
    assert cache.path is not None and names(opened(store)) == ["a"]


@pytest.mark.parametrize("obstacle", ["file in the way", "folder in the way", "link"])
def test_a_place_that_cannot_be_used(store: LocalStore, tmp_path: Path, obstacle: str) -> None:
    folder = cache_folder(VAULT, store.url)
    if obstacle == "file in the way":
        (tmp_path / "cache").write_bytes(b"")
    elif obstacle == "folder in the way":
        (folder / "test.sqlite").mkdir(parents=True)
    else:
        folder.mkdir(parents=True)
        (folder / "test.sqlite").symlink_to(tmp_path / "elsewhere")
    cache = opened(store)
    put(cache, "a")
    assert cache.path is None and names(cache) == ["a"] and not (tmp_path / "elsewhere").exists()


def test_without_a_home(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/dev/null")
    assert opened(store).path is None


def open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the folder that is being listed
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


def test_the_last_user_closes_it(store: LocalStore) -> None:
    cache = opened(store)
    put(cache, "a")
    path = str(cache.path)
    assert path in open_files()
    del cache
    gc.collect()
    assert path not in open_files()


def test_a_forked_process_keeps_its_hands_off(store: LocalStore) -> None:
    cache = opened(store)
    put(cache, "a")
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            try:
                names(cache)
            except sqlite3.ProgrammingError as error:
                own = replace_cache(cache, error, schema=SCHEMA, version=1)
                put(own, "b")
                cache.close()
                del cache
                gc.collect()
                code = 0 if own.path is not None and names(own) == ["a", "b"] else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    put(cache, "c")
    assert names(cache) == ["a", "b", "c"]


def test_threads_take_turns() -> None:
    cache = temporary_cache(SCHEMA)

    def write(number: int) -> None:
        for step in range(50):
            put(cache, f"{number}-{step}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(cache)) == 200


def write_in_process(folder: str, number: int) -> None:
    cache = opened(LocalStore(folder))
    assert cache.path is not None
    for step in range(30):
        put(cache, f"{number}-{step}")


def test_processes_take_turns(store: LocalStore) -> None:
    context = get_context("spawn")
    processes = [context.Process(target=write_in_process, args=(str(store.path), number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0] and len(names(opened(store))) == 90
