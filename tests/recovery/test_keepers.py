"""More than one keeper: each may all, one takes the place of another, and one that was revoked changes nothing more."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from holdfast.errors import ConflictError, CredentialError, HoldfastError, RefusedError, UntrustedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import decode_credential, encode_credential
from holdfast.trust.signing import fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.access.governing import write_generation
from holdfast.vault.access.members import admit_keeper, admit_reader, admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.access.recipients import remove_recipient
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import CONFIG, config_key
from holdfast.vault.format.records import Signer, encode_record
from holdfast.vault.vault import open_vault

from .sample_vault import ASSET, train, write_state


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def trial(request: pytest.FixtureRequest) -> TrialVault:
    return new_trial_vault(MemoryStore(), encrypted=request.param)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_state(folder, seed=1)
    return folder


def test_a_keepers_key_is_renewed(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """Admit the new one, revoke the old one, go on. Who pins the old one alone follows."""
    writer = admit_writer(trial.open().handle, "gpu-1")
    expected = {trial.open().save(ASSET, source, step=1).root.id: read_tree(source)}
    new = admit_keeper(trial.open().handle, "keeper-2027")
    new = decode_credential(encode_credential(new), "x")
    handle = open_vault(trial.store, new).handle
    revoked = revoke_signer(handle, "keeper")
    assert (revoked.role, revoked.revoked is not None) == ("keeper", True)
    if handle.keys.private:
        remove_recipient(handle, "keeper")
        rotate_epoch(handle)
    for credential in (writer, new):
        train(source, seed=len(expected))
        report = open_vault(trial.store, credential).save(ASSET, source, step=len(expected) + 1)
        expected[report.root.id] = read_tree(source)
    late = admit_writer(open_vault(trial.store, new).handle, "late")
    assert late.keepers == (fingerprint(new.signer.public),) if new.signer else False
    open_vault(trial.store, late).save(ASSET, source, step=9)
    every_snapshot_restores(open_vault(trial.store, new), expected, tmp_path / "out")
    check_is_clean(open_vault(trial.store, new))


def test_one_that_was_revoked_changes_nothing(trial: TrialVault, source: Path) -> None:
    """Neither opened before nor after: its generation would be nobody's, and shut the vault."""
    early = trial.open()
    new = admit_keeper(trial.open().handle, "second")
    early_after = trial.open()
    revoke_signer(open_vault(trial.store, new).handle, "keeper")
    before = contents_of(trial.store)
    for handle in (early.handle, early_after.handle, trial.open().handle):
        for change in (lambda: admit_writer(handle, "x"), lambda: revoke_signer(handle, "second")):  # noqa: B023
            with pytest.raises(UntrustedError, match="'keeper' was revoked"):
                change()
    with pytest.raises(CredentialError):
        trial.open().save(ASSET, source)
    assert {key: data for key, data in contents_of(trial.store).items() if key.startswith(CONFIG)} == {
        key: data for key, data in before.items() if key.startswith(CONFIG)
    }
    assert open_vault(trial.store, new).handle.keys.config.generation == 3


def test_a_generation_of_a_revoked_keeper_does_not_count(trial: TrialVault) -> None:
    """By hand, with its key; the owner of the store takes it away, and all goes on."""
    new = admit_keeper(trial.open().handle, "second")
    revoke_signer(open_vault(trial.store, new).handle, "keeper")
    keys, old = trial.open().handle.keys, trial.keeper.signer
    assert old is not None
    record = encode_record(msgspec.structs.replace(keys.config, generation=4))
    trial.store.create(config_key(4), write_config(keys.vault, keys.config.suite, config_key(4), record, old))
    for credential in (new, trial.keeper):
        with pytest.raises(UntrustedError, match=config_key(4)):
            open_vault(trial.store, credential)
    trial.store.delete(config_key(4))
    assert open_vault(trial.store, new).handle.keys.config.generation == 3


def test_nobody_revokes_himself_or_is_the_last(trial: TrialVault, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match="by another one"):
        revoke_signer(trial.open().handle, "keeper")
    new = admit_keeper(trial.open().handle, "second")
    one, other = trial.open().handle, open_vault(trial.store, new).handle
    raced: list[str] = []
    create = MemoryStore.create

    def create_later(store: MemoryStore, key: str, data: bytes) -> None:
        if key.startswith(CONFIG) and not raced:
            raced.append(key)
            revoke_signer(other, "keeper")
        create(store, key, data)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "create", create_later)
        with pytest.raises(ConflictError):
            revoke_signer(one, "second")
    assert [s.label for s in other.keys.config.signers if s.revoked is None] == ["second"]


