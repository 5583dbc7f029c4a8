"""What docs/threat-model.md says that somebody never can, where no other test shows it: each tries its best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from blake3 import blake3

from holdfast.control.authority.api_key_files import create_api_key
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.guarding import guard
from holdfast.control.keys.key_files import export_writer
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import CredentialError, HoldfastError, UntrustedError
from holdfast.ids import SnapshotId, new_snapshot_id
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import every_snapshot_restores, read_tree
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.trust.signing import SIGNATURE_SIZE, SigningKey, fingerprint
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.access.resealing import reseal
from holdfast.vault.collecting.collect import collect
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import PACKS, PARTS, REFS, SNAPSHOTS
from holdfast.vault.format.packs import PackOpener
from holdfast.vault.format.records import Root, decode_record, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.retaining.applying import apply_retention
from holdfast.vault.snapshots.thinning import give_up
from holdfast.vault.vault import Vault

from .sample_vault import ASSET, train, write_state


@pytest.fixture
def trial() -> TrialVault:
    return new_trial_vault(MemoryStore())


@pytest.fixture
def writer(trial: TrialVault) -> Credential:
    return admit_writer(trial.open().handle, "gpu-1")


def root_of(trial: TrialVault, snapshot: str) -> tuple[str, Root]:
    """Its key and its record, as the keeper reads it."""
    handle = trial.open().handle
    [key] = [info.key for info in trial.store.list(SNAPSHOTS) if info.key.endswith(snapshot)]
    return key, decode_record(read_document(handle.keys, Kind.ROOT, key, trial.store.get(key)).body, Root, key)


def plant_root(trial: TrialVault, by: Handle, like: Root, signer: SigningKey | None = None, **changes: object) -> str:
    """A root of the same parts with a new id, written by whoever has these keys. Returns its key."""
    record = msgspec.structs.replace(like, id=new_snapshot_id(by.clock.now_ns()), **changes)
    key = by.keys.names.snapshot_key(like.asset, SnapshotId(record.id))
    keys = by.keys if signer is None else replace(by.keys, signer=signer)
    trial.store.create(key, write_document(keys, Kind.ROOT, key, encode_record(record)))
    return key


def in_the_name_of(data: bytes, mark: str) -> bytes:
    """A document with another signer's fingerprint, the signature as it was, the checksum made to fit."""
    end = len(data) - 32 - SIGNATURE_SIZE
    claimed = data[: end - 16] + bytes.fromhex(mark) + data[end:-32]
    return claimed + blake3(claimed).digest()


def test_the_same_content_has_other_names_in_another_vault(source: Path) -> None:
    """Who knows a file cannot tell, by any name on the store, that a vault has it."""
    write_state(source, seed=1)
    kinds = (PACKS, PARTS, SNAPSHOTS, REFS)
    seen: list[dict[str, set[str]]] = []
    chunks: list[set[bytes]] = []
    for _ in range(2):
        trial = new_trial_vault(MemoryStore())
        trial.open().save(ASSET, source, tags=["kept"])
        folders = {kind: {info.key.rsplit("/", 1)[0] for info in trial.store.list(kind)} for kind in kinds[2:]}
        objects = {kind: {info.key for info in trial.store.list(kind)} for kind in kinds[:2]}
        seen.append({**folders, **objects})
        names = trial.open().handle.keys.names
        chunks.append({names.chunk_id(path.read_bytes()) for path in source.rglob("*") if path.is_file()})
        chunks[-1].add(bytes.fromhex(names.part_id(b"a manifest")))
    for kind in kinds:
        assert seen[0][kind] and seen[0][kind].isdisjoint(seen[1][kind]), kind
    assert chunks[0].isdisjoint(chunks[1])


@pytest.mark.parametrize("how", ["in his own name", "in the keeper's name"])
def test_a_strangers_snapshot_is_refused(trial: TrialVault, source: Path, tmp_path: Path, how: str) -> None:
    """He may write to the store and has the configuration, which is public; here he even has the chunk ids."""
    write_state(source, seed=1)
    honest = trial.open().save(ASSET, source).root.id
    _, root = root_of(trial, honest)
    key = plant_root(trial, trial.open().handle, root, SigningKey.generate())
    if how == "in the keeper's name":
        assert trial.keeper.signer is not None
        trial.store.put(key, in_the_name_of(trial.store.get(key), fingerprint(trial.keeper.signer.public)))
    forged = key.rsplit("/", 1)[-1]
    listed = {one.key: one for one in trial.open().snapshots()}
    assert listed[key].root is None and isinstance(listed[key].error, UntrustedError)
    with pytest.raises(UntrustedError):
        trial.open().restore(forged, tmp_path / "forged")
    assert not (tmp_path / "forged").exists()
    every_snapshot_restores(trial.open(), {honest: read_tree(source)}, tmp_path / "out")


