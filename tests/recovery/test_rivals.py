"""Several processes at once, on one vault."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from holdfast.control.vaults.opening import open_at
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, names_are_tidy, read_tree
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.access.configuration import load_config
from holdfast.vault.snapshots.refs import read_history

from .rivals import admit_at_once, create_at_once, hand_over, run_rivals, save_often, shared_trial
from .sample_vault import train, write_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a vault in it, and the keeper's key."""
    hand_over(new_trial_vault(LocalStore(tmp_path / "vault")).keeper, tmp_path)
    return tmp_path


def test_two_writers_of_one_asset(folder: Path, tmp_path: Path) -> None:
    run_rivals(save_often, [(folder, "left", 6), (folder, "right", 6)])
    vault = shared_trial(folder).open()
    roots = [one.root for one in vault.snapshots("asset") if one.root]
    kept = {path.name: path for path in (folder / "kept").iterdir()}
    assert len(roots) == 12 and {root.id for root in roots} == kept.keys()
    for root in roots:
        target = vault.restore(root.id, tmp_path / "out" / root.id).target
        assert (target / "state").read_bytes() == (kept[root.id] / "state").read_bytes()
    check_is_clean(vault)
    names_are_tidy(vault.handle.store)
    newest = max(roots, key=lambda root: root.content)
    assert vault.find("asset").content == vault.find("asset@validated").content == newest.content
    for name in ("latest", "validated"):
        contents = {root.id: root.content for root in roots}
        moves = [contents[ref.target] for ref in read_history(vault.handle, "asset", name)]
        assert moves == sorted(moves), f"{name} went back"


def test_two_creators_of_one_vault(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_rivals(create_at_once, [(folder, "left"), (folder, "right")])
        outcomes = sorted((folder / f"{name}.outcome").read_text() for name in ("left", "right"))
        assert outcomes[0] == "RefusedError 5" and outcomes[1].startswith("made "), outcomes
        environment = {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
        opened = open_at(
            str(folder / "vault"), environment=environment
        )  # with the winner's key, of the two that lie there
        assert outcomes[1] == f"made {opened.id}"
        opened.save("asset", {"a": 1.0})


def test_two_keepers_change_the_configuration(folder: Path) -> None:
    run_rivals(admit_at_once, [(folder, "one"), (folder, "two"), (folder, "three")])
    trial = shared_trial(folder)
    config = load_config(trial.store, trial.keeper.keepers).config
    assert config.generation == 4
    assert {signer.label for signer in config.signers} == {"keeper", "one", "two", "three"}


def test_restoring_while_others_save(folder: Path, tmp_path: Path) -> None:
    """Whatever `asset` leads to at a moment restores whole, though a newer one arrives meanwhile."""
    source = tmp_path / "mine"
    source.mkdir()
    write_state(source, seed=1)
    trial = shared_trial(folder)
    expected = {trial.open().save("asset", source, step=0).root.id: read_tree(source)}
    stop = threading.Event()
    failures: list[BaseException] = []

    def save() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            train(source, seed=step)
            tree = read_tree(source)
            expected[trial.open().save("asset", source, step=step).root.id] = tree

    def guarded() -> None:
        try:
            save()
        except BaseException as error:
            failures.append(error)

    saver = threading.Thread(target=guarded)
    saver.start()
    restored = {}
    try:
        for number in range(12):
            result = trial.open().restore("asset", tmp_path / "out" / str(number))
            restored[result.root.id] = read_tree(result.target)
    finally:
        stop.set()
        saver.join()
    assert not failures, failures
    for snapshot, tree in restored.items():
        assert tree == expected[snapshot]
    every_snapshot_restores(trial.open(), expected, tmp_path / "all")


def test_two_restores_to_one_place(folder: Path, tmp_path: Path) -> None:
    """One may lose, and say so; what stands there in the end is whole."""
    source = tmp_path / "mine"
    source.mkdir()
    write_state(source, seed=1)
    os.chmod(source / "weights.npy", 0o444)
    trial = shared_trial(folder)
    trial.open().save("asset", source)
    for number in range(5):
        target = tmp_path / "out" / str(number)
        barrier = threading.Barrier(2)
        failed: list[str] = []

        def restore(target: Path = target, barrier: threading.Barrier = barrier, failed: list[str] = failed) -> None:
            vault = trial.open()
            barrier.wait()
            try:
                vault.restore("asset", target)
            except Exception as error:
                failed.append(type(error).__name__)

        threads = [threading.Thread(target=restore) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(failed) <= 1 and set(failed) <= {"RefusedError"}, failed
        assert read_tree(target) == read_tree(source)
