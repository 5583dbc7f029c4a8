"""What a save looks at before it begins: the vault's place, its own right to write, what killed saves left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from holdfast.errors import RefusedError, UntrustedError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.configuration import append_config
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.saving.unfinished import Marks

DAY = 86_400


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


@pytest.mark.parametrize("relation", ["holds", "lies in", "is", "holds through a link"])
def test_a_source_and_its_vault_in_each_other(tmp_path: Path, relation: str) -> None:
    work = tmp_path / "work"
    trial = new_trial_vault(LocalStore(work / "vault"))
    (tmp_path / "link").symlink_to("work")
    place = {"holds": work, "lies in": work / "vault" / "config", "is": work / "vault"}.get(relation, tmp_path / "link")
    before = contents_of(trial.store)
    with pytest.raises(RefusedError, match="vault") as caught:
        trial.open().save("run", place)
    assert caught.value.hint and contents_of(trial.store) == before


def test_a_source_beside_its_vault(tmp_path: Path) -> None:
    trial = new_trial_vault(LocalStore(tmp_path / "run-vault"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_bytes(b"x")
    assert trial.open().save("run", tmp_path / "run").validated
    assert trial.open().save("run", tmp_path / "run" / "file").validated


def test_a_file_in_the_vault_is_no_source(tmp_path: Path) -> None:
    trial = new_trial_vault(LocalStore(tmp_path / "vault"))
    with pytest.raises(RefusedError, match="lies in the vault"):
        trial.open().save("run", tmp_path / "vault" / "config" / "0000000001")


def test_a_writer_that_was_revoked_while_it_ran(trial: TrialVault) -> None:
    vault = trial.open(admit_writer(trial.open().handle, "machine"))
    vault.save("run", {"a": 1})
    revoke_signer(trial.open().handle, "machine")
    before = contents_of(trial.store)
    with pytest.raises(UntrustedError, match="'machine' was revoked") as caught:
        vault.save("run", {"a": 2})
    assert caught.value.hint and contents_of(trial.store) == before


def test_a_writer_that_is_not_listed_any_more(trial: TrialVault) -> None:
    vault = trial.open(admit_writer(trial.open().handle, "machine"))
    keeper = trial.open().handle
    config = keeper.keys.config
    shorter = msgspec.structs.replace(config, generation=config.generation + 1, signers=config.signers[:1])
    append_config(trial.store, keeper.keys, shorter)
    with pytest.raises(UntrustedError, match="does not list 'machine'"):
        vault.save("run", {"a": 1})


def test_a_configuration_that_went_back(trial: TrialVault) -> None:
    """Whoever removes the generation that revoked somebody must not be believed by one who has seen it."""
    admit_writer(trial.open().handle, "machine")
    vault = trial.open()
    trial.store.delete("config/0000000002")
    with pytest.raises(UntrustedError, match="went back from 2 to 1"):
        vault.save("run", {"a": 1})


def test_a_vault_that_stays_open_learns_of_new_members(trial: TrialVault) -> None:
    """What a new writer signs counts for whoever has the vault open, at the latest when it saves."""
    vault = trial.open()
    writer = admit_writer(trial.open().handle, "machine")
    admit_reader(trial.open().handle, "person")
    trial.open(writer).save("run", {"a": 1})
    report = vault.save("run", {"a": 2})
    assert report.validated and len(report.root.parents) == 1


def test_what_killed_saves_left_is_removed(tmp_path: Path) -> None:
    trial = new_trial_vault(LocalStore(tmp_path / "vault"))
    trial.open().save("run", {"a": 1})
    old, young = (tmp_path / "vault" / "config" / f"~{name}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half a pack")
    moment = time.time() - 2 * DAY
    os.utime(old, (moment, moment))
    trial.open().save("run", {"a": 2})
    assert old.exists(), "it was looked for a moment ago"
    Marks(trial.open().handle.keys.vault, trial.store).begin()  # as a save does that is killed then
    trial.open().save("run", {"a": 3})
    assert not old.exists() and young.exists(), "a save that is under way elsewhere is left alone"
