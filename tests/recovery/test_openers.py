"""Recipients come and go: each opens what it was let into, nothing stored is touched, and the last one stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import (
    ConflictError,
    CredentialError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    StoreUnreachableError,
    UsageError,
    WrongKeyError,
)
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.aead import AesGcmCipher
from holdfast.trust.credentials import Credential
from holdfast.trust.kms.port import Binding, KeyService, KeyUri
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.recipient_file import decode_recipient_file, encode_recipient_file
from holdfast.trust.sealing import SealingKey
from holdfast.trust.shares import Share, combine_shares
from holdfast.vault.access.configuration import load_config, pins_for_passphrase, unlock
from holdfast.vault.access.generations import read_generations
from holdfast.vault.access.members import admit_reader, admit_writer, rotate_epoch
from holdfast.vault.access.recipients import (
    add_from_file,
    add_key_service,
    add_passphrase,
    add_shares,
    remove_recipient,
)
from holdfast.vault.format.names import CONFIG
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault, open_vault

from .sample_vault import ASSET, train, write_state

CLOUDS = ("aws-kms://eu-central-1/alias/holdfast", "azure-kv://site-b.vault.azure.net/keys/holdfast")


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_state(folder, seed=1)
    return folder


def recipient_of(trial: TrialVault, label: str) -> Credential:
    """A key that was made elsewhere, and let in by its recipient file."""
    vault = trial.open()
    opener = SealingKey.generate()
    added = add_from_file(
        vault.handle, decode_recipient_file(encode_recipient_file(vault.id, label, opener.public), "x")
    )
    assert added.label == label
    return Credential(role="reader", vault_id=vault.id, label=label, opener=opener, keepers=trial.keeper.keepers)


class Recording:
    """A store that remembers which of its methods was called for which key or prefix."""

    def __init__(self, store: Any) -> None:
        self._store, self.calls = store, []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def recorded(key: str, *arguments: Any, **named: Any) -> Any:
            self.calls.append((name, key))
            return found(key, *arguments, **named)

        return recorded


class HeldKey:
    """A key service in this process, as AWS and Google behave: associated data, and keys that never leave."""

    def __init__(self, uri: KeyUri, keys: Mapping[str, bytes], down: set[str], asked: list[str]) -> None:
        self.uri, self._cipher, self._down, self._asked = uri, AesGcmCipher(keys[uri.text]), down, asked

    def wrap(self, key32: bytes, binding: Binding) -> bytes:
        self._ask()
        return self._cipher.seal(0, key32, binding.as_octets())

    def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
        self._ask()
        try:
            return self._cipher.open(0, wrapped, binding.as_octets())
        except HoldfastError:
            raise WrongKeyError("of another key, vault or epoch") from None

    def _ask(self) -> None:
        self._asked.append(self.uri.text)
        if self.uri.text in self._down:
            raise StoreUnreachableError(f"{self.uri.text} does not answer")


class Clouds:
    """Two clouds, either of which may be down."""

    def __init__(self, keepers: tuple[str, ...] = ()) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []
        keys = {uri: bytes([number]) * 32 for number, uri in enumerate(CLOUDS)}

        def maker(uri: KeyUri) -> KeyService:
            return HeldKey(uri, keys, self.down, self.asked)

        self.services = KeyServices(keepers, maker)


def open_by(trial: TrialVault, services: KeyServices) -> Vault:
    stored = load_config(trial.store, pins_for_passphrase(read_generations(trial.store), services))
    return Vault(Handle(trial.store, unlock(stored, None, services)))


def test_a_recipient_that_was_let_in_reads_all_epochs(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    expected = {trial.open().save(ASSET, source, step=1).root.id: read_tree(source)}
    rotate_epoch(trial.open().handle)
    late = recipient_of(trial, "dr-site")
    train(source, seed=1)
    expected[trial.open().save(ASSET, source, step=2).root.id] = read_tree(source)
    every_snapshot_restores(open_vault(trial.store, late), expected, tmp_path / "out")
    with pytest.raises(CredentialError):
        open_vault(trial.store, late).save(ASSET, source)


@pytest.mark.parametrize("change", ["add", "remove"])
def test_neither_touches_anything_but_one_generation(trial: TrialVault, source: Path, change: str) -> None:
    """Counted at the store: configurations are read, one is written, and no pack is asked for."""
    trial.open().save(ASSET, source)
    recipient_of(trial, "first")
    before = contents_of(trial.store)
    recording = Recording(trial.store)
    handle = trial.open(store=recording).handle
    if change == "add":
        text = encode_recipient_file(handle.keys.vault.hex(), "second", SealingKey.generate().public)
        add_from_file(handle, decode_recipient_file(text, "x"))
    else:
        remove_recipient(handle, "first")
    after = contents_of(trial.store)
    [written] = set(after) - set(before)
    assert written.startswith(CONFIG) and {key: after[key] for key in before} == before
    assert {key[: len(CONFIG)] for _, key in recording.calls} == {CONFIG}, "something else was asked for"
    assert [call for call, _ in recording.calls if call not in ("get", "list")] == ["create"]
    assert len(after[written]) < 20_000


def test_what_is_wrapped_for_others_stays_as_it_is(trial: TrialVault) -> None:
    recipient_of(trial, "first")
    before = trial.open().handle.keys.config.epochs[0].recipients
    recipient_of(trial, "second")
    assert trial.open().handle.keys.config.epochs[0].recipients[:2] == before
    remove_recipient(trial.open().handle, "second")
    assert trial.open().handle.keys.config.epochs[0].recipients == before


def test_one_that_was_removed_reads_what_was_and_not_what_comes(
    trial: TrialVault, source: Path, tmp_path: Path
) -> None:
    """Removal alone takes back nothing, which is said everywhere; a new epoch is what it cannot open."""
    gone = recipient_of(trial, "contractor")
    expected = {trial.open().save(ASSET, source, step=1).root.id: read_tree(source)}
    held = open_vault(trial.store, gone)
    removed = remove_recipient(trial.open().handle, "contractor")
    assert (removed.kind, removed.epochs, removed.remaining) == ("keyfile", [1], ["keeper"])
    every_snapshot_restores(held, expected, tmp_path / "kept")  # who has it open goes on
    with pytest.raises(WrongKeyError):
        open_vault(trial.store, gone)
    old_config = trial.store.get("config/0000000002")  # and an old configuration opens with it for ever
    copy = MemoryStore()
    for key, data in contents_of(trial.store).items():
        if not key.startswith(CONFIG) or key <= "config/0000000002":
            copy.put(key, data)
    assert copy.get("config/0000000002") == old_config
    every_snapshot_restores(open_vault(copy, gone), expected, tmp_path / "old")
    assert rotate_epoch(trial.open().handle) == 2
    assert [one.label for one in trial.open().handle.keys.config.epochs[1].recipients] == ["keeper"]
    train(source, seed=1)
    new = trial.open().save(ASSET, source, step=2).root.id
    with pytest.raises(HoldfastError):
        held.restore(new, tmp_path / "new")


def test_a_removed_label_and_key_may_come_again(trial: TrialVault) -> None:
    again = recipient_of(trial, "dr-site")
    remove_recipient(trial.open().handle, "dr-site")
    assert again.opener is not None
    text = encode_recipient_file(trial.open().id, "dr-site", again.opener.public)
    add_from_file(trial.open().handle, decode_recipient_file(text, "x"))
    assert open_vault(trial.store, again).snapshots() == []


def test_who_cannot_be_removed(trial: TrialVault) -> None:
    handle = trial.open().handle
    before = contents_of(trial.store)
    with pytest.raises(RefusedError, match="'keeper' is the last one that opens epoch 1"):
        remove_recipient(handle, "keeper")
    with pytest.raises(NotFoundError):
        remove_recipient(handle, "nobody")
    assert contents_of(trial.store) == before
    recipient_of(trial, "dr-site")
    with pytest.raises(RefusedError, match="is the key that this is done with"):
        remove_recipient(trial.open().handle, "keeper")
    rotate_epoch(trial.open().handle)
    recipient_of(trial, "late")
    remove_recipient(trial.open().handle, "dr-site")
    assert trial.open().handle.keys.private.keys() == {1, 2}


def test_who_is_not_let_in(trial: TrialVault) -> None:
    handle = trial.open().handle
    keeper = trial.keeper.opener
    assert keeper is not None
    for label, public, error in (
        ("keeper", SealingKey.generate().public, RefusedError),
        ("again", keeper.public, RefusedError),
    ):
        text = encode_recipient_file(handle.keys.vault.hex(), label, public)
        with pytest.raises(error):
            add_from_file(handle, decode_recipient_file(text, "x"))
    with pytest.raises(WrongKeyError, match="is of vault " + "f" * 32):
        add_from_file(handle, decode_recipient_file(encode_recipient_file("f" * 32, "x", keeper.public), "x"))
    for credential in (admit_writer(handle, "gpu-1"), admit_reader(handle, "auditor")):
        opened = open_vault(trial.store, credential).handle
        text = encode_recipient_file(handle.keys.vault.hex(), "friend", SealingKey.generate().public)
        with pytest.raises(CredentialError):
            add_from_file(opened, decode_recipient_file(text, "x"))
        with pytest.raises(CredentialError):
            remove_recipient(opened, "auditor")
        with pytest.raises(CredentialError):
            add_shares(opened, "friend", shares=3, threshold=2, keep=lambda shares: None)
    public = new_trial_vault(MemoryStore(), encrypted=False).open().handle
    with pytest.raises(UsageError, match="not encrypted"):
        add_passphrase(public, "p", "correct horse")


def test_two_keepers_at_once(trial: TrialVault) -> None:
    one, other = trial.open().handle, trial.open().handle
    recipient_of(trial, "first")
    admit_writer(one, "gpu-1")  # each reads the newest configuration first
    assert add_passphrase(other, "p", "correct horse").epochs == [1]
    assert {label.label for label in trial.open().handle.keys.config.epochs[0].recipients} == {"keeper", "first", "p"}


def test_a_race_is_lost_and_nothing_is_lost(trial: TrialVault, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, create = trial.open().handle, MemoryStore.create
    raced: list[str] = []

    def create_later(store: MemoryStore, key: str, data: bytes) -> bool:
        if key.startswith(CONFIG) and not raced:
            raced.append(key)
            admit_writer(trial.open().handle, "gpu-1")
        return create(store, key, data)

    monkeypatch.setattr(MemoryStore, "create", create_later)
    with pytest.raises(ConflictError):
        add_passphrase(handle, "p", "correct horse")
    assert [one.label for one in trial.open().handle.keys.config.signers] == ["keeper", "gpu-1"]
    assert add_passphrase(handle, "p", "correct horse").kind == "passphrase"


def test_a_passphrase_is_let_in_and_only_one(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    expected = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    rotate_epoch(trial.open().handle)
    add_passphrase(trial.open().handle, "paper", "correct horse")
    every_snapshot_restores(open_vault(trial.store, None, passphrase="correct horse"), expected, tmp_path / "out")
    with pytest.raises(RefusedError, match="by a passphrase already"):
        add_passphrase(trial.open().handle, "other", "battery staple")
    remove_recipient(trial.open().handle, "paper")
    add_passphrase(trial.open().handle, "other", "battery staple")
    with pytest.raises(WrongKeyError):
        open_vault(trial.store, None, passphrase="correct horse")


def test_shares_open_and_go_on_opening_new_epochs(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    kept: list[Share] = []
    added = add_shares(trial.open().handle, "break-glass", shares=5, threshold=3, keep=kept.extend)
    assert (added.kind, len(kept)) == ("shares", 5)
    expected = {trial.open().save(ASSET, source, step=1).root.id: read_tree(source)}
    rotate_epoch(trial.open().handle)  # nobody has to come together for that
    train(source, seed=1)
    expected[trial.open().save(ASSET, source, step=2).root.id] = read_tree(source)
    assert [one.kind for one in trial.open().handle.keys.config.epochs[1].recipients] == ["keyfile", "shares"]
    every_snapshot_restores(open_vault(trial.store, combine_shares(kept[1:4])), expected, tmp_path / "out")
    remove_recipient(trial.open().handle, "break-glass")
    with pytest.raises(WrongKeyError):
        open_vault(trial.store, combine_shares(kept))


def test_shares_that_could_not_be_kept_are_nobodys(trial: TrialVault) -> None:
    def fail(shares: object) -> None:
        raise RefusedError("no place")

    before = contents_of(trial.store)
    with pytest.raises(RefusedError):
        add_shares(trial.open().handle, "break-glass", shares=5, threshold=3, keep=fail)
    assert contents_of(trial.store) == before


def test_shares_pin_the_keeper(trial: TrialVault) -> None:
    """Somebody who can write to the store, and wraps a key of his own for the shares' public half, is not believed."""
    kept: list[Share] = []
    add_shares(trial.open().handle, "break-glass", shares=2, threshold=2, keep=kept.extend)
    assert combine_shares(kept).keepers == trial.keeper.keepers


