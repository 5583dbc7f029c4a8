"""The words of these tests mean something: each damage is done, and each invariant breaks when it should."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from holdfast.errors import ObjectNotFoundError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import (
    Append,
    DamageDone,
    Delete,
    Flip,
    FutureVersion,
    Replace,
    Resealed,
    Swap,
    Truncate,
    contents_of,
    put_back,
)
from holdfast.testing.invariants import (
    BrokenInvariant,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    pointers_resolve,
    read_tree,
    trees_are_equal,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault

from .sample_vault import ASSET, write_state

DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Flip("a", 3, 0x80), DATA[:3] + b"\x83" + DATA[4:]),
        (Flip("a", 103, 1), DATA[:3] + b"\x02" + DATA[4:]),
        (Truncate("a", 7), DATA[:7]),
        (Truncate("a", 0), b""),
        (Append("a", b"xy"), DATA + b"xy"),
        (Replace("a", b"other"), b"other"),
        (Swap("a", "b"), b"second"),
        (FutureVersion("a", 9), (body := DATA[:9] + b"\x09" + DATA[10:68]) + blake3(body).digest()),
        (Resealed("a", 12, 3), (body := DATA[:12] + b"\x0f" + DATA[13:68]) + blake3(body).digest()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_damage_is_what_it_says_and_can_be_undone(damage: DamageDone, expected: bytes) -> None:
    store = MemoryStore()
    store.put("a", DATA)
    store.put("b", b"second")
    before = contents_of(store)
    damage.apply(store)
    assert store.get("a") == expected
    store.put("c", b"added meanwhile")
    put_back(store, before)
    assert contents_of(store) == before


def test_what_is_not_there_cannot_be_damaged() -> None:
    for damage in (Flip("a", 0), Truncate("a", 0), Delete("a"), Replace("a", b""), Swap("a", "b"), FutureVersion("a")):
        with pytest.raises(ObjectNotFoundError):
            damage.apply(MemoryStore())


def retarget(link: Path) -> None:
    link.unlink()
    link.symlink_to("elsewhere")


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda folder: (folder / "weights.npy").write_bytes(b"other"),
    "a mode": lambda folder: (folder / "weights.npy").chmod(0o600),
    "a time": lambda folder: os.utime(folder / "sub", ns=(0, 1)),
    "a link": lambda folder: retarget(folder / "newest"),
    "a kind": lambda folder: to_folder(folder / "sub" / "empty"),
    "a file more": lambda folder: (folder / "sub" / "new").touch(),
    "a file less": lambda folder: (folder / "sub" / "empty").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_trees_that_differ_in_anything_are_not_equal(source: Path, change: str) -> None:
    write_state(source, seed=1)
    before = read_tree(source)
    trees_are_equal(read_tree(source), before, "the same")
    CHANGES[change](source)
    with pytest.raises(BrokenInvariant):
        trees_are_equal(read_tree(source), before, "changed")


@pytest.fixture
def trial(source: Path) -> TrialVault:
    write_state(source, seed=1)
    trial = new_trial_vault(MemoryStore())
    trial.open().save(ASSET, source)
    return trial


def test_invariants_break(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    snapshot, tree = trial.open().find(ASSET).id, read_tree(source)
    sound = contents_of(trial.store)
    pack = next(key for key in sound if key.startswith("packs/"))
    root = next(key for key in sound if key.startswith("snapshots/"))

    def holds() -> None:
        vault = trial.open()
        names_are_tidy(trial.store)
        check_is_clean(vault)
        pointers_resolve(vault, ASSET)
        every_snapshot_restores(vault, {snapshot: tree}, tmp_path / "out")

    holds()
    for breaking in (
        lambda: trial.store.put("packs/123-half-written", b""),
        lambda: Flip(pack, len(sound[pack]) - 200).apply(trial.store),
        lambda: Delete(root).apply(trial.store),
    ):
        breaking()
        with pytest.raises(BrokenInvariant):
            holds()
        put_back(trial.store, sound)
    with pytest.raises(BrokenInvariant, match="are not listed"):
        every_snapshot_restores(trial.open(), {"0" * 26: tree}, tmp_path / "out")
    with pytest.raises(BrokenInvariant, match=snapshot):
        every_snapshot_restores(trial.open(), {snapshot: {**tree, b"more": tree[b"weights.npy"]}}, tmp_path / "out")
