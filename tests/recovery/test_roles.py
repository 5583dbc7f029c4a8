"""What each credential can do, and what it cannot, whatever it tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import ConflictError, CredentialError, UntrustedError, WrongKeyError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.testing.damage import contents_of, put_back
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, next_save_works, read_tree
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.generations import read_generation
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import encode_record
from holdfast.vault.vault import Vault, open_vault

from .sample_vault import ASSET, train, write_state

READS: dict[str, Callable[[Vault], object]] = {
    "find": lambda vault: vault.find(ASSET),
    "snapshots": lambda vault: vault.snapshots(),
    "restore": lambda vault: vault.restore(ASSET, "/nowhere/at/all"),
    "load": lambda vault: vault.load(ASSET),
    "verify": lambda vault: vault.verify(ASSET),
    "check": lambda vault: vault.check(),
    "tags": lambda vault: vault.tags(ASSET),
    "diff": lambda vault: vault.diff(ASSET, ASSET),
    "plan_drop": lambda vault: vault.plan_drop(ASSET),
    "tag": lambda vault: vault.tag(ASSET, "mine"),
}
WRITES: dict[str, Callable[[Vault], object]] = {
    "save": lambda vault: vault.save(ASSET, {"a": 1}),
    "tag": lambda vault: vault.tag(ASSET, "mine"),
    "untag": lambda vault: vault.untag(ASSET, "kept"),
    "plan_drop": lambda vault: vault.plan_drop(ASSET),
    "admit_writer": lambda vault: admit_writer(vault.handle, "another"),
    "admit_reader": lambda vault: admit_reader(vault.handle, "another"),
    "revoke_signer": lambda vault: revoke_signer(vault.handle, "machine"),
    "rotate_epoch": lambda vault: rotate_epoch(vault.handle),
}


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


@pytest.fixture
def writer(trial: TrialVault) -> Credential:
    return admit_writer(trial.open().handle, "machine")


def checkpoint(folder: Path, step: int) -> Path:
    """As trainers write them: each in a folder of its own, the older ones stay."""
    place = folder / f"step-{step}"
    place.mkdir()
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(300, 256)).astype("f4")
    for number in range(step):
        weights *= 1 + 1e-5 * np.random.default_rng(number).normal(size=weights.shape).astype("f4")
    np.save(place / "weights.npy", weights)
    (place / "frozen.bin").write_bytes(np.random.default_rng(2).bytes(50_000))
    return place


def test_a_writer_saves_what_a_keeper_restores(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    expected = {}
    stats = []
    for step in (1, 2, 3):
        place = checkpoint(source, step)
        report = trial.open(writer).save(ASSET, place, step=step)
        assert report.validated and report.verified is not None and report.verified.level == "stored-bytes"
        expected[report.root.id] = read_tree(place)
        stats.append(report.root.stats)
    assert stats[1]["dedup"] >= 50_000, "the frozen file was stored again"
    assert stats[1]["raw_delta"] >= 300_000, "no delta to the checkpoint that still lies on this machine's disk"
    keeper = trial.open()
    every_snapshot_restores(keeper, expected, tmp_path / "out")
    check_is_clean(keeper)
    assert keeper.find(ASSET).step == keeper.find(f"{ASSET}@validated").step == 3
    assert keeper.find(ASSET).writer == "machine"


def test_a_writer_on_a_fresh_machine(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing remembered: no parent, no delta, but every known chunk is still known."""
    trial.open(writer).save(ASSET, checkpoint(source, 1))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "fresh"))
    report = trial.open(writer).save(ASSET, source / "step-1")
    assert report.root.parents == [] and report.root.stats["new_chunks"] == 0


@pytest.mark.parametrize("policy", ["warn", "quarantine"])
def test_a_writer_without_a_memory_and_with_findings(
    trial: TrialVault, writer: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """Whatever the machine can remember: what was committed is read back, and the save does not fail."""
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))
    report = trial.open(writer).save(ASSET, {"a": np.array([1.0, np.nan])}, policy=policy)
    assert report.verified is not None and not report.validated
    assert [one.root.id for one in trial.open().snapshots() if one.root] == [report.root.id]


@pytest.mark.parametrize("verb", READS)
def test_a_writer_cannot_read(trial: TrialVault, writer: Credential, source: Path, verb: str) -> None:
    trial.open(writer).save(ASSET, checkpoint(source, 1))
    before = contents_of(trial.store)
    with pytest.raises(CredentialError) as caught:
        READS[verb](trial.open(writer))
    assert caught.value.exit_code == 7 and caught.value.hint
    assert contents_of(trial.store) == before


@pytest.mark.parametrize("verb", ["admit_writer", "admit_reader", "revoke_signer"])
def test_a_writer_cannot_govern(trial: TrialVault, writer: Credential, verb: str) -> None:
    with pytest.raises(CredentialError):
        WRITES[verb](trial.open(writer))
    newest = trial.store.get(config_key(2))
    stored, _ = read_generation(trial.store, config_key(2))
    assert writer.signer is not None
    following = encode_record(msgspec.structs.replace(stored.config, generation=3))
    forged = write_config(stored.vault, stored.config.suite, config_key(3), following, writer.signer)
    trial.store.create(config_key(3), forged)
    with pytest.raises(UntrustedError):
        trial.open()
    assert trial.store.get(config_key(2)) == newest


@pytest.mark.parametrize("verb", WRITES)
def test_a_reader_cannot_write(trial: TrialVault, source: Path, tmp_path: Path, verb: str) -> None:
    reader = admit_reader(trial.open().handle, "auditor")
    saved = {trial.open().save(ASSET, checkpoint(source, 1), tags=["kept"]).root.id: read_tree(source / "step-1")}
    before = contents_of(trial.store)
    vault = trial.open(reader)
    every_snapshot_restores(vault, saved, tmp_path / "out")
    check_is_clean(vault)
    assert vault.verify(ASSET).validated is False
    with pytest.raises(CredentialError) as caught:
        WRITES[verb](vault)
    assert caught.value.exit_code == 7
    assert contents_of(trial.store) == before


