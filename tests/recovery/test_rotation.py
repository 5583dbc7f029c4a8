"""A new epoch: everybody who could read still can, what was saved before restores, and old programs do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import CredentialError, UsageError, WrongKeyError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.format.header import Header
from holdfast.vault.format.names import PACKS, SNAPSHOTS
from holdfast.vault.vault import open_vault

from .sample_vault import ASSET, train, write_state


def epochs_of(store: Store) -> set[int]:
    """The epochs that packs and roots are sealed to."""
    keys = [info.key for prefix in (PACKS, SNAPSHOTS) for info in store.list(prefix)]
    return {epoch_of(store, key) for key in keys}


def epoch_of(store: Store, key: str) -> int:
    return Header.parse(store.get(key), key).epoch


def roots_of(store: Store) -> list[str]:
    return [info.key for info in store.list(SNAPSHOTS)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_state(folder, seed=1)
    return folder


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


def test_each_snapshot_restores_and_readers_old_and_new_open_all(
    trial: TrialVault, source: Path, tmp_path: Path
) -> None:
    vault = trial.open()
    reader = admit_reader(vault.handle, "auditor")
    expected = {vault.save(ASSET, source, step=1).root.id: read_tree(source)}
    assert rotate_epoch(vault.handle) == 2
    train(source, seed=1)
    expected[vault.save(ASSET, source, step=2).root.id] = read_tree(source)  # the same handle goes on
    assert rotate_epoch(trial.open().handle) == 3
    train(source, seed=2)
    expected[trial.open().save(ASSET, source, step=3).root.id] = read_tree(source)
    assert epochs_of(trial.store) == {1, 2, 3}
    late = admit_reader(trial.open().handle, "late")
    for credential in (trial.keeper, reader, late):
        every_snapshot_restores(open_vault(trial.store, credential), expected, tmp_path / credential.label)
    check_is_clean(trial.open())


def test_a_writer_goes_on_and_seals_to_the_epoch_that_it_knows(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    writer = admit_writer(trial.open().handle, "gpu-1")
    running = open_vault(trial.store, writer)
    running.save(ASSET, source, step=1)
    rotate_epoch(trial.open().handle)
    train(source, seed=1)
    first, tree = running.save(ASSET, source, step=2), read_tree(source)
    train(source, seed=2)
    second = open_vault(trial.store, writer).save(ASSET, source, step=3)
    assert {epoch_of(trial.store, key) for key in roots_of(trial.store)} == {1, 2}
    every_snapshot_restores(trial.open(), {first.root.id: tree, second.root.id: read_tree(source)}, tmp_path / "out")
    revoke_signer(trial.open().handle, "gpu-1")  # members are changed in the new epoch as before


def test_two_keepers_at_once_open_one_epoch(trial: TrialVault) -> None:
    one, other = trial.open(), trial.open()
    assert rotate_epoch(one.handle) == 2
    with pytest.raises(WrongKeyError, match="new epoch"):
        rotate_epoch(other.handle)
    assert rotate_epoch(trial.open().handle) == 3


def test_a_passphrase_has_to_be_known() -> None:
    store = MemoryStore()
    vault = new_trial_vault(store, passphrase="correct horse").open()
    for wrong, error in ((None, CredentialError), ("battery staple", WrongKeyError)):
        with pytest.raises(error):
            rotate_epoch(vault.handle, passphrase=wrong)
    rotate_epoch(vault.handle, passphrase="correct horse")
    vault.save(ASSET, {"a": 1})
    assert open_vault(store, None, passphrase="correct horse").find(ASSET).id


def test_a_public_vault_has_no_keys_to_rotate() -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        rotate_epoch(new_trial_vault(MemoryStore(), encrypted=False).open().handle)


def test_members_may_not(trial: TrialVault) -> None:
    handle = trial.open().handle
    for credential in (admit_writer(handle, "gpu-1"), admit_reader(handle, "auditor")):
        with pytest.raises(CredentialError):
            rotate_epoch(open_vault(trial.store, credential).handle)
