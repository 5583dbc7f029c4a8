"""Repair beyond what random damage meets: both sites hurt, pointers, what needs which key, interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.errors import CredentialError, DamageError, HoldfastError
from holdfast.ids import PartId
from holdfast.stores.faulty import FaultyStore, Operation
from holdfast.testing.damage import Delete, Flip, Truncate, contents_of, put_back
from holdfast.testing.workspace import NoteTaker, own_memory
from holdfast.vault.access.members import admit_writer
from holdfast.vault.checking.deep import verify_deep
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS, THINNED, part_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.repairing.model import SALVAGED
from holdfast.vault.repairing.repair import repair
from holdfast.vault.restoring.fallback import Replica, opened_replica
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.thinning import give_up

from .repair_sites import ASSET, Sites, build_sites, what_restores

_NOTHING = (set(), set())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    work = tmp_path_factory.mktemp("sites")
    with own_memory(work / "state"):
        return build_sites(work)


@pytest.fixture
def sites(built: Sites) -> Sites:
    put_back(built.store, built.contents)
    put_back(built.replica, built.contents)
    return built


def _packs(sites: Sites) -> list[str]:
    return sorted(key for key in sites.contents if key.startswith(PACKS))


def _spoil_blobs(sites: Sites, site: object, numbers: slice) -> None:
    """Damage these blobs of every pack."""
    vault = sites.trial.open()
    for key in _packs(sites):
        pack = key.rpartition("/")[2]
        table = vault.handle.index.table(pack)  # type: ignore[arg-type]
        assert table is not None
        for _, place in places_of(table, vault.handle.keys.suite, key)[numbers]:
            Flip(key, place.offset + 3).apply(site)  # type: ignore[arg-type]


def test_what_neither_site_has_whole_is_put_together_from_both(sites: Sites) -> None:
    """Each pack is damaged at both sites, in different chunks."""
    _spoil_blobs(sites, sites.store, slice(0, None, 2))
    _spoil_blobs(sites, sites.replica, slice(1, None, 2))
    assert what_restores(sites).files
    done = repair(sites.trial.open().handle, [opened_replica(sites.second().handle)])
    assert SALVAGED in {fix.how for fix in done.fixes} and not done.plan.losses and not done.failed
    assert what_restores(sites) == _NOTHING


def test_a_restore_reads_from_both_sites_what_neither_has_whole(sites: Sites, tmp_path: Path) -> None:
    _spoil_blobs(sites, sites.store, slice(0, None, 2))
    _spoil_blobs(sites, sites.replica, slice(1, None, 2))
    notes = NoteTaker()
    vault = sites.trial.open(progress=notes)
    with pytest.raises(DamageError):
        vault.restore(ASSET, tmp_path / "alone")
    restored = vault.restore(ASSET, tmp_path / "out", replicas=[sites.second()])
    snapshot = restored.root.id
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == sites.files[snapshot, path.name]
    assert restored.from_replicas["memory://second"].chunks > 0
    assert any("memory://second" in note for note in notes.notes)


@pytest.mark.parametrize("prefix", [PACKS, PARTS, SNAPSHOTS])
def test_a_restore_does_without_all_objects_of_a_kind(sites: Sites, tmp_path: Path, prefix: str) -> None:
    snapshot = sites.trial.open().find(ASSET).id
    for key in sites.contents:
        if key.startswith(prefix):
            Delete(key).apply(sites.store)
    restored = sites.trial.open().restore(snapshot, tmp_path / "out", replicas=[sites.second()])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path: data for (one, path), data in sites.files.items() if one == snapshot
    }
    assert restored.from_replicas["memory://second"].bytes > 0


def test_a_sound_vault_asks_no_replica(sites: Sites, tmp_path: Path) -> None:
    def never() -> object:
        raise AssertionError("the replica was opened")

    replica = Replica("memory://never", never)  # type: ignore[arg-type]
    restored = sites.trial.open().restore(ASSET, tmp_path / "out", replicas=[replica])
    assert restored.from_replicas == {}


def test_a_replica_that_does_not_open_is_noted(sites: Sites, tmp_path: Path) -> None:
    def away() -> object:
        raise HoldfastError("it is away")

    for key in _packs(sites):
        Delete(key).apply(sites.store)
    notes = NoteTaker()
    vault = sites.trial.open(progress=notes)
    replica = Replica("memory://away", away)  # type: ignore[arg-type]
    with pytest.raises(DamageError):
        vault.restore(ASSET, tmp_path / "out", replicas=[replica])
    assert sum("it is away" in note for note in notes.notes) == 1
    assert not (tmp_path / "out").exists()


def test_pointers_leave_what_lost_data_and_nothing_is_deleted(sites: Sites) -> None:
    vault = sites.trial.open()
    newest, before = vault.find(ASSET).id, vault.find(f"{ASSET}@step=2").id
    own = {key for key in _packs(sites) if _hurts_only(sites, key, newest)}
    assert own, "the newest snapshot has no pack of its own"
    for key in own:
        Truncate(key, 40).apply(sites.store)
    done = repair(sites.trial.open().handle)
    assert {(move.name, move.before, move.after) for move in done.moves} == {
        ("latest", newest, before),
        ("validated", newest, before),
    }
    assert {loss.snapshot for loss in done.plan.losses} == {newest}
    vault = sites.trial.open()
    assert vault.find(ASSET).id == vault.find(f"{ASSET}@validated").id == before
    assert "lost data" in vault.tags(ASSET)["validated"].reason
    assert sites.contents.keys() - contents_of(sites.store).keys() <= {
        key for key in sites.contents if key.startswith("index/")
    }


def _hurts_only(sites: Sites, key: str, snapshot: str) -> bool:
    Delete(key).apply(sites.store)
    hurt = {one for one, _ in what_restores(sites).files}
    put_back(sites.store, sites.contents)
    return hurt == {snapshot}


def test_validated_passes_over_a_damaged_root_with_a_note(sites: Sites) -> None:
    vault = sites.trial.open()
    newest, before = vault.find(f"{ASSET}@validated"), vault.find(f"{ASSET}@step=2")
    key = vault.handle.keys.names.snapshot_key(ASSET, newest.id)  # type: ignore[arg-type]
    Flip(key, 900).apply(sites.store)
    notes = NoteTaker()
    assert sites.trial.open(progress=notes).find(f"{ASSET}@validated").id == before.id
    assert any(newest.id in note and "passed over" in note for note in notes.notes)
    healing = sites.trial.open().with_replicas([sites.second()])
    assert healing.find(f"{ASSET}@validated").id == newest.id, "the replica has it"


def test_repair_needs_a_key_that_reads_and_writes(sites: Sites) -> None:
    writer = admit_writer(sites.trial.open().handle, "writer")
    with pytest.raises(CredentialError) as caught:
        repair(sites.trial.open(writer).handle)
    assert caught.value.hint


def test_repair_is_interrupted_after_each_write(sites: Sites) -> None:
    """Whatever was done by then is done; the next run does the rest."""
    doomed = [
        _packs(sites)[0],
        *(max(key for key in sites.contents if key.startswith(one)) for one in (PARTS, "index/")),
    ]
    writes = 0
    while True:
        put_back(sites.store, sites.contents)
        for key in doomed:
            Truncate(key, 60).apply(sites.store)
        handle = sites.trial.open(store=FaultyStore(sites.store, _StopsAfter(writes))).handle
        try:
            repair(handle, [opened_replica(sites.second().handle)])
        except _Stopped:
            writes += 1
            done = repair(sites.trial.open().handle, [opened_replica(sites.second().handle)])
            assert not done.failed and not done.plan.unmended
            assert not sites.trial.open().check(read_data=True).damages
            continue
        assert writes >= len(doomed)
        return


class _Stopped(Exception):
    """The process dies here."""


class _StopsAfter:
    """A script by which everything stops after so many writes and deletions; also its own fault."""

    def __init__(self, writes: int) -> None:
        self._left = writes

    def due(self, operation: Operation) -> list[_StopsAfter]:
        return [self] if operation.verb in ("put", "create", "delete") else []

    def before(self, operation: Operation) -> None:
        if not self._left:
            raise _Stopped
        self._left -= 1

    def read(self, content: bytes) -> bytes:
        return content

    def after(self, operation: Operation) -> None:
        return


def test_deep_verification_agrees_with_an_honest_manifest(sites: Sites) -> None:
    vault = sites.trial.open()
    for snapshot in {one for one, _ in sites.files}:
        looked = verify_deep(vault.handle, vault.find(snapshot))
        assert looked.findings == [] and looked.bytes == sum(
            len(data) for (one, _), data in sites.files.items() if one == snapshot
        )
    assert verify_deep(vault.handle, vault.find(ASSET)).tensors == 9


@pytest.mark.parametrize(
    ("change", "check"),
    [({"norm": 1.0}, "statistics"), ({"nonfinite": 3}, "statistics"), ({"shape": [40, 32]}, "header")],
)
def test_deep_verification_finds_a_manifest_that_lies(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], check: str
) -> None:
    vault = sites.trial.open()
    root = vault.find(ASSET)
    entries = snapshot_entries(vault.handle, root)
    for number, entry in enumerate(entries):
        if entry.format == "safetensors":
            lie = msgspec.structs.replace(entry.tensors[2], **change)
            told = [*entry.tensors[:2], lie, *entry.tensors[3:]]
            entries[number] = msgspec.structs.replace(entry, tensors=told)
    monkeypatch.setattr("holdfast.vault.checking.deep.snapshot_entries", lambda handle, root: entries)
    [finding] = verify_deep(vault.handle, root).findings
    assert finding.check == check and "model.safetensors" in finding.where
    report = vault.verify(ASSET, deep=True)
    assert report.found == (finding,) and not report.validated


def test_what_was_given_up_is_no_loss_and_its_record_is_mended(sites: Sites) -> None:
    vault = sites.trial.open()
    root = vault.find(f"{ASSET}@step=1")
    assert give_up(vault.handle, root, ["other"], "thinned") is not None
    [record] = [info.key for info in sites.store.list(THINNED)]
    sites.replica.put(record, sites.store.get(record))
    gone = [part_key(PartId(link.id.hex())) for link in root.parts if link.component == "other"]
    for key in gone:
        Delete(key).apply(sites.store)
    assert not repair(sites.trial.open().handle, dry_run=True).plan.losses
    Flip(record, 100).apply(sites.store)
    assert repair(sites.trial.open().handle, dry_run=True).plan.losses, "nobody knows any more that it was given up"
    done = repair(sites.trial.open().handle, [opened_replica(sites.second().handle)])
    assert record in {fix.key for fix in done.fixes} and not done.plan.losses and not done.plan.unmended
