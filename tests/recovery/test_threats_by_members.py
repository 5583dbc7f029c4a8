"""What members who turned against the others never can, past every verb: by hand, with their keys and the store's."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import DamageError, PermissionDeniedError, UntrustedError, WrongKeyError
from holdfast.ids import SnapshotId, new_snapshot_id
from holdfast.stores.memory import MemoryStore
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Mode, Period
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import every_snapshot_restores, read_tree
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.trust.shares import Share, combine_shares, split_key
from holdfast.trust.signing import SigningKey
from holdfast.trust.suites import Suite
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import FULL
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import INDEX, PACKS, TRASH, part_key
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.format.records import (
    Condemned,
    Entry,
    IndexedPack,
    Part,
    PartLink,
    Root,
    Thinned,
    Validation,
    encode_record,
)
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.regions.model import BYTES
from holdfast.vault.snapshots.thinning import dropped_components

from .sample_vault import ASSET, write_state

DAY = 86_400.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), clock=clock)


@pytest.fixture
def writer(trial: TrialVault) -> Credential:
    return admit_writer(trial.open().handle, "gpu-1")


def test_a_writers_junk_is_not_restored_as_content(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    """All that held a file's chunk is gone, and a pack that is sound by its name has other bytes under its id."""
    (source / "weights.bin").write_bytes(content := bytes(range(256)) * 20)
    saved = trial.open().save(ASSET, source).root.id
    handle: Handle = trial.open(writer).handle
    builder = PackBuilder(handle.keys, 1 << 16)
    builder.add(handle.keys.names.chunk_id(content), b"j" * len(content), raw=len(content), codec=0, element=BYTES)
    junk = builder.finish()
    data, table = bytes(junk.data), junk.table
    for prefix in (PACKS, INDEX):
        for info in list(trial.store.list(prefix)):
            trial.store.delete(info.key)
    trial.store.put(junk.key, data)
    trial.store.put(*write_index(handle.keys, [IndexedPack(bytes.fromhex(junk.id), len(data), table)], 1))
    with pytest.raises(DamageError):
        trial.open().restore(saved, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_writer_condemns_nothing(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """In the name of a collection it condemns, and closes; neither counts, and no later save is stopped by it."""
    write_state(source, seed=1)
    saved = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    handle = trial.open(writer).handle
    packs = [info.key for info in trial.store.list(PACKS)]
    for generation, state in enumerate(("condemned", "closed"), 1):
        key = f"{TRASH}{'ab' * 8}/{generation:010d}"
        record = encode_record(Condemned("ab" * 8, state, packs, clock.now_ns()))
        trial.store.create(key, write_document(handle.keys, Kind.TRASH, key, record))
    notes = NoteTaker()
    report = trial.open(writer, progress=notes).save(ASSET, source, step=2)
    assert report.root.stats["new_chunks"] == 0, "what is condemned by nobody who may is not stored again"
    assert any("may not say that" in note for note in notes.notes)
    for _ in range(3):
        clock.sleep(DAY + 1)
        collect(trial.open().handle, CollectOptions(FULL, rewrite_below=0.0))
    assert [info.key for info in trial.store.list(PACKS)] == packs
    every_snapshot_restores(trial.open(), saved, tmp_path / "out")


def test_a_writer_gives_up_no_part_of_a_snapshot(
    trial: TrialVault, writer: Credential, source: Path, tmp_path: Path
) -> None:
    """Else a restore would leave files out, and take it for the keeper's wish."""
    write_state(source, seed=1)
    saved = trial.open().save(ASSET, source).root
    handle = trial.open(writer).handle
    key = f"{handle.keys.names.thinned_prefix(ASSET, SnapshotId(saved.id))}{1:010d}"
    gone = [saved.parts[0].id]
    record = encode_record(Thinned(saved.id, ASSET, gone, [saved.parts[0].component], "no room", handle.clock.now_ns()))
    trial.store.create(key, write_document(handle.keys, Kind.THINNED, key, record))
    notes = NoteTaker()
    keeper = trial.open(progress=notes)
    assert dropped_components(keeper.handle, saved) == ()
    assert any("passed over" in note for note in notes.notes)
    every_snapshot_restores(keeper, {saved.id: read_tree(source)}, tmp_path / "out")


def test_a_reader_who_makes_a_signing_key_of_his_own_adds_nothing(trial: TrialVault, source: Path) -> None:
    write_state(source, seed=1)
    trial.open().save(ASSET, source)
    vault = trial.open(admit_reader(trial.open().handle, "auditor"))
    vault.handle.keys = replace(vault.handle.keys, signer=SigningKey.generate())
    before = contents_of(trial.store)
    for verb in (lambda: vault.save(ASSET, source), lambda: vault.tag(ASSET, "mine")):
        with pytest.raises(UntrustedError):
            verb()
    assert contents_of(trial.store) == before


def test_two_shares_that_say_that_two_are_enough() -> None:
    """How many are needed is no matter of what the shares say of themselves."""
    split = split_key("ab" * 16, "break-glass", "cd" * 16, shares=5, threshold=3, suite=Suite.HYBRID_1)
    for one, other in ((0, 1), (2, 4)):
        held = [split.shares[at] for at in (one, other)]
        claiming = [Share(share.vault_id, share.label, share.number, 2, share.words) for share in held]
        with pytest.raises(WrongKeyError):
            combine_shares(claiming)
    assert combine_shares(split.shares[1:4]).opener is not None


def test_a_keepers_key_destroys_nothing_that_is_locked(source: Path, tmp_path: Path, clock: ManualClock) -> None:
    """With it the whole vault can be condemned and deleted by hand; every version under a lock is still there."""
    store = VersionedMemoryStore(clock)
    trial = new_trial_vault(store, clock=clock)
    write_setting(trial.open().handle, Period(30 * DAY, Mode.COMPLIANCE))
    write_state(source, seed=1)
    saved = {trial.open().save(ASSET, source).root.id: read_tree(source)}
    write_setting(trial.open().handle, None)  # for what is saved from now on
    before_ns = clock.now_ns()
    clock.sleep(1)
    for info in list(store.list("")):
        store.delete(info.key)
    destroyed = 0
    for version in list(store.versions("")):
        with suppress(PermissionDeniedError):
            store.delete_version(version.key, version.version)
            destroyed += 1
    assert destroyed > 0
    past = trial.open(store=PastStore(store, store, before_ns))
    every_snapshot_restores(past, saved, tmp_path / "out")


@pytest.mark.parametrize("how", ["upwards", "by an absolute path"])
def test_a_snapshot_of_a_writers_making_writes_nothing_outside(
    trial: TrialVault, writer: Credential, tmp_path: Path, how: str
) -> None:
    """Its manifest names folders on the way, so that nothing is missing but the leave."""
    (outside := tmp_path / "outside").mkdir()
    way = b".." if how == "upwards" else os.fsencode(outside)
    top, folder = (Entry(path=path, type="folder", mode=0o755, mtime=0) for path in (b".", way))
    stolen = Entry(path=way + b"/stolen", type="file", mode=0o644, mtime=0)
    handle = trial.open(writer).handle
    record = encode_record(Part("other", [top, folder, stolen]))
    part = handle.keys.names.part_id(record)
    trial.store.create(part_key(part), write_document(handle.keys, Kind.PART, part_key(part), record))
    root = Root(
        id=new_snapshot_id(handle.clock.now_ns()), asset="evil", created=handle.clock.now_ns(), content=1, step=None,
        parents=[], writer="gpu-1", source="folder", name="x", parts=[PartLink(bytes.fromhex(part), "other", 0, 0)],
        meta={}, versions={}, stats={}, validation=Validation("warn", "good", [], []),
    )  # fmt: skip
    key = handle.keys.names.snapshot_key("evil", SnapshotId(root.id))
    trial.store.create(key, write_document(handle.keys, Kind.ROOT, key, encode_record(root)))
    with pytest.raises(DamageError):
        trial.open().restore(root.id, tmp_path / "place" / "out")
    assert list(tmp_path.rglob("stolen")) == []
