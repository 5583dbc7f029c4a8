"""Replicas: the order in which they grow, interruptions, damage at either end, and sites that drifted apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.errors import RefusedError
from holdfast.replication.copying.planning import packs_of
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.damage import Delete, Flip, Truncate, contents_of, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import (
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.vault.access.members import admit_reader, admit_writer
from holdfast.vault.format.names import pack_key
from holdfast.vault.snapshots.refs import read_history

from .sample_vault import ASSET, Sample, build_sample, train, write_state

WRITES = ("put", "create")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    work = tmp_path_factory.mktemp("sample")
    with own_memory(work / "state"):
        return build_sample(work, encrypted=True)


@pytest.fixture
def sample(built: Sample) -> Iterator[Sample]:
    yield built
    put_back(built.trial.store, built.contents)


@pytest.fixture
def target() -> MemoryStore:
    return MemoryStore(name="replica")


def packs_needed(trial: TrialVault, snapshot: str) -> set[str]:
    """Keys of the packs that a snapshot reaches, delta bases included."""
    vault = trial.open()
    return {pack_key(pack) for pack in packs_of(vault.handle, vault.find(snapshot))}


def both_ways(sample: Sample, target: Store) -> tuple[Callable[[], object], ...]:
    return (lambda: replicate(sample.trial.open().handle, target)), (lambda: mirror(sample.trial.store, target))


@pytest.mark.parametrize("how", ["replicate", "mirror"])
def test_what_is_referred_to_arrives_first(sample: Sample, target: MemoryStore, how: str) -> None:
    watched = FaultyStore(target, Faults())
    if how == "replicate":
        done = replicate(sample.trial.open().handle, watched)
        assert set(done.arrived) == sample.expected.keys() and not done.left_out
        copied = {key: data for key, data in contents_of(target).items() if not key.startswith("leases/")}
        assert (done.objects, done.bytes) == (len(copied), sum(map(len, copied.values())))
    else:
        mirror(sample.trial.store, watched)
    written = [op.key for op in watched.log if op.verb in WRITES and not op.key.startswith("leases/")]
    when = {key: number for number, key in enumerate(written)}
    first_of = {prefix: min(n for key, n in when.items() if key.startswith(prefix)) for prefix in ("config", "refs")}
    assert first_of["config"] == 0
    assert all(number < first_of["refs"] for key, number in when.items() if not key.startswith("refs/"))
    vault = sample.trial.open()
    for one in vault.snapshots():
        assert one.root is not None
        needed = packs_needed(sample.trial, one.root.id) | {f"parts/{link.id.hex()}" for link in one.root.parts}
        assert all(when[key] < when[one.key] for key in needed)


@pytest.mark.parametrize("how", ["replicate", "mirror"])
def test_an_interrupted_copy_sends_nothing_twice(sample: Sample, how: str) -> None:
    def copy(store: Store) -> None:
        replicate(sample.trial.open().handle, store) if how == "replicate" else mirror(sample.trial.store, store)

    whole = FaultyStore(MemoryStore(), Faults())
    copy(whole)
    for count in (3, 9, 17, 29):
        target, sent = MemoryStore(), 0
        first = FaultyStore(target, Faults().stop_after(count, "put create"))
        with pytest.raises(Crash):
            copy(first)
        second = FaultyStore(target, Faults())
        copy(second)
        keys = [op.key for store in (first, second) for op in store.log if op.verb in WRITES]
        # An index of what one run copied is that run's own; everything else goes once.
        copied = [key for key in keys if not key.startswith("index/")]
        assert len(copied) == len(set(copied)), f"sent twice after a crash at {count}"
        sent = first.bytes_moved(*WRITES) + second.bytes_moved(*WRITES)
        assert sent <= 1.2 * whole.bytes_moved(*WRITES)
        third = FaultyStore(target, Faults())
        copy(third)
        assert third.bytes_moved(*WRITES) == 0


@pytest.mark.parametrize("how", ["replicate", "mirror"])
def test_a_replica_outlives_its_source(source: Path, tmp_path: Path, how: str) -> None:
    """The source's folder is deleted; the same key opens the replica, everything restores, and work goes on there."""
    write_state(source, seed=1)
    trial = new_trial_vault(LocalStore(tmp_path / "vault"), pack_bytes=24 << 10)
    expected = {}
    for step in range(3):
        train(source, seed=step)
        expected[trial.open().save(ASSET, source, step=step, tags=[f"t{step}"]).root.id] = read_tree(source)
    replica = LocalStore(tmp_path / "replica")
    replicate(trial.open().handle, replica) if how == "replicate" else mirror(trial.store, replica)
    shutil.rmtree(tmp_path / "vault")
    vault = trial.open(store=replica)
    names_are_tidy(replica)
    check_is_clean(vault)
    pointers_resolve(vault, ASSET)
    assert set(vault.tags(ASSET)) == {"latest", "validated", "t0", "t1", "t2"}
    every_snapshot_restores(vault, expected, tmp_path / "out")
    train(source, seed=9)
    assert next_save_works(vault, ASSET, source, tmp_path / "out").root.stats["raw_delta"] > 0


