"""A configuration that was seen cannot be taken back: not by number, and not by another history of the same length."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.control.keys.key_files import export_reader
from holdfast.control.keys.recipients import create_key
from holdfast.control.vaults.known_vaults import KnownVaults, _Seen, known_vaults_file
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import CredentialError, HoldfastError, PermissionDeniedError, UntrustedError, WrongKeyError
from holdfast.events import SILENT
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import NoteTaker, new_trial_vault
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.vault.access.descent import SeenConfig, require_descent, seen_config
from holdfast.vault.access.members import admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import Config, Signer, encode_record
from holdfast.vault.vault import Vault

State = Callable[[str], dict[str, str]]


@pytest.fixture
def machine(tmp_path: Path) -> State:
    """The environment of a user of that name."""
    return lambda name: {"HOME": str(tmp_path / name)}


def replace_config(vault: Vault, generation: int, by: SigningKey, **changes: Any) -> None:
    """As its store's owner does: another generation of that number, signed by anybody."""
    keys, store, key = vault.handle.keys, vault.handle.store, config_key(generation)
    config = msgspec.structs.replace(keys.config, **({"generation": generation} | changes))
    store.delete(key)
    store.put(key, write_config(keys.vault, config.suite, key, encode_record(config), by))


def test_a_keeper_does_not_sign_what_was_put_back(tmp_path: Path) -> None:
    """Else a revoked writer counts again, by a generation that is the keeper's own."""
    trial = new_trial_vault(MemoryStore())
    admit_writer(trial.open().handle, "stolen")
    opened = trial.open()
    revoke_signer(opened.handle, "stolen")
    third = trial.store.get(config_key(3))
    trial.store.delete(config_key(3))
    with pytest.raises(UntrustedError, match="went back from 3 to 2"):
        admit_writer(opened.handle, "new")
    admit_writer(trial.open().handle, "other")  # on a machine that did not see it
    with pytest.raises(UntrustedError, match="does not go on from generation 3"):
        admit_writer(opened.handle, "new")
    admit_writer(trial.open().handle, "another")
    with pytest.raises(UntrustedError, match="does not go on from generation 3"):
        admit_writer(opened.handle, "new")
    for generation in (3, 4):
        trial.store.delete(config_key(generation))
    trial.store.put(config_key(3), third)
    admit_writer(opened.handle, "new")


def test_another_history_of_the_same_length(tmp_path: Path, machine: State) -> None:
    """A keeper was shown a state without the revocation, and wrote on from there."""
    place, mine, fork = tmp_path / "vault", machine("me"), tmp_path / "fork"
    handle = create(str(place), environment=mine).vault.handle
    admit_writer(handle, "stolen")
    shutil.copytree(place, fork)
    revoke_signer(handle, "stolen")
    open_at(str(place), environment=mine)
    shutil.copytree(tmp_path / "me" / ".config", tmp_path / "other" / ".config")
    for length in (3, 4):
        admit_writer(open_at(str(fork), environment=machine("other")).handle, f"writer-{length}")
        shutil.rmtree(place)
        shutil.copytree(fork, place)
        with pytest.raises(UntrustedError, match="does not go on from generation 3") as caught:
            open_at(str(place), environment=mine)
        assert "known-vaults.json" in caught.value.hint


@pytest.mark.parametrize("seen", [1, 2])
def test_a_public_vault_without_a_key_keeps_its_keepers(tmp_path: Path, machine: State, seen: int) -> None:
    """Nothing pins a keeper there but what was seen."""
    place, visitor = tmp_path / "vault", machine("visitor")
    owned = create(str(place), encryption=False, environment=machine("owner")).vault
    if seen == 2:
        admit_writer(owned.handle, "gpu-1")
    assert open_at(str(place), environment=visitor).handle.keys.config.generation == seen
    admit_writer(owned.handle, "gpu-2")
    me = SigningKey.generate()
    evil = [Signer("keeper", "keeper", me.public, 1)]
    for generation in (1, seen + 1):  # where the second was seen, it is still there, between others
        replace_config(owned, generation, me, signers=evil)
    with pytest.raises(UntrustedError, match=f"does not go on from generation {seen}"):
        open_at(str(place), environment=visitor)


