"""Verbs cut into pieces do what they do whole: on threads here, which need no cluster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from bulk_world import MIB, World, holes, small
from hypothesis import given
from hypothesis import strategies as st

from holdfast.control.bulk.spreading import Bulk, piece_bytes
from holdfast.control.bulk.tasks import At, Task, do_restore
from holdfast.control.vaults.opening import open_at
from holdfast.control.vaults.repairing import replicas_at
from holdfast.control.vaults.replicating import Source, copy_vault
from holdfast.errors import ConflictError, CredentialError, DamageError, NotFoundError, RefusedError
from holdfast.fanout import ThreadFanout
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import check_is_clean, read_tree, trees_are_equal
from holdfast.testing.workspace import NoteTaker
from holdfast.vault.checking.pieces import cut_chunks
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.restoring.pieces import RestorePiece, cut_files
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks


class Ordered(ThreadFanout):
    """One piece after the other, and a word with whoever watches before each."""

    def __init__(self, before: Any = lambda number, piece: None) -> None:
        super().__init__(1)
        self._before = before

    def each(self, work: Any, pieces: Sequence[Any]) -> Iterator[Any]:
        for number, piece in enumerate(pieces):
            self._before(number, piece)
            yield from super().each(work, [piece])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE", "HOLDFAST_KEY_SHARES"):
        monkeypatch.delenv(name, raising=False)
    return World(tmp_path / "world")


def test_files_are_cut_at_chunks_and_nothing_is_left_out_or_named_twice(world: World) -> None:
    world.save()
    root = world.vault.find("run")
    entries = snapshot_entries(world.vault.handle, root)
    files = [(number, entry) for number, entry in enumerate(entries) if entry.type == "file"]
    wanted = [(number, offset, length) for number, entry in files for offset, length, _, _ in entry_chunks(entry)]
    for size in (1, 300_000, MIB, 1 << 40):
        found = []
        for spans, total in cut_files(files, size):
            inside = [
                (span.entry, offset, length)
                for span in spans
                for offset, length, _, _ in entry_chunks(entries[span.entry])
                if span.start <= offset < span.stop
            ]
            assert sum(length for _, _, length in inside) == total
            assert total - inside[-1][2] < size  # it ends with the chunk that fills it
            found += inside
        assert found == wanted


@given(st.lists(st.integers(1, 100)), st.integers(1, 250))
def test_chunks_are_cut_into_neighbours_that_fill_a_piece(lengths: list[int], size: int) -> None:
    pieces = list(cut_chunks(lengths, size))
    assert [number for first, stop, _ in pieces for number in range(first, stop)] == list(range(len(lengths)))
    for first, stop, total in pieces:
        assert total == sum(lengths[first:stop]) and total - lengths[stop - 1] < size
    assert all(total >= size for _, _, total in pieces[:-1])


def test_pieces_are_several_for_each_who_works_and_of_bounded_size() -> None:
    assert piece_bytes(100 << 30, 64) == (100 << 30) // 512
    assert piece_bytes(1 << 40, 2) == 256 << 20
    assert piece_bytes(MIB, 64) == 8 << 20


def test_a_restore_in_pieces_is_the_restore(world: World, tmp_path: Path) -> None:
    snapshot = world.save()
    whole = world.open().restore("run", tmp_path / "whole")
    vault = world.open()
    Proofs(vault.handle).forget(snapshots=[snapshot])
    bulk = Bulk(ThreadFanout(3), size=small)
    done = vault.restore("run", tmp_path / "pieces", writing=bulk.writing(vault, world.at))
    trees_are_equal(read_tree(tmp_path / "pieces"), read_tree(tmp_path / "whole"), "the restore")
    assert (done.files, done.bytes, done.resumed_bytes) == (whole.files, whole.bytes, 0)
    assert sum(share.pieces for share in bulk.workers) > 10
    assert sum(share.bytes for share in bulk.workers) == done.bytes - holes(world)
    assert Proofs(vault.handle).snapshots()[snapshot].level == "decoded"
    only = vault.restore("run", tmp_path / "some", only="deep/*-3.bin", writing=bulk.writing(vault, world.at))
    assert only.files == 1
    assert (tmp_path / "some/deep/shard-3.bin").read_bytes() == (world.source / "deep/shard-3.bin").read_bytes()


def test_a_single_file_is_restored_in_pieces(world: World, tmp_path: Path) -> None:
    world.save()
    vault = world.open()
    vault.save("one", world.source / "large.bin")
    bulk = Bulk(ThreadFanout(2), size=small)
    vault.restore("one", tmp_path / "back", writing=bulk.writing(vault, world.at))
    assert (tmp_path / "back/large.bin").read_bytes() == (world.source / "large.bin").read_bytes()
    assert sorted(os.listdir(tmp_path / "back")) == ["large.bin"]


def test_an_interrupted_restore_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    world.save()
    vault = world.open()

    class Enough(BaseException):
        pass

    def stop(number: int, piece: object) -> None:
        if number == 7:
            raise Enough

    with pytest.raises(Enough):
        vault.restore("run", tmp_path / "back", writing=Bulk(Ordered(stop), size=small).writing(vault, world.at))
    assert not (tmp_path / "back").exists()
    [staged] = [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    with (staged / "hole.bin").open("r+b") as file:  # somebody wrote into what should be a hole
        file.seek(2 * MIB)
        file.write(b"junk")
    done = vault.restore("run", tmp_path / "back", writing=Bulk(Ordered(), size=small).writing(vault, world.at))
    assert done.resumed_bytes >= 7 * (512 << 10)
    trees_are_equal(read_tree(tmp_path / "back"), read_tree(world.source), "the restore")


def test_damage_ends_it_and_nothing_appears(world: World, tmp_path: Path) -> None:
    snapshot = world.save()
    packs = world.packs()
    data = bytearray(packs[3].read_bytes())
    data[len(data) // 2] ^= 1
    packs[3].chmod(0o600)
    packs[3].write_bytes(data)
    vault = world.open()
    Proofs(vault.handle).forget(snapshots=[snapshot])
    bulk = Bulk(ThreadFanout(2), size=small)
    with pytest.raises(DamageError, match=packs[3].name):
        vault.restore("run", tmp_path / "back", writing=bulk.writing(vault, world.at))
    assert not (tmp_path / "back").exists()
    with pytest.raises(DamageError, match=packs[3].name):
        vault.verify("run", reading=bulk.reading(vault, world.at))
    assert snapshot not in Proofs(vault.handle).snapshots()


def test_replicas_stand_in_for_the_workers_too(world: World, tmp_path: Path) -> None:
    world.save()
    shutil.copytree(world.url, tmp_path / "replica")
    world.packs()[3].unlink()
    vault = world.open()
    replicas = replicas_at([str(tmp_path / "replica")])
    taker = NoteTaker()
    bulk = Bulk(ThreadFanout(2), size=small, progress=taker)
    done = vault.restore("run", tmp_path / "back", replicas=replicas, writing=bulk.writing(vault, world.at, replicas))
    trees_are_equal(read_tree(tmp_path / "back"), read_tree(world.source), "the restore")
    [(url, taken)] = done.from_replicas.items()
    assert url.endswith("/replica") and taken.chunks > 0 and taken.bytes > 0
    assert any("was used" in note for note in taker.notes)


def test_a_check_in_pieces_is_the_check(world: World) -> None:
    snapshot = world.save()
    whole = world.open().verify("run").verified
    vault = world.open()
    Proofs(vault.handle).forget(snapshots=[snapshot])
    bulk = Bulk(ThreadFanout(3), size=small)
    assert vault.verify("run", reading=bulk.reading(vault, world.at)).verified == whole
    assert Proofs(vault.handle).snapshots()[snapshot].level == "decoded"
    assert sum(share.pieces for share in bulk.workers) > 10


def test_a_copy_whose_packs_others_carry_is_the_copy(world: World, tmp_path: Path) -> None:
    world.save()
    vault = world.open()
    targets = [LocalStore(tmp_path / name) for name in ("plain", "carried", "mirrored")]
    source = Source(vault.handle.store, vault)
    plain = copy_vault(source, targets[0])
    bulk = Bulk(ThreadFanout(2))
    carried = copy_vault(source, targets[1], carrier=bulk.carrier(world.at, At(targets[1].url)))
    assert (carried.objects, carried.bytes, carried.arrived) == (plain.objects, plain.bytes, plain.arrived)
    assert _packs(targets[0]) == _packs(targets[1]) != {}
    assert sum(share.bytes for share in bulk.workers) == sum(_packs(targets[1]).values())
    again = copy_vault(source, targets[1], carrier=bulk.carrier(world.at, At(targets[1].url)))
    assert again.objects == 0
    mirrored = copy_vault(source._replace(vault=None), targets[2], carrier=bulk.carrier(world.at, At(targets[2].url)))
    assert _packs(targets[2]) == _packs(targets[0]) and not mirrored.damaged
    check_is_clean(open_at(targets[1].url))


def test_a_pack_that_is_damaged_at_the_source_is_not_carried(world: World, tmp_path: Path) -> None:
    world.save()
    pack = world.packs()[2]
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    vault = world.open()
    target = LocalStore(tmp_path / "there")
    carrier = Bulk(ThreadFanout(2)).carrier(world.at, At(target.url))
    done = copy_vault(Source(vault.handle.store, vault), target, carrier=carrier)
    assert [key.rpartition("/")[2] for key in done.damaged] == [pack.name]
    assert done.arrived == [] and len(done.left_out) == 1
    assert not list(target.list("snapshots/"))


def test_a_collection_with_helpers_frees_what_it_frees_alone(world: World, tmp_path: Path) -> None:
    for seed in range(3):
        world.save(seed=seed, shards=3, shard_bytes=400_000)
    handle = world.vault.handle
    listed = world.vault.snapshots()
    # Of the first two, one small file stays; what else is in its packs is dead.
    kept = world.source / "deep" / "shard-1.bin"
    world.vault.save("kept", kept)
    for one in listed:
        assert one.root is not None
        if one.root.id != world.vault.find("run").id:
            world.vault.apply_drop(world.vault.plan_drop(one.root.id))
    shutil.copytree(world.url, tmp_path / "alone")
    options = CollectOptions(safety=NONE, rewrite_below=0.99)
    vault = world.open()
    bulk = Bulk(ThreadFanout(2), size=small)
    helped = vault.collect(options, helpers=bulk.helpers(vault, world.at))
    alone = open_at(str(tmp_path / "alone"))
    alone.handle.pack_bytes = MIB
    plain = alone.collect(options)
    assert helped.rewritten.objects == plain.rewritten.objects > 0
    assert helped.deleted.bytes > 0 and helped.rewrite_frees == plain.rewrite_frees
    assert sum(share.pieces for share in bulk.workers) >= 2  # read and rewritten
    assert handle.keys.vault == vault.handle.keys.vault
    for reference in ("run", "kept"):
        world.open().verify(reference)
    check_is_clean(world.open())


def test_a_worker_needs_a_key_of_its_own_and_the_same_vault(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.save()
    vault = world.open()
    bulk = Bulk(ThreadFanout(2), size=small)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    with pytest.raises(CredentialError, match=r"there is no .* key for the vault"):
        vault.verify("run", reading=bulk.reading(vault, world.at))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(NotFoundError, match="as this machine sees it"):
        vault.verify("run", reading=bulk.reading(vault, At(str(tmp_path / "elsewhere"))))
    other = World(tmp_path / "other")
    with pytest.raises(RefusedError, match="this machine sees the vault"):
        vault.verify("run", reading=bulk.reading(vault, other.at))


def test_a_place_that_is_not_shared_and_a_snapshot_that_changed_are_refused(world: World, tmp_path: Path) -> None:
    world.save()
    vault = world.open()
    asked: list[Task[RestorePiece]] = []
    fan = Ordered(lambda number, task: asked.append(task))
    vault.restore("run", tmp_path / "back", writing=Bulk(fan, size=small).writing(vault, world.at))
    late = asked[0]
    with pytest.raises(RefusedError, match="does not see the restore"):
        do_restore(late)  # published long ago: whoever comes late writes nothing
    elsewhere = late.piece._replace(place=str(tmp_path / "disk-of-my-own"))
    (tmp_path / "disk-of-my-own").mkdir()
    with pytest.raises(RefusedError, match="does not see the restore"):
        do_restore(late._replace(piece=elsewhere))
    with pytest.raises(ConflictError, match="lost components"):
        do_restore(late._replace(piece=late.piece._replace(mark="0" * 64)))


def _packs(store: LocalStore) -> dict[str, int]:
    return {info.key: info.size for info in store.list("packs/")}
