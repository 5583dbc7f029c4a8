"""A vault that takes another's place, or whose configuration goes back, is noticed by whoever was there before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from holdfast.control.vaults.known_vaults import known_vaults_file
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import CredentialError, UntrustedError
from holdfast.testing.workspace import NoteTaker
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.names import config_key

State = Callable[[str], dict[str, str]]


@pytest.fixture
def machine(tmp_path: Path) -> State:
    """The environment of a user of that name."""
    return lambda name: {"HOME": str(tmp_path / name)}


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_a_plain_vault_in_the_place_of_mine(tmp_path: Path, machine: State, encrypted: bool) -> None:
    place, mine = str(tmp_path / "vault"), machine("me")
    create(place, encryption=encrypted, environment=mine)
    evil = create(str(tmp_path / "evil"), encryption=False, environment=machine("attacker")).vault
    evil.save("llama", {"weights": np.ones(4)})
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "evil", place)
    for environment in (mine, mine | {"HOLDFAST_PASSPHRASE": "x"}):
        with pytest.raises(UntrustedError, match="another one than before") as caught:
            open_at(place, environment=environment)
        assert evil.id in caught.value.message and "known-vaults.json" in caught.value.hint
    file = known_vaults_file(mine)
    kept = [line for line in file.read_text().splitlines() if place not in line]
    file.write_text("\n".join(kept))
    assert open_at(place, environment=mine).id == evil.id, "what the hint says does not help"


def test_another_encrypted_vault_in_the_place_of_mine(tmp_path: Path, machine: State) -> None:
    place, mine = tmp_path / "vault", machine("me")
    create(str(place), environment=mine)
    place.rename(tmp_path / "elsewhere")
    other = create(str(tmp_path / "other"), environment=mine).vault
    (tmp_path / "other").rename(place)
    with pytest.raises(UntrustedError, match=other.id):
        open_at(str(place), environment=mine)


def test_a_vault_that_its_owner_makes_anew(tmp_path: Path, machine: State) -> None:
    place, mine = tmp_path / "vault", machine("me")
    create(str(place), environment=mine)
    shutil.rmtree(place)
    again = create(str(place), environment=mine).vault
    assert open_at(str(place), environment=mine).id == again.id


def test_opening_without_a_key_says_so(tmp_path: Path, machine: State) -> None:
    place = str(tmp_path / "vault")
    create(place, encryption=False, environment=machine("me"))
    notes = NoteTaker()
    open_at(place, environment=machine("me"), progress=notes)
    assert notes.notes == []
    open_at(place, environment=machine("somebody"), progress=notes)
    assert [note for note in notes.notes if "without a key" in note]


def test_a_configuration_that_goes_back(tmp_path: Path, machine: State) -> None:
    """Else a store that forgets the last generation lets a revoked writer count again."""
    place, mine = tmp_path / "vault", machine("me")
    handle = create(str(place), environment=mine).vault.handle
    admit_writer(handle, "stolen")
    revoke_signer(handle, "stolen")
    open_at(str(place), environment=mine)
    handle.store.delete(config_key(3))
    with pytest.raises(UntrustedError, match="went back from 3 to 2"):
        open_at(str(place), environment=mine)


def test_an_unreadable_memory_is_noted_and_nobody_is_locked_out(tmp_path: Path, machine: State) -> None:
    place, mine = str(tmp_path / "vault"), machine("me")
    made = create(place, environment=mine).vault
    known_vaults_file(mine).write_text("{broken")
    notes = NoteTaker()
    assert open_at(place, environment=mine, progress=notes).id == made.id
    assert len(notes.notes) == 1 and "known-vaults.json" in notes.notes[0]
    notes = NoteTaker()
    open_at(place, environment=mine, progress=notes)
    assert notes.notes == []


def test_without_any_key_an_encrypted_vault_stays_closed(tmp_path: Path, machine: State) -> None:
    place = str(tmp_path / "vault")
    create(place, environment=machine("me"))
    with pytest.raises(CredentialError):
        open_at(place, environment=machine("somebody"))
    assert not known_vaults_file(machine("somebody")).exists(), "what was not opened was not seen"
