"""Processes and machines that die between the system calls of a local store: what it acknowledged is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.errors import AlreadyExistsError
from holdfast.stores import files
from holdfast.stores.local import LocalStore
from holdfast.testing.faults import Crash
from holdfast.testing.faults.local import LocalTrouble

OLD = {"packs/aa/1": b"old pack" * 50, "config/1": b"old config"}
NEW = {"packs/aa/2": b"new pack" * 70, "packs/bb/3": b"another" * 9, "config/2": b"new config"}


def filled(folder: Path) -> LocalStore:
    store = LocalStore(folder)
    for key, data in OLD.items():
        store.put(key, data)
    return store


def work(store: LocalStore, acknowledged: list[str]) -> None:
    store.put("packs/aa/2", NEW["packs/aa/2"])
    acknowledged.append("packs/aa/2")
    store.put("packs/bb/3", [NEW["packs/bb/3"][:20], NEW["packs/bb/3"][20:]])
    acknowledged.append("packs/bb/3")
    store.create("config/2", NEW["config/2"])
    acknowledged.append("config/2")
    store.delete("packs/aa/1")
    acknowledged.append("gone")


def look(folder: Path, acknowledged: list[str]) -> None:
    """Nothing that is listed is torn, what was acknowledged is there, what was there before is there."""
    store = LocalStore(folder)
    found = {info.key: store.get(info.key) for info in store.list("")}
    for key, data in found.items():
        assert data == {**OLD, **NEW}[key], f"{key} is torn"
    assert found.keys() >= {"config/1", *acknowledged} - {"gone"}
    assert ("packs/aa/1" in found) or "config/2" in acknowledged
    assert "gone" not in acknowledged or "packs/aa/1" not in found
    store.put("packs/aa/2", NEW["packs/aa/2"])
    if "config/2" in found:
        with pytest.raises(AlreadyExistsError):
            store.create("config/2", b"else")
    else:
        store.create("config/2", NEW["config/2"])


def count_calls(folder: Path) -> int:
    filled(folder)
    with LocalTrouble(folder) as trouble:
        work(LocalStore(folder), [])
    return trouble.calls


def test_a_kill_after_every_system_call(tmp_path: Path) -> None:
    calls = count_calls(tmp_path / "whole")
    assert calls >= 20
    for count in range(1, calls):
        folder, acknowledged = tmp_path / str(count), list[str]()
        filled(folder)
        with pytest.raises(Crash), LocalTrouble(folder).stop_after(count) as trouble:
            work(LocalStore(folder), acknowledged)
        assert trouble.calls == count
        look(folder, acknowledged)


def test_a_power_cut_after_every_system_call(tmp_path: Path) -> None:
    for count in range(1, count_calls(tmp_path / "whole") + 1):
        for seed in range(4):
            folder, acknowledged = tmp_path / f"{count}-{seed}", list[str]()
            filled(folder)
            trouble = LocalTrouble(folder, seed=seed).stop_after(count)
            with pytest.raises(Crash), trouble:
                work(LocalStore(folder), acknowledged)
            trouble.lose_power()
            look(folder, acknowledged)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_torn_write_leaves_half_a_temporary_file_and_no_object(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    acknowledged: list[str] = []
    with pytest.raises(Crash), LocalTrouble(tmp_path).tear_write(at=at, keep=7):
        work(LocalStore(tmp_path), acknowledged)
    left = [path for path in tmp_path.rglob("~*") if path.is_file()]
    assert [path.stat().st_size for path in left] == [7]
    assert len(acknowledged) == at - 1
    look(tmp_path, acknowledged)
    LocalStore(tmp_path).remove_leftovers(written_before_ns=2**62)
    assert not list(tmp_path.rglob("~*"))


def test_what_was_not_synced_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model bites: a store that forgets one fsync loses what it acknowledged, or shows zeros for it."""

    class Forgetful:
        def __getattr__(self, name: str) -> object:
            return (lambda descriptor: None) if name == "fsync" else getattr(os, name)

    def outcome(seed: int, forget: Callable[[], None]) -> bytes:
        folder = tmp_path / f"{seed}{forget.__name__}"
        store = filled(folder)
        trouble = LocalTrouble(folder, seed=seed)
        with trouble:
            forget()
            store.put("packs/aa/2", NEW["packs/aa/2"])
        trouble.lose_power()
        path = folder / "packs/aa/2"
        return path.read_bytes() if path.exists() else b"absent"

    def the_file() -> None:
        monkeypatch.setattr(files, "os", Forgetful())

    def nothing() -> None:
        return

    assert {outcome(seed, nothing) for seed in range(6)} == {NEW["packs/aa/2"]}
    seen = {outcome(seed, the_file) for seed in range(12)}
    assert bytes(len(NEW["packs/aa/2"])) in seen, "the name is there, the bytes are zeros"


def test_the_store_has_the_system_back(tmp_path: Path) -> None:
    with pytest.raises(Crash), LocalTrouble(tmp_path).stop_after(1):
        LocalStore(tmp_path).put("a/b", b"x")
    assert files.os is os
    assert LocalStore(tmp_path).put("a/b", b"x").size == 1