def test_a_reader_can_replicate(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    reader = admit_reader(sample.trial.open().handle, "auditor")
    replicate(sample.trial.open(reader).handle, target)
    every_snapshot_restores(sample.trial.open(store=target), sample.expected, tmp_path)
    check_is_clean(sample.trial.open(store=target))


def test_one_asset_alone(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    done = replicate(sample.trial.open().handle, target, asset="notes")
    vault = sample.trial.open(store=target)
    assert [one.root.id for one in vault.snapshots() if one.root] == done.arrived == [vault.find("notes").id]
    check_is_clean(vault)
    assert vault.tags(ASSET) == {}


def test_damage_at_the_source_stays_there(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    """It is reported; what needs it is left out, everything else arrives; pointers lead only to what arrived."""
    newest = sample.trial.open().find(ASSET).id
    others = [packs_needed(sample.trial, snapshot) for snapshot in sample.expected if snapshot != newest]
    only_newest = sorted(packs_needed(sample.trial, newest) - set().union(*others))
    Flip(only_newest[0], 2000).apply(sample.trial.store)
    done = replicate(sample.trial.open().handle, target)
    assert done.left_out == [newest] and list(done.damaged) == only_newest[:1]
    assert set(done.arrived) == sample.expected.keys() - {newest}
    vault = sample.trial.open(store=target)
    check_is_clean(vault)
    pointers_resolve(vault, "notes")
    assert vault.tags(ASSET).keys() == {"release"}, "`latest` and `validated` lead to what did not arrive"
    every_snapshot_restores(vault, {one: sample.expected[one] for one in done.arrived}, tmp_path)
    assert any("latest" in note for note in done.notes)
    put_back(sample.trial.store, sample.contents)
    repaired = replicate(sample.trial.open().handle, target)
    assert repaired.left_out == [] and sample.trial.open(store=target).find(ASSET).id == newest


@pytest.mark.parametrize("prefix", ["parts/", "snapshots/", "refs/"])
def test_any_damaged_document_at_the_source(sample: Sample, target: MemoryStore, tmp_path: Path, prefix: str) -> None:
    for key in sample.keys(prefix):
        Flip(key, 300).apply(sample.trial.store)
        done = replicate(sample.trial.open().handle, target)
        assert key in done.damaged
        vault = sample.trial.open(store=target)
        found = vault.check(read_data=True).damages
        assert all("is missing, though" in damage.message and damage.object == key for damage in found), found
        every_snapshot_restores(vault, {one: sample.expected[one] for one in done.arrived}, tmp_path)
        put_back(sample.trial.store, sample.contents)
        put_back(target, {})


def test_a_mirror_without_keys_sends_no_root_that_might_be_hollow(sample: Sample, target: MemoryStore) -> None:
    key = sample.keys("packs/")[0]
    Flip(key, 2000).apply(sample.trial.store)
    done = mirror(sample.trial.store, target)
    assert list(done.damaged) == [key]
    assert not [info for prefix in ("snapshots/", "refs/") for info in target.list(prefix)]


def test_a_pack_that_was_cut_at_the_target_is_sent_again(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    replicate(sample.trial.open().handle, target)
    root = next(iter(target.list("snapshots/"))).key
    target.delete(root)  # the copying was interrupted before it
    Truncate(sorted(packs_needed(sample.trial, root.rpartition("/")[2]))[0], 500).apply(target)
    replicate(sample.trial.open().handle, target)
    check_is_clean(sample.trial.open(store=target))
    every_snapshot_restores(sample.trial.open(store=target), sample.expected, tmp_path)


def test_another_vault_is_never_written_into(sample: Sample, target: MemoryStore) -> None:
    put_back(target, sample.foreign)
    for copy in both_ways(sample, target):
        with pytest.raises(RefusedError, match="another vault") as caught:
            copy()
        assert caught.value.exit_code == 5 and caught.value.hint
    assert contents_of(target) == sample.foreign


def test_sites_that_were_configured_apart(sample: Sample, target: MemoryStore) -> None:
    mirror(sample.trial.store, target)
    admit_writer(sample.trial.open().handle, "here")
    admit_writer(sample.trial.open(store=target).handle, "there")
    before = contents_of(target)
    for copy in both_ways(sample, target):
        with pytest.raises(RefusedError, match="config"):
            copy()
    assert contents_of(target) == before


def test_sites_that_drifted_apart_agree_again(
    sample: Sample, target: MemoryStore, source: Path, tmp_path: Path
) -> None:
    """Both went on by themselves. Copying both ways brings all snapshots together, and the pointers agree."""
    here, there = sample.trial, TrialVault(target, sample.trial.keeper, pack_bytes=24 << 10)
    mirror(here.store, target)
    write_state(source, seed=5)
    expected = dict(sample.expected)
    for number, site in enumerate((here, there, there, here, there)):
        train(source, seed=20 + number)
        root = site.open().save(ASSET, source, step=100 + number, tags=["both", f"only{number}"]).root
        expected[root.id] = read_tree(source)
        newest = root.id
    notes = NoteTaker()
    for origin, copy in ((here, target), (there, here.store), (here, target)):
        replicate(origin.open(progress=notes).handle, copy, progress=notes)
    for site in (here, there):
        vault = site.open()
        every_snapshot_restores(vault, expected, tmp_path / "out")
        check_is_clean(vault)
        pointers_resolve(vault, ASSET)
        assert vault.find(ASSET).id == vault.find(f"{ASSET}@validated").id == newest
        assert vault.find(f"{ASSET}@both").id == newest
        assert {f"only{number}" for number in range(5)} <= vault.tags(ASSET).keys()
        moves = [vault.find(ref.target).content for ref in read_history(vault.handle, ASSET, "latest")]
        assert moves == sorted(moves)


def test_a_mirror_of_a_site_that_went_on_keeps_what_that_site_wrote(
    sample: Sample, target: MemoryStore, source: Path
) -> None:
    mirror(sample.trial.store, target)
    write_state(source, seed=5)
    there = TrialVault(target, sample.trial.keeper)
    sample.trial.open().save(ASSET, source, step=100)
    sample.trial.open().save(ASSET, source, step=101)
    train(source, seed=20)
    newest = there.open().save(ASSET, source, step=102).root.id
    done = mirror(sample.trial.store, target)
    assert any("both sites" in note for note in done.notes)
    assert there.open().find(ASSET).id == newest
    assert len(there.open().snapshots(ASSET)) == 7
    check_is_clean(there.open())


def test_a_pack_that_was_lost_is_made_good_by_saving_again(sample: Sample, source: Path, tmp_path: Path) -> None:
    """The same chunks are stored anew; old snapshots find them there, here and on a replica."""
    write_state(source, seed=1)
    vault = sample.trial.open()
    first = vault.save("again", source).root.id
    expected = {first: read_tree(source)}
    for key in packs_needed(sample.trial, first):
        Delete(key).apply(sample.trial.store)
    hurt = {one for damage in sample.trial.open().check().damages for one in damage.snapshots}
    assert first in hurt
    notes = NoteTaker()
    second = sample.trial.open(progress=notes).save("again", source)
    assert second.validated and second.root.stats["new_chunks"] > 0
    assert any("stored again" in note for note in notes.notes)
    expected[second.root.id] = read_tree(source)
    every_snapshot_restores(sample.trial.open(), expected, tmp_path / "out")
    target = MemoryStore()
    done = replicate(sample.trial.open().handle, target, asset="again")
    assert done.left_out == []
    every_snapshot_restores(sample.trial.open(store=target), expected, tmp_path / "out")


def test_a_damaged_pack_is_stepped_round_where_another_holds_the_same(
    sample: Sample, source: Path, tmp_path: Path
) -> None:
    """Two writers who did not know of each other stored the same chunks twice: one copy may go bad."""
    write_state(source, seed=1)
    other = MemoryStore()
    put_back(other, {key: data for key, data in sample.contents.items() if key.startswith("config/")})
    apart = TrialVault(other, sample.trial.keeper)
    here = {apart.open().save("apart", source).root.id: read_tree(source)}
    mirror(other, sample.trial.store)  # now every chunk of it lies in two packs
    contents = contents_of(sample.trial.store)
    second = [key for key in contents if key.startswith("packs/") and key not in sample.contents]
    first = sorted(packs_needed(sample.trial, min(sample.expected)))
    assert second and first
    notes = NoteTaker()
    for bad in (second, first):
        for harm in (lambda key: Flip(key, 5000), Delete):
            for key in bad:
                harm(key).apply(sample.trial.store)
            every_snapshot_restores(sample.trial.open(progress=notes), here, tmp_path / "out")
            target = MemoryStore()
            assert replicate(sample.trial.open().handle, target, asset="apart").left_out == []
            every_snapshot_restores(sample.trial.open(store=target), here, tmp_path / "out")
            put_back(sample.trial.store, contents)
    assert any("another pack holds the same" in note for note in notes.notes)