def test_a_passphrase_alone_restores(source: Path, tmp_path: Path) -> None:
    with_key = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path), "HOLDFAST_PASSPHRASE": "tr0ub4dor"}
    made = create(str(tmp_path / "vault"), environment=with_key).vault
    saved = {made.save(ASSET, checkpoint(source, 1)).root.id: read_tree(source / "step-1")}
    elsewhere = {"HOME": str(tmp_path / "elsewhere"), "HOLDFAST_PASSPHRASE": "tr0ub4dor"}
    vault = open_at(str(tmp_path / "vault"), environment=elsewhere)
    every_snapshot_restores(vault, saved, tmp_path / "out")
    with pytest.raises(CredentialError):
        vault.save(ASSET, {"a": 1})
    with pytest.raises(WrongKeyError):
        open_vault(LocalStore(tmp_path / "vault"), None, passphrase="wrong")
    with pytest.raises(CredentialError) as caught:
        open_at(str(tmp_path / "vault"), environment={"HOME": str(tmp_path / "elsewhere")})
    assert caught.value.hint


def test_an_unencrypted_vault_opens_without_a_key_and_only_to_be_read(source: Path, tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    saved = {trial.open().save(ASSET, checkpoint(source, 1)).root.id: read_tree(source / "step-1")}
    anyone = open_vault(trial.store, None)
    every_snapshot_restores(anyone, saved, tmp_path / "out")
    with pytest.raises(CredentialError):
        anyone.save(ASSET, {"a": 1})


def test_a_revoked_writer_who_asks_is_told(trial: TrialVault, writer: Credential) -> None:
    running = trial.open(writer)  # since before
    revoke_signer(trial.open().handle, "machine")
    before = contents_of(trial.store)
    for vault in (running, trial.open(writer)):
        with pytest.raises(UntrustedError, match="revoked"):
            vault.save(ASSET, {"a": 1})
    assert contents_of(trial.store) == before


def test_what_a_revoked_writer_adds_all_the_same_does_not_count(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    """He has the key and can write to the store; he works on a copy that knows nothing of the revocation."""
    write_state(source, seed=1)
    good = {trial.open(writer).save(ASSET, source, step=1).root.id: read_tree(source)}
    copy = MemoryStore()
    put_back(copy, contents_of(trial.store))
    revoke_signer(trial.open().handle, "machine")
    train(source, seed=1)
    stolen = trial.open(writer, store=copy).save(ASSET, source, step=2).root.id
    for key, data in contents_of(copy).items():
        if key not in contents_of(trial.store):
            trial.store.put(key, data)
    notes = NoteTaker()
    keeper = trial.open()
    listed = {one.key.rsplit("/", 1)[-1]: one for one in keeper.snapshots()}
    assert listed[stolen].root is None and isinstance(listed[stolen].error, UntrustedError)
    for reference in (stolen, ASSET, f"{ASSET}@validated"):  # not an older one in silence: a person should look
        with pytest.raises(UntrustedError, match="revoked") as caught:
            keeper.restore(reference, tmp_path / "stolen")
        assert caught.value.exit_code == 7 and caught.value.hint
    assert not (tmp_path / "stolen").exists()
    every_snapshot_restores(keeper, good, tmp_path / "out")
    assert any(stolen in damage.object for damage in keeper.check().damages)
    next_save_works(trial.open(progress=notes), ASSET, source, tmp_path / "out")  # takes the pointers back
    assert any("revoked" in note for note in notes.notes)


def test_two_changes_of_the_configuration_at_once(trial: TrialVault) -> None:
    """The later one hears of it, and nothing of the earlier one is lost."""
    first, second = trial.open(), trial.open()
    stale = second.handle.store
    admit_writer(first.handle, "one")

    class Late(MemoryStore):
        """Lists the configuration as it was before the other keeper's change."""

        def __init__(self) -> None:
            super().__init__()
            self.put(config_key(1), stale.get(config_key(1)))
            self.lied = False

        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            lied, self.lied = self.lied, True
            return iter([info for info in stale.list(prefix) if lied or not info.key.endswith("2")])

        def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
            return stale.create(key, data)

        def get(self, key: str) -> bytes:
            return stale.get(key)

    second.handle.store = Late()
    with pytest.raises(ConflictError) as caught:
        admit_writer(second.handle, "two")
    assert caught.value.exit_code == 6 and caught.value.retry
    assert [signer.label for signer in trial.open().handle.keys.config.signers] == ["keeper", "one"]


@pytest.mark.parametrize("encrypted", [True, False])
def test_nothing_that_was_saved_can_be_read_from_the_store(source: Path, encrypted: bool) -> None:
    """Neither contents nor names. The vault without encryption shows that the words would be found."""
    trial = new_trial_vault(MemoryStore(), encrypted=encrypted)
    content = np.random.default_rng(9).bytes(5000)  # incompressible, so stored as it is
    (source / "xyzzy-name.txt").write_bytes(content)
    trial.open().save("xyzzy-asset", source, tags=["xyzzy-tag"], metadata={"xyzzy-key": "xyzzy-value"})
    trial.open().save("xyzzy-asset", {"xyzzy_tensor": np.frombuffer(content, "u1")})
    found = {
        word: [key for key, data in contents_of(trial.store).items() if word in data or word in key.encode()]
        for word in (b"xyzzy", content[100:120])
    }
    assert all(not keys if encrypted else keys for keys in found.values()), found