def test_a_part_is_not_put_in_the_place_of_another(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """Parts are not signed: everybody can seal one. What roots name is their content."""
    write_state(source, seed=1)
    first = trial.open().save(ASSET, source).root.id
    train(source, seed=1)
    second = trial.open().save(ASSET, source).root.id
    handle = trial.open().handle
    before, after = ({link.id.hex() for link in root_of(trial, one)[1].parts} for one in (first, second))
    old, new = f"{PARTS}{min(before - after)}", f"{PARTS}{min(after - before)}"
    body = read_document(handle.keys, Kind.PART, old, trial.store.get(old)).body
    trial.store.put(new, write_document(handle.keys, Kind.PART, new, body))
    with pytest.raises(HoldfastError, match="holds another part"):
        trial.open().restore(second, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_writers_keys_open_nothing_that_holds_content_or_names(
    trial: TrialVault, writer: Credential, source: Path
) -> None:
    """By hand, past every verb: it has just written these objects, and all its own keys are tried on each."""
    write_state(source, seed=1)
    trial.open(writer).save(ASSET, source, tags=["kept"], metadata={"a": "secret"})
    keys = trial.open(writer).handle.keys
    assert writer.opener is None and not keys.private
    tried = 0
    for prefix, kind in ((SNAPSHOTS, Kind.ROOT), (REFS, Kind.REF), (PARTS, Kind.PART)):
        for info in trial.store.list(prefix):
            with pytest.raises(CredentialError):
                read_document(keys, kind, info.key, trial.store.get(info.key))
            tried += 1
    for info in trial.store.list(PACKS):
        with pytest.raises(CredentialError):
            PackOpener(keys, info.key.rsplit("/", 1)[-1], trial.store.get(info.key))  # type: ignore[arg-type]
        tried += 1
    assert tried >= 4


DELETIONS: dict[str, Callable[[Vault, Root], object]] = {
    "drop": lambda vault, root: vault.apply_drop(vault.plan_drop(root.id)),
    "collect": lambda vault, root: collect(vault.handle),
    "thin": lambda vault, root: give_up(vault.handle, root, ["optimizer"], "no room"),
    "unhold": lambda vault, root: vault.unhold(root.id),
    "retention": lambda vault, root: apply_retention(vault.handle, None),  # type: ignore[arg-type]
    "reseal": lambda vault, root: reseal(vault.handle),
}


@pytest.mark.parametrize("verb", DELETIONS)
@pytest.mark.parametrize("role", ["writer", "reader"])
def test_no_verb_deletes_for_anybody_but_keepers(
    trial: TrialVault, writer: Credential, source: Path, verb: str, role: str
) -> None:
    write_state(source, seed=1)
    root = trial.open().save(ASSET, source).root
    credential = writer if role == "writer" else admit_reader(trial.open().handle, "auditor")
    before = contents_of(trial.store)
    with pytest.raises(CredentialError) as caught:
        DELETIONS[verb](trial.open(credential), root)
    assert caught.value.exit_code == 7
    assert contents_of(trial.store) == before


@pytest.mark.parametrize("how", ["by its label", "by its fingerprint"])
def test_a_writer_signs_in_no_other_name(trial: TrialVault, writer: Credential, source: Path, how: str) -> None:
    """Two trainers: the one that was stolen adds a snapshot that should be the other's."""
    other = admit_writer(trial.open().handle, "gpu-2")
    write_state(source, seed=1)
    trial.open(writer).save(ASSET, source)
    honest = trial.open(other).save(ASSET, source).root.id
    _, root = root_of(trial, honest)
    key = plant_root(trial, trial.open(writer).handle, root, writer="gpu-2")
    if how == "by its fingerprint":
        assert other.signer is not None
        trial.store.put(key, in_the_name_of(trial.store.get(key), fingerprint(other.signer.public)))
    [found] = [one for one in trial.open().snapshots() if one.key == key]
    if how == "by its label":
        assert found.root is not None and found.root.writer == "gpu-1", "whose key signed, whatever the record says"
    else:
        assert found.root is None and isinstance(found.error, UntrustedError)
    assert trial.open().find(honest).writer == "gpu-2"


def test_another_writers_snapshot_is_not_altered(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    """With the store's credential he overwrites the other's root by one of his own, under the same name."""
    other = admit_writer(trial.open().handle, "gpu-2")
    write_state(source, seed=1)
    victim = trial.open(other).save(ASSET, source).root.id
    key, root = root_of(trial, victim)
    handle = trial.open(writer).handle
    mine = msgspec.structs.replace(root, id=new_snapshot_id(1), step=999)
    where = handle.keys.names.snapshot_key(ASSET, SnapshotId(mine.id))
    trial.store.put(key, write_document(handle.keys, Kind.ROOT, where, encode_record(mine)))
    with pytest.raises(HoldfastError):
        trial.open().restore(victim, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_owner_by_policy_reads_nothing_without_a_key_that_reads(tmp_path: Path) -> None:
    """Whoever rules the identity provider can make himself an owner. That opens nothing: keys do."""
    environment = {name: str(tmp_path / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
    made = create(str(tmp_path / "vault"), environment=environment).vault
    made.save(ASSET, {"weights": np.arange(1000.0)})
    export_writer(made, "gpu-1", tmp_path / "writer.key")
    api_key = tmp_path / "owner.key"
    home = AuthorityHome(environment, progress=NoteTaker())
    create_api_key(home, "intruder", roles=["owner"], scopes=None, expires="1d", to=api_key)
    as_owner = environment | {
        "HOLDFAST_KEY_FILE": str(tmp_path / "writer.key"),
        "HOLDFAST_API_KEY_FILE": str(api_key),
    }
    opened = open_at(str(tmp_path / "vault"), environment=as_owner)
    assert guard(opened, "key.rotate", environment=as_owner).decision.allowed, "the policies take him for an owner"
    for verb in (
        lambda: opened.restore(ASSET, tmp_path / "out"),
        lambda: opened.load(ASSET),
        lambda: opened.snapshots(),
        lambda: collect(opened.handle),
    ):
        with pytest.raises(CredentialError):
            verb()
    assert not (tmp_path / "out").exists()