def test_two_clouds_either_of_which_may_be_down(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    clouds = Clouds(trial.keeper.keepers)
    for number, uri in enumerate(CLOUDS):
        assert add_key_service(trial.open().handle, f"cloud-{number}", uri, clouds.services).kind == "kms"
    expected = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    rotate_epoch(trial.open().handle, services=clouds.services)
    train(source, seed=1)
    expected[trial.open().save(ASSET, source).root.id] = read_tree(source)
    for number, down in enumerate([set(), {CLOUDS[0]}, {CLOUDS[1]}]):
        clouds.down.clear()
        clouds.down.update(down)
        every_snapshot_restores(open_by(trial, clouds.services), expected, tmp_path / str(number))
    clouds.down.update(CLOUDS)
    clouds.asked.clear()
    with pytest.raises(StoreUnreachableError, match=CLOUDS[0]):
        open_by(trial, clouds.services)
    assert clouds.asked == list(CLOUDS), "what does not answer is asked once, not once for each epoch"
    every_snapshot_restores(trial.open(), expected, tmp_path / "key file")  # others open all the same
    check_is_clean(trial.open())
    assert clouds.asked == list(CLOUDS), "a key file asks no cloud"


def test_a_cloud_that_is_down_stops_a_rotation_before_it_changes_anything(trial: TrialVault) -> None:
    clouds = Clouds()
    add_key_service(trial.open().handle, "cloud", CLOUDS[0], clouds.services)
    clouds.down.add(CLOUDS[0])
    before = contents_of(trial.store)
    with pytest.raises(StoreUnreachableError):
        rotate_epoch(trial.open().handle, services=clouds.services)
    assert contents_of(trial.store) == before
    remove_recipient(trial.open().handle, "cloud")
    assert rotate_epoch(trial.open().handle, services=clouds.services) == 2


def test_a_cloud_does_not_vouch_for_a_configuration(trial: TrialVault) -> None:
    """A vault of somebody else, with a key of his in the same cloud, opens; but it is not believed."""
    clouds = Clouds(trial.keeper.keepers)
    forged = new_trial_vault(MemoryStore())
    add_key_service(forged.open().handle, "cloud", CLOUDS[0], clouds.services)
    with pytest.raises(CredentialError, match="not signed by a keeper"):
        open_by(forged, clouds.services)
    with pytest.raises(CredentialError, match="names no keeper"):
        open_by(forged, Clouds(()).services)


def test_what_a_cloud_wrapped_for_one_epoch_opens_no_other(trial: TrialVault) -> None:
    clouds = Clouds(trial.keeper.keepers)
    add_key_service(trial.open().handle, "cloud", CLOUDS[0], clouds.services)
    rotate_epoch(trial.open().handle, services=clouds.services)
    config = trial.open().handle.keys.config
    service = clouds.services.service(CLOUDS[0])
    wrapped = config.epochs[0].recipients[1].wrapped
    token = wrapped[2 : 2 + int.from_bytes(wrapped[:2], "little")]
    vault = trial.open().id
    assert len(service.unwrap(token, Binding(vault, 1))) == 32
    for binding in (Binding(vault, 2), Binding("0" * 32, 1)):
        with pytest.raises(WrongKeyError):
            service.unwrap(token, binding)


class Moody(Clouds):
    """A cloud that unwraps for some epochs, and for the others raises an error."""

    def __init__(self, keepers: tuple[str, ...], refused: Mapping[int, HoldfastError]) -> None:
        super().__init__(keepers)
        inner, asked = self.services, self.asked

        class Refusing:
            def __init__(self, uri: KeyUri) -> None:
                self.uri = uri

            def wrap(self, key32: bytes, binding: Binding) -> bytes:
                return inner.service(self.uri.text).wrap(key32, binding)

            def unwrap(self, wrapped: bytes, binding: Binding) -> bytes:
                if binding.epoch in refused:
                    asked.append(self.uri.text)
                    raise refused[binding.epoch]
                return inner.service(self.uri.text).unwrap(wrapped, binding)

        self.services = KeyServices(keepers, Refusing)


def test_a_cloud_that_refuses_an_old_epoch_opens_the_new_one(trial: TrialVault) -> None:
    """A policy may demand the epoch: `kms:EncryptionContext:holdfast-epoch`."""
    clouds = Moody(trial.keeper.keepers, {1: PermissionDeniedError("not that epoch")})
    add_key_service(trial.open().handle, "cloud", CLOUDS[0], clouds.services)
    rotate_epoch(trial.open().handle, services=clouds.services)
    assert list(open_by(trial, clouds.services).handle.keys.private) == [2]


def test_a_cloud_that_fails_half_way_is_what_is_told(trial: TrialVault) -> None:
    """Not that the key is a wrong one: it opened the epoch before."""
    clouds = Moody(trial.keeper.keepers, {2: StoreUnreachableError("busy")})
    add_key_service(trial.open().handle, "cloud", CLOUDS[0], clouds.services)
    rotate_epoch(trial.open().handle, services=clouds.services)
    with pytest.raises(StoreUnreachableError, match="busy"):
        open_by(trial, clouds.services)
