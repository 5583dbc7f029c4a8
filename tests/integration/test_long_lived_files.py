"""`holdfast://` in programs that run for long: others save meanwhile, threads share it, processes are forked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

import holdfast
from holdfast.control.filesystem import HoldfastFileSystem
from holdfast.vault.format.records import Root
from holdfast.vault.index import ChunkIndex
from holdfast.vault.vault import Vault

SAVING = """
import sys, holdfast
vault, source, step = sys.argv[1:]
print(holdfast.open(vault).save("llama", source, step=int(step), verify=False).root.id)
"""


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HOLDFAST_KEY_FILE", raising=False)
    fsspec.register_implementation("holdfast", HoldfastFileSystem, clobber=True)
    yield
    HoldfastFileSystem.clear_instance_cache()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = holdfast.create(tmp_path / "places/models")
    save(vault, tmp_path, 1)
    return vault


@pytest.fixture
def fs(vault: Vault) -> HoldfastFileSystem:
    return HoldfastFileSystem(vault=vault.url, cache_bytes=0)


def content(step: int) -> bytes:
    return f"step {step}\n".encode() * 1000


def write(folder: Path, step: int) -> Path:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "file").write_bytes(content(step))
    return source


def save(vault: Vault, folder: Path, step: int) -> str:
    return vault.save("llama", write(folder, step), step=step, verify=False).root.id


def save_elsewhere(vault: Vault, folder: Path, step: int) -> str:
    """As another machine does it, which remembers other things."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "another-cache")}
    command = [sys.executable, "-c", SAVING, vault.url, str(write(folder, step)), str(step)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize("by_listing", [False, True])
def test_what_others_save_meanwhile_is_read(
    fs: HoldfastFileSystem, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_listing: bool
) -> None:
    def distrust(*_: Any) -> list[str]:
        raise AssertionError("the footers of all packs are read, for an index that is not up to date")

    monkeypatch.setattr(ChunkIndex, "distrust", distrust)
    assert fs.cat_file("llama/file") == content(1)
    for step in (2, 3, 4):
        saved = save_elsewhere(vault, tmp_path, step)
        assert fs.cat_file("llama/file") == content(step - 1)  # it means what it meant
        fs.invalidate_cache()
        if by_listing:
            assert f"llama@{saved}" in fs.ls("", detail=False)
        assert fs.cat_file("llama/file") == content(step)
        assert fs.info("llama")["snapshot"] == saved


def test_the_index_is_brought_up_to_date_once_for_all_that_a_listing_shows(
    fs: HoldfastFileSystem, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(2, 8):
        save(vault, tmp_path, step)
    loads = []
    load = ChunkIndex.load
    monkeypatch.setattr(ChunkIndex, "load", lambda *given: loads.append(1) or load(*given))
    for path in fs.find(""):
        assert fs.cat_file(path) in {content(step) for step in range(1, 8)}
    assert len(loads) == 1


def test_a_file_that_is_opened_while_its_name_gets_another_meaning(
    fs: HoldfastFileSystem, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = fs._tree

    def tree(*given: str) -> Any:
        found = find(*given)
        save(vault, tmp_path, 2)
        fs.invalidate_cache()
        return found

    monkeypatch.setattr(fs, "_tree", tree)
    with fs.open("llama/file") as file:
        assert file.read() == content(1)
        assert file.__reduce__() is not None
        pinned = file._pinned
    monkeypatch.undo()
    assert fs.cat_file(pinned) == content(1)


def test_a_name_that_is_forgotten_while_it_is_looked_up(
    fs: HoldfastFileSystem, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Vault.find

    def find_late(self: Vault, reference: str) -> Root:
        found = find(self, reference)
        save(vault, tmp_path, 2)
        fs.invalidate_cache()
        return found

    monkeypatch.setattr(Vault, "find", find_late)
    assert fs.cat_file("llama/file") == content(1)
    monkeypatch.setattr(Vault, "find", find)
    assert fs.cat_file("llama/file") == content(2)


def test_a_thread_that_waits_for_the_store_holds_up_no_other(
    fs: HoldfastFileSystem, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = vault.find("llama").id, save(vault, tmp_path, 2)
    waiting, go_on = threading.Event(), threading.Event()
    asked = []
    find = Vault.find

    def find_slowly(self: Vault, reference: str) -> Root:
        asked.append(reference)
        if reference == first:
            waiting.set()
            assert go_on.wait(60)
        return find(self, reference)

    monkeypatch.setattr(Vault, "find", find_slowly)
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(fs.cat_file, f"{first}/file") for _ in range(2)]
        assert waiting.wait(60)
        assert pool.submit(fs.cat_file, f"{second}/file").result(timeout=60) == content(2)
        go_on.set()
        assert [one.result(timeout=60) for one in slow] == [content(1)] * 2
    assert asked.count(first) == 1  # by one of the two, for both


FORKING = """
import os, signal, sys, threading, time
import fsspec
from holdfast.control.filesystem import HoldfastFileSystem
from holdfast.vault.vault import Vault

fs = HoldfastFileSystem(vault=sys.argv[1])
assert fs.exists("llama@step=1")
inside, leave, find = threading.Event(), threading.Event(), getattr(Vault, sys.argv[2])

def slow(self, *given):
    inside.set()
    leave.wait(60)
    return find(self, *given)

setattr(Vault, sys.argv[2], slow)
look = {"find": lambda: fs.size("llama@latest/file"), "snapshots": lambda: len(fs.ls(""))}[sys.argv[2]]
thread = threading.Thread(target=look)
thread.start()
assert inside.wait(30)
child = os.fork()
if child == 0:
    setattr(Vault, sys.argv[2], find)
    try:
        fs.invalidate_cache()
        os._exit(0 if look() and fs.cat_file("llama@latest/file").startswith(b"step 1") else 1)
    finally:
        os._exit(2)
for _ in range(1000):
    found, status = os.waitpid(child, os.WNOHANG)
    if found:
        break
    time.sleep(0.02)
else:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    status = None
leave.set()
thread.join()
sys.exit("the child hangs" if status is None else os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("verb", ["find", "snapshots"])
def test_a_child_that_is_forked_while_a_thread_looks_something_up(vault: Vault, verb: str) -> None:
    command = [sys.executable, "-c", FORKING, vault.url, verb]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr


def test_a_vault_and_its_replica_are_told_apart_by_their_place(vault: Vault, tmp_path: Path) -> None:
    replica = tmp_path / "places/copy"
    shutil.copytree(vault.url, replica)
    assert holdfast.open(replica).id == vault.id
    for name in (vault.id, vault.id[:8]):
        with pytest.raises(ValueError, match=r"names one vault, .* at 2 places: .*copy, .*models .*option `vault`"):
            fsspec.open(f"holdfast://{name}/llama/file").open()
        with fsspec.open(f"holdfast://{name}/llama/file", vault=str(replica)) as file:
            assert file.read() == content(1)
    with fsspec.open("holdfast://models/llama/file") as file:
        assert file.read() == content(1)
