"""Which generations of a configuration count, and what a stranger's cannot do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.errors import CredentialError, DamageError, RefusedError, UntrustedError, WrongKeyError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust import recipients
from holdfast.trust.passphrase import Cost
from holdfast.trust.recipients import Recipient, passphrase_recipient
from holdfast.trust.signing import SigningKey
from holdfast.vault.access import epochs
from holdfast.vault.access.configuration import append_config, load_config, pins_for_passphrase, trusted_generations
from holdfast.vault.access.generations import read_generations
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import Config, Epoch, Signer, encode_record


@pytest.fixture
def sealed() -> TrialVault:
    return new_trial_vault(MemoryStore())


def planted(trial: TrialVault, generation: int, **changes: Any) -> str:
    """The configuration with changes, signed by a stranger who calls himself its keeper."""
    keys, me, key = trial.open().handle.keys, SigningKey.generate(), config_key(generation)
    signers = [*keys.config.signers, Signer("keeper", "me", me.public, 1)]
    config = msgspec.structs.replace(keys.config, **({"generation": generation, "signers": signers} | changes))
    trial.store.create(key, write_config(keys.vault, config.suite, key, encode_record(config), me))
    return key


def following(config: Config, recipients_: list[Recipient]) -> Config:
    [epoch] = config.epochs
    epochs = [Epoch(epoch.number, epoch.public, recipients_)]
    return msgspec.structs.replace(config, generation=config.generation + 1, epochs=epochs)


def test_the_generations_that_count(sealed: TrialVault) -> None:
    admit_writer(sealed.open().handle, "machine")
    assert trusted_generations(sealed.store, sealed.keeper.keepers) == [1, 2]
    planted(sealed, 3)
    assert trusted_generations(sealed.store, sealed.keeper.keepers) == [1, 2]
    with pytest.raises(UntrustedError, match=config_key(3)) as caught:
        load_config(sealed.store, sealed.keeper.keepers)
    assert "remove" in caught.value.hint
    with pytest.raises(CredentialError):
        trusted_generations(sealed.store, [])


def test_an_older_generation_with_a_bad_signature_is_passed_over(sealed: TrialVault) -> None:
    """It names the keeper as its signer, and the signature is none: it does not count, and does no harm."""
    keys = sealed.open().handle.keys
    second, third = (msgspec.structs.replace(keys.config, generation=number) for number in (2, 3))
    assert sealed.keeper.signer is not None
    bad = bytearray(write_config(keys.vault, 1, config_key(2), encode_record(second), sealed.keeper.signer))
    bad[-40] ^= 1
    from blake3 import blake3

    sealed.store.create(config_key(2), bytes(bad[:-32]) + blake3(bytes(bad[:-32])).digest())
    with pytest.raises(UntrustedError, match=config_key(2)):
        sealed.open()
    sealed.store.create(
        config_key(3), write_config(keys.vault, 1, config_key(3), encode_record(third), sealed.keeper.signer)
    )
    assert sealed.open().handle.keys.config.generation == 3
    assert trusted_generations(sealed.store, sealed.keeper.keepers) == [1, 3]


def test_a_junk_generation_says_what_can_be_done(sealed: TrialVault) -> None:
    sealed.store.create(config_key(2), b"junk")
    with pytest.raises(DamageError, match=config_key(2)) as caught:
        sealed.open()
    assert "remove" in caught.value.hint and "replica" in caught.value.hint


def test_recipients_of_a_later_kind_do_not_lock_the_others_out(sealed: TrialVault) -> None:
    keys = sealed.open().handle.keys
    later = Recipient(kind="yubikey", label="later", id="0" * 32, wrapped=b"zz")
    append_config(sealed.store, keys, following(keys.config, [later, *keys.config.epochs[0].recipients]))
    assert sealed.open().handle.keys.config.generation == 2


def test_a_configuration_that_unpacks_to_more_than_a_mebibyte(
    sealed: TrialVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    [keeper] = sealed.open().handle.keys.config.signers
    huge = [keeper] * 600
    with pytest.raises(RefusedError, match="1 MiB"):
        planted(sealed, 2, signers=huge)
    with monkeypatch.context() as patched:
        patched.setattr("holdfast.vault.format.documents.body_max", lambda kind: 1 << 30)
        key = planted(sealed, 2, signers=huge)
    with pytest.raises(DamageError, match=f"{key} holds a record of an impossible size"):
        sealed.open()


def test_a_generation_that_is_too_large_is_not_fetched(sealed: TrialVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The highest is an error; an older one is passed over."""
    keys = sealed.open().handle.keys
    sealed.store.create(config_key(2), bytes(2 << 20))
    fetched, get = [], MemoryStore.get

    def noting(store: MemoryStore, key: str) -> bytes:
        fetched.append(key)
        return get(store, key)

    monkeypatch.setattr(MemoryStore, "get", noting)
    with pytest.raises(DamageError, match=f"{config_key(2)} is too large") as caught:
        sealed.open()
    assert config_key(2) not in fetched and "remove" in caught.value.hint
    append_config(sealed.store, keys, msgspec.structs.replace(keys.config, generation=3))
    assert sealed.open().handle.keys.config.generation == 3
    admit_writer(sealed.open().handle, "machine")
    assert config_key(2) not in fetched


def test_a_thousand_passphrases_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = new_trial_vault(MemoryStore(), passphrase="correct horse")
    keys = trial.open().handle.keys
    cheap = passphrase_recipient("zzz", "p", b"x" * 112, b"i", cost=Cost(1, 1, 8))
    append_config(trial.store, keys, following(keys.config, [cheap] * 1000))
    tried = []

    def counting(*arguments: Any) -> bytes:
        tried.append(arguments)
        return recipients.unwrap(*arguments)

    monkeypatch.setattr(epochs, "unwrap", counting)
    with pytest.raises(WrongKeyError):
        pins_for_passphrase(read_generations(trial.store), "abc")
    assert len(tried) == 16


def test_a_revoked_writer_is_told_so(sealed: TrialVault) -> None:
    writer = admit_writer(sealed.open().handle, "machine")
    handle = sealed.open(writer).handle
    assert handle.keys.can_write and handle.keys.require_writer("x") is writer.signer
    revoke_signer(sealed.open().handle, "machine")
    keys = sealed.open(writer).handle.keys
    assert not keys.can_write
    with pytest.raises(UntrustedError, match="'machine' was revoked"):
        keys.require_writer("saving")


def test_a_reader_that_was_admitted_opens_it(sealed: TrialVault) -> None:
    reader = admit_reader(sealed.open().handle, "auditor")
    assert sealed.open(reader).handle.keys.can_read


@pytest.mark.parametrize("numbers", [[0], [1 << 32], [1 << 40], [-1], [2, 1], [1, 1]])
def test_epochs_are_numbered_upwards_in_four_bytes(numbers: list[int]) -> None:
    trial = new_trial_vault(MemoryStore(), passphrase="correct horse")
    [epoch] = trial.open().handle.keys.config.epochs
    key = planted(trial, 2, epochs=[Epoch(number, epoch.public, epoch.recipients) for number in numbers])
    with pytest.raises(DamageError, match=f"{key} contradicts itself"):
        pins_for_passphrase(read_generations(trial.store), "correct horse")