def test_a_keeper_that_could_not_be_kept_is_nobodys(trial: TrialVault) -> None:
    def fail(credential: object) -> None:
        raise RefusedError("no place")

    before = contents_of(trial.store)
    with pytest.raises(RefusedError):
        admit_keeper(trial.open().handle, "second", keep=fail)
    assert contents_of(trial.store) == before
    for admit in (admit_writer, admit_reader) if trial.keeper.opener else (admit_writer,):
        with pytest.raises(HoldfastError):
            admit_keeper(open_vault(trial.store, admit(trial.open().handle, admit.__name__)).handle, "second")


def test_its_keys_are_of_the_vaults_suite() -> None:
    trial = new_trial_vault(MemoryStore())
    rotate_epoch(trial.open().handle, suite=Suite.HYBRID_2)
    new = admit_keeper(trial.open().handle, "second")
    assert new.signer is not None and new.opener is not None
    assert (new.signer.suite, new.opener.suite) == (Suite.HYBRID_2, Suite.HYBRID_2)
    assert sorted(open_vault(trial.store, new).handle.keys.private) == [1, 2]


def test_a_passphrase_goes_on_opening_and_pins_who_wrapped_it() -> None:
    trial = new_trial_vault(MemoryStore(), passphrase="correct horse")
    new = admit_keeper(trial.open().handle, "second")
    revoke_signer(open_vault(trial.store, new).handle, "keeper")
    rotate_epoch(open_vault(trial.store, new).handle, passphrase="correct horse")
    assert open_vault(trial.store, None, passphrase="correct horse").handle.keys.can_read


@pytest.mark.parametrize("revoked", [False, True])
def test_a_writer_saves_what_a_keeper_built_on_another_writers_word(
    source: Path, tmp_path: Path, revoked: bool
) -> None:
    """The keeper's packs hold deltas to what only the other writer vouches for: these chunks are stored once more."""
    trial = new_trial_vault(MemoryStore())
    one, other = (admit_writer(trial.open().handle, label) for label in ("gpu-1", "gpu-2"))
    trial.open(one).save(ASSET, source, step=1)
    train(source, seed=1)
    trial.open().save(ASSET, source, step=2)
    if revoked:
        revoke_signer(trial.open().handle, "gpu-1")
    expected = {trial.open(other).save(ASSET, source, step=3).root.id: read_tree(source)}
    every_snapshot_restores(trial.open(), expected, tmp_path / "out")
    check_is_clean(trial.open())


def test_a_full_configuration_leaves_room_for_revocations(trial: TrialVault) -> None:
    handle = trial.open().handle
    config = handle.keys.config
    many = [Signer("writer", f"gpu-{number}", os.urandom(1984), 1) for number in range(600)]
    with pytest.raises(RefusedError, match="room to revoke"):
        write_generation(handle, msgspec.structs.replace(config, signers=config.signers + many))
    full = config.signers + many[:475]
    write_generation(handle, msgspec.structs.replace(config, signers=full))
    added = 0
    with pytest.raises(RefusedError, match="room to revoke"):
        while True:
            admit_writer(handle, f"late-{added}")
            added += 1
    assert added > 0
    config = handle.keys.config
    all_but_one = [msgspec.structs.replace(one, revoked=2**62) for one in config.signers[1:-1]]
    revoking = [config.signers[0], *all_but_one, config.signers[-1]]
    write_generation(handle, msgspec.structs.replace(config, signers=revoking), takes=True)
    revoke_signer(handle, config.signers[-1].label)


def test_one_that_was_revoked_destroys_nothing_by_any_verb(trial: TrialVault, source: Path) -> None:
    report = trial.open().save(ASSET, source)
    new = admit_keeper(trial.open().handle, "second")
    revoke_signer(open_vault(trial.store, new).handle, "keeper")
    before = contents_of(trial.store)
    for verb in (
        lambda: trial.open().collect(),
        lambda: trial.open().apply_drop(trial.open().plan_drop(report.root.id)),
        lambda: trial.open().hold(report.root.id, "mine"),
    ):
        with pytest.raises(UntrustedError, match="'keeper' was revoked"):
            verb()
    assert contents_of(trial.store) == before
