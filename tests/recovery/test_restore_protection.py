"""What a restore never replaces or writes into, whatever it is asked: the store, keys, the places that one lives in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.control.snapshots.restore_plans import plan_restore
from holdfast.errors import RefusedError, UsageError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import read_tree, trees_are_equal
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.tensors.exporting import plan_export

from .sample_vault import write_state


@pytest.fixture
def trial(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialVault:
    """A vault in a folder, with everything that is protected in a world of its own."""
    write_state(source, seed=1)
    world = tmp_path / "world"
    for folder in ("home/me/work", "keys/holdfast/keys", "vaults"):
        (world / folder).mkdir(parents=True)
    (world / "home/me/work/thesis.tex").write_text("mine")
    (world / "named.key").write_text("a key")
    (world / "alias").symlink_to("vaults")
    monkeypatch.setenv("HOME", str(world / "home/me"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world / "keys"))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(world / "named.key"))
    monkeypatch.chdir(world / "home/me/work")
    trial = new_trial_vault(LocalStore(world / "vaults/one"), pack_bytes=1 << 20)
    trial.open().save("asset", source)
    return trial


REPLACED = [
    "vaults/one",
    "vaults",
    "vaults/one/packs",
    "vaults/one/new",
    "alias/one",
    "alias/one/new",
    "vaults/../vaults/one",
    "home/me",
    "home",
    "home/me/work",
    "home/me/work/..",
    "home/me/work/.",
    "keys/holdfast/keys",
    "keys",
    "keys/holdfast/keys/new",
    "named.key",
    ".",
]


@pytest.mark.parametrize("place", REPLACED)
def test_an_overwriting_restore_leaves_it_alone(trial: TrialVault, tmp_path: Path, place: str) -> None:
    world = tmp_path / "world"
    target, before = Path(f"{world}/{place}"), read_tree(world)
    vault = trial.open(store=FaultyStore(trial.store, Faults()))  # a wrapped store is protected as well
    with pytest.raises(RefusedError) as caught:
        vault.restore("asset", target, overwrite=True)
    assert caught.value.exit_code == 5 and caught.value.hint
    with pytest.raises(RefusedError):
        plan_restore(vault, "asset", target, only=None, overwrite=True)
    with pytest.raises(RefusedError):
        vault.restore("asset", target)
    trees_are_equal(read_tree(world), before, "the world")


def test_the_root_of_the_file_system(trial: TrialVault) -> None:
    for overwrite in (False, True):
        with pytest.raises(RefusedError, match="root"):
            plan_restore(trial.open(), "asset", Path("/"), only=None, overwrite=overwrite)


def test_an_export_into_the_store_or_over_a_key(trial: TrialVault, tmp_path: Path) -> None:
    world = tmp_path / "world"
    vault = trial.open()
    for name in ("vaults/one/x.safetensors", "named.key/x.safetensors"):
        with pytest.raises(RefusedError):
            plan_export(vault.handle, vault.find("asset"), "*", world / name, overwrite=True)


def test_new_folders_in_these_places_are_fine(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    expected = read_tree(source)
    for name in ("home/me/new", "home/me/work/new", "home/me/work/../new too", "keys/other"):
        target = Path(f"{tmp_path}/world/{name}")
        for overwrite in (False, True):
            trial.open().restore("asset", target, overwrite=overwrite)
            trees_are_equal(read_tree(target), expected, name)


def test_a_home_that_is_a_link(trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what it leads to may go, nor the link."""
    link = tmp_path / "world/home/link"
    link.symlink_to("me")
    monkeypatch.setenv("HOME", str(link))
    monkeypatch.chdir("/")
    for place in (link, tmp_path / "world/home/me"):
        with pytest.raises(RefusedError, match="home"):
            trial.open().restore("asset", place, overwrite=True)
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_target_that_can_be_no_name(trial: TrialVault, tmp_path: Path, name: str) -> None:
    vault = trial.open()
    with pytest.raises(UsageError):
        vault.restore("asset", tmp_path / name)
    with pytest.raises(UsageError):
        plan_export(vault.handle, vault.find("asset"), "*", tmp_path / name)


def test_chosen_files_do_not_replace_a_whole_folder(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    trial.open().restore("asset", target)
    before = read_tree(target)
    for act in (
        lambda: trial.open().restore("asset", target, only="*.npy", overwrite=True),
        lambda: plan_restore(trial.open(), "asset", target, only="*.npy", overwrite=True),
    ):
        with pytest.raises(RefusedError, match="chosen") as caught:
            act()
        assert "--only" in caught.value.hint
    trees_are_equal(read_tree(target), before, "the folder")
    trial.open().restore("asset", tmp_path / "new", only="*.npy", overwrite=True)
    assert sorted(os.listdir(tmp_path / "new")) == ["optimizer.npy", "weights.npy"]