def test_what_goes_on_is_opened(tmp_path: Path, machine: State) -> None:
    """By and by, by leaps, and with a file that was written before there were marks."""
    place, mine = tmp_path / "vault", machine("me")
    handle = create(str(place), environment=mine).vault.handle
    file = known_vaults_file(mine)
    for label in "abcd":
        admit_writer(handle, label)
        if label != "b":
            open_at(str(place), environment=mine)
    old = file.read_text()
    file.write_text(old.replace(seen_config(handle.keys.config).mark, ""))
    assert file.read_text() != old
    open_at(str(place), environment=mine)
    assert file.read_text() == old


def test_others_may_write_while_it_is_looked_at() -> None:
    trial = new_trial_vault(MemoryStore())
    configs = [trial.open().handle.keys.config]
    for label in "abc":
        admit_writer(trial.open().handle, label)
        configs.append(trial.open().handle.keys.config)
    for number, config in enumerate(configs):
        for earlier in configs[: number + 1]:
            require_descent(trial.store, seen_config(earlier), config)


def test_what_was_seen_is_lost(tmp_path: Path, machine: State) -> None:
    """Nobody can tell then whether what follows goes on from it."""
    place, mine = tmp_path / "vault", machine("me")
    handle = create(str(place), environment=mine).vault.handle
    admit_writer(handle, "gpu-1")
    handle.store.delete(config_key(1))
    with pytest.raises(UntrustedError, match="missing, damaged or another one"):
        open_at(str(place), environment=mine)


def test_marks_tell_all_that_matters() -> None:
    config = new_trial_vault(MemoryStore()).open().handle.keys.config
    [keeper], [epoch] = config.signers, config.epochs
    changed: list[Config] = [
        msgspec.structs.replace(config, signers=[msgspec.structs.replace(keeper, revoked=5)]),
        msgspec.structs.replace(config, signers=[keeper, keeper]),
        msgspec.structs.replace(config, epochs=[msgspec.structs.replace(epoch, recipients=[])]),
        msgspec.structs.replace(config, suite=2),
        msgspec.structs.replace(config, created=-(1 << 63)),
        msgspec.structs.replace(config, secrets=b""),
    ]
    assert len({seen_config(one).mark for one in [config, *changed]}) == 7
    with pytest.raises(UntrustedError):
        require_descent(MemoryStore(), seen_config(config), changed[0])
    require_descent(MemoryStore(), SeenConfig(1), changed[0])  # only the number is known


def test_a_fingerprint_that_is_given_must_be_the_keepers(tmp_path: Path, machine: State) -> None:
    """HOLDFAST_KEEPER says whose signature counts, whatever it is opened with."""
    for encrypted in (False, True):
        place = str(tmp_path / f"vault-{encrypted}")
        words = {"HOLDFAST_PASSPHRASE": "correct horse"} if encrypted else {}
        vault = create(place, encryption=encrypted, environment=machine("owner") | words).vault
        assert vault.handle.keys.signer is not None
        for keeper, fits in ((fingerprint(vault.handle.keys.signer.public), True), ("ab" * 16, False)):
            environment, notes = machine(f"fresh-{fits}") | words | {"HOLDFAST_KEEPER": keeper}, NoteTaker()
            if fits:
                assert open_at(place, environment=environment, progress=notes).id == vault.id
                assert notes.notes == [], "a signature was checked"
            else:
                with pytest.raises(UntrustedError, match="not signed by a keeper that this key trusts"):
                    open_at(place, environment=environment)


def test_a_key_that_cannot_be_used_is_not_passed_over(tmp_path: Path, machine: State) -> None:
    """With it, the signatures of a public vault would have been checked."""
    place, mine = str(tmp_path / "vault"), machine("me")
    file = create(place, encryption=False, environment=mine).key_file
    file.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match="open to others"):
        open_at(place, environment=mine)
    file.chmod(0o600)
    file.write_text(file.read_text()[:-20])
    with pytest.raises(CredentialError, match="not a holdfast key file"):
        open_at(place, environment=mine)


def test_a_passphrase_in_the_place_of_a_damaged_key_is_told(tmp_path: Path, machine: State) -> None:
    place, mine = str(tmp_path / "vault"), machine("me") | {"HOLDFAST_PASSPHRASE": "correct horse"}
    file = create(place, environment=mine).key_file
    file.write_text(file.read_text()[:-20])
    notes = NoteTaker()
    assert open_at(place, environment=mine, progress=notes).handle.keys.role == "reader"
    [note] = notes.notes
    assert note.startswith("opened by the passphrase") and str(file) in note


def test_a_key_that_was_not_made_is_in_nobodys_way(tmp_path: Path, machine: State) -> None:
    place, mine = str(tmp_path / "vault"), machine("me") | {"HOLDFAST_PASSPHRASE": "correct horse"}
    create(place, environment=machine("owner") | {"HOLDFAST_PASSPHRASE": "correct horse"})
    store, taken = LocalStore(Path(place)), tmp_path / "taken"
    taken.write_text("x")
    for to, public in ((None, tmp_path / "nowhere" / "a"), (None, taken), (taken, tmp_path / "b")):
        with pytest.raises(HoldfastError):
            create_key(store, "dr", to=to, public_file=public, environment=mine)
    assert not (tmp_path / "b").exists() and not list((tmp_path / "me").rglob("*.key"))
    assert open_at(place, environment=mine).handle.keys.role == "reader"


def test_a_keeper_who_missed_a_rotation_lets_nobody_in(tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore())
    stale = trial.open()
    rotate_epoch(trial.open().handle)
    with pytest.raises(WrongKeyError, match="new epoch"):
        export_reader(stale, "auditor", tmp_path / "auditor.key")
    assert not (tmp_path / "auditor.key").exists()


def test_a_line_deleted_by_hand_leaves_the_others(tmp_path: Path, machine: State) -> None:
    """As the hint says. JSON wants no comma at the end; a person need not know."""
    mine, notes = machine("me"), NoteTaker()
    places = [str(tmp_path / name) for name in "abc"]
    for place in places:
        create(place, environment=mine)
    file = known_vaults_file(mine)
    for gone in (places[2], places[0]):
        file.write_text("\n".join(line for line in file.read_text().splitlines() if f'"{gone}"' not in line) + "\n")
    open_at(places[1], environment=mine, progress=notes)
    open_at(places[0], environment=mine, progress=notes)
    assert notes.notes == [] and [place in file.read_text() for place in places] == [True, True, False]


def test_many_at_once_forget_nothing(tmp_path: Path, machine: State) -> None:
    mine, notes = machine("me"), NoteTaker()
    vaults = [create(str(tmp_path / str(number)), encryption=False, environment=mine).vault for number in range(12)]
    known_vaults_file(mine).unlink()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda vault: KnownVaults(mine, notes).remember(vault, None), vaults))
    text = known_vaults_file(mine).read_text()
    assert notes.notes == [] and all(vault.id in text for vault in vaults)


def test_who_opened_it_earlier_does_not_lower_what_was_seen(tmp_path: Path, machine: State) -> None:
    """Another program opened it after this one, and was done before."""
    place, mine = str(tmp_path / "vault"), machine("me")
    early = create(place, environment=mine).vault
    admit_writer(open_at(place, environment=mine).handle, "gpu-1")
    late = open_at(place, environment=mine)
    before = known_vaults_file(mine).read_text()
    seen = _Seen(early.id, 1, *seen_config(early.handle.keys.config))
    KnownVaults(mine, SILENT)._write(early.url, seen, anew=False)
    assert known_vaults_file(mine).read_text() == before
    assert seen_config(late.handle.keys.config).mark in before
