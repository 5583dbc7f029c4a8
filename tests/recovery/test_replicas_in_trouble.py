"""What a replica lost, what a source made up, and what came while the copying ran."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.control.vaults.replicating import Source, copy_vault
from holdfast.errors import CredentialError
from holdfast.replication.copying.planning import packs_of, plan_mirror, plan_replication
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.testing.damage import Delete, Flip, Truncate, contents_of, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, pointers_resolve, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.signing import SigningKey
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import config_key, pack_key
from holdfast.vault.format.records import encode_record

from .sample_vault import ASSET, Sample, build_sample, train, write_state


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


class Busy:
    """A store to which somebody saves as soon as the first objects under a prefix have been listed."""

    def __init__(self, store: Store, prefix: str, act: Callable[[], object]) -> None:
        self._store = store
        self._prefix = prefix
        self._act: Callable[[], object] | None = act

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        listed = list(self._store.list(prefix))
        if prefix == self._prefix and self._act is not None:
            act, self._act = self._act, None
            act()
        return iter(listed)


@pytest.mark.parametrize("prefix", ["packs/", "index/", "parts/", "snapshots/", "refs/", "config/"])
def test_a_mirror_sends_no_root_that_came_while_it_ran(
    sample: Sample, target: MemoryStore, tmp_path: Path, prefix: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_state(source, seed=7)
    busy = Busy(sample.trial.store, prefix, lambda: sample.trial.open().save(ASSET, source, step=50))
    mirror(busy, target)  # type: ignore[arg-type]  # what it lacks, __getattr__ gives
    vault = sample.trial.open(store=target)
    check_is_clean(vault)
    pointers_resolve(vault, ASSET)
    every_snapshot_restores(
        vault, {one: tree for one, tree in sample.expected.items() if vault.find(one)}, tmp_path / "out"
    )


HARM: dict[str, Callable[[str], Delete | Flip | Truncate]] = {
    "gone": Delete,
    "flipped": lambda key: Flip(key, 300),
    "cut": lambda key: Truncate(key, 200),
}


@pytest.mark.parametrize(
    ("prefix", "harm"),
    # No pack's bytes are read again without `verify`, which has a test of its own.
    [
        (prefix, harm)
        for prefix in ("packs/", "parts/", "snapshots/")
        for harm in HARM
        if (prefix, harm) != ("packs/", "flipped")
    ],
)
def test_what_a_replica_lost_is_sent_again(
    sample: Sample, target: MemoryStore, tmp_path: Path, prefix: str, harm: str
) -> None:
    replicate(sample.trial.open().handle, target)
    for key in sample.keys(prefix):
        HARM[harm](key).apply(target)
    plan = plan_replication(sample.trial.open().handle, target)
    assert plan.objects == len(sample.keys(prefix))
    assert plan.arriving and not plan.left_out
    done = replicate(sample.trial.open().handle, target)
    assert set(done.arrived) == sample.expected.keys()
    assert done.objects == plan.objects
    check_is_clean(sample.trial.open(store=target))
    every_snapshot_restores(sample.trial.open(store=target), sample.expected, tmp_path)
    assert plan_replication(sample.trial.open().handle, target).objects == 0


def test_a_replica_that_is_whole_does_not_need_a_source_that_is_not(sample: Sample, target: MemoryStore) -> None:
    replicate(sample.trial.open().handle, target)
    for key in (*sample.keys("packs/"), *sample.keys("parts/")):
        Delete(key).apply(sample.trial.store)
    done = replicate(sample.trial.open().handle, target)
    assert set(done.arrived) == sample.expected.keys() and not done.left_out


def test_what_neither_site_has_has_not_arrived(sample: Sample, target: MemoryStore) -> None:
    replicate(sample.trial.open().handle, target)
    key = sample.keys("packs/")[0]
    for store in (sample.trial.store, target):
        Delete(key).apply(store)
    done = replicate(sample.trial.open().handle, target)
    assert done.left_out and not set(done.left_out) & set(done.arrived)
    assert plan_replication(sample.trial.open().handle, target).left_out == done.left_out


def test_reading_the_newest_copy_back_finds_what_sizes_do_not_tell(sample: Sample, target: MemoryStore) -> None:
    handle = sample.trial.open().handle
    good = replicate(handle, target, verify=True)
    assert good.verified is not None and good.verified.bytes > 0 and not good.damaged
    newest = good.arrived[0]
    root = sample.trial.open().find(newest)
    for pack in packs_of(handle, root):
        Flip(pack_key(pack), 2000).apply(target)
    done = replicate(handle, target, verify=True)
    assert done.verified is None
    assert done.left_out == [newest] and newest not in done.arrived
    assert any("replica" in why for why in done.damaged.values())


def test_all_packs_that_hold_a_chunk_are_copied(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    """One of them may go bad at the replica, as here."""
    source = tmp_path / "source"
    source.mkdir()
    write_state(source, seed=1)
    other = MemoryStore()
    put_back(other, {key: data for key, data in sample.contents.items() if key.startswith("config/")})
    apart = TrialVault(other, sample.trial.keeper)
    here = {apart.open().save("apart", source).root.id: read_tree(source)}
    mirror(other, sample.trial.store)
    second = {key for key in contents_of(sample.trial.store) if key.startswith("packs/")} - sample.contents.keys()
    replicate(sample.trial.open().handle, target, asset="apart")
    assert second <= contents_of(target).keys()
    for key in second:
        Flip(key, 5000).apply(target)
    every_snapshot_restores(sample.trial.open(store=target), here, tmp_path / "out")


def forge(sample: Sample) -> str:
    """The next generation of the configuration, signed by somebody who is no keeper of this vault."""
    keys = sample.trial.open().handle.keys
    config = msgspec.structs.replace(keys.config, generation=keys.config.generation + 1)
    key = config_key(config.generation)
    record = encode_record(config)
    sample.trial.store.create(key, write_config(keys.vault, config.suite, key, record, SigningKey.generate()))
    return key


@pytest.mark.parametrize("how", ["replicate", "mirror", "mirror to a new place"])
def test_a_forged_configuration_stays_where_it_is(
    sample: Sample, target: MemoryStore, tmp_path: Path, how: str
) -> None:
    handle = sample.trial.open().handle
    if how == "mirror":
        mirror(sample.trial.store, target)
    key = forge(sample)
    plan = plan_replication(handle, target) if how == "replicate" else plan_mirror(sample.trial.store, target)
    done = replicate(handle, target) if how == "replicate" else mirror(sample.trial.store, target)
    assert key not in contents_of(target)
    assert list(done.damaged) == list(plan.damaged) == [key]
    assert "not signed by a keeper" in done.damaged[key]
    every_snapshot_restores(sample.trial.open(store=target), sample.expected, tmp_path / "out")
    assert sample.trial.open(store=target).find(ASSET)


def test_an_old_damaged_pack_does_not_keep_new_snapshots_from_a_mirror(tmp_path: Path) -> None:
    folder, source = tmp_path / "vault", tmp_path / "source"
    source.mkdir()
    trial = new_trial_vault(LocalStore(folder))
    ids, packs = [], []
    for step in range(4):
        write_state(source, seed=step)
        before = {info.key for info in trial.store.list("packs/")}
        ids.append(trial.open().save(ASSET, source, step=step, tags=[f"t{step}"]).root.id)
        packs.append([info.key for info in trial.store.list("packs/") if info.key not in before])
        for path in folder.rglob("*"):  # each save a minute after the one before
            if path.is_file() and path.stat().st_mtime > 1_700_000_000 + 60 * step + 30:
                os.utime(path, (1_700_000_000 + 60 * step,) * 2)
    replica = LocalStore(tmp_path / "replica")
    bad = packs[1][0]
    when = (folder / bad).stat().st_mtime
    data = bytearray((folder / bad).read_bytes())
    data[2000] ^= 1
    (folder / bad).write_bytes(data)
    os.utime(folder / bad, (when, when))
    done = mirror(trial.store, replica)
    assert list(done.damaged) == [bad]
    vault = trial.open(store=replica)
    assert {one.root.id for one in vault.snapshots() if one.root} == set(ids[2:])
    assert [key.rpartition("/")[2] for key in done.left_out] == ids[:2]
    assert any("may need what is damaged" in note for note in done.notes)
    assert vault.find(ASSET).id == vault.find(f"{ASSET}@validated").id == ids[3]
    assert vault.tags(ASSET).keys() == {"latest", "validated", "t2", "t3"}
    vault.restore(ids[3], tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(source)


def test_pointers_that_agree_are_not_moved_again(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    """Both sites found the same snapshot to be the latest, each in its own words."""
    source = tmp_path / "source"
    source.mkdir()
    write_state(source, seed=5)
    there = TrialVault(target, sample.trial.keeper)
    mirror(sample.trial.store, target)
    sample.trial.open().save(ASSET, source, step=100)
    train(source, seed=20)
    there.open().save(ASSET, source, step=101)
    for _ in range(2):
        replicate(sample.trial.open().handle, target)
        replicate(there.open().handle, sample.trial.store)
    before = contents_of(target), contents_of(sample.trial.store)
    replicate(sample.trial.open().handle, target)
    replicate(there.open().handle, sample.trial.store)
    assert (contents_of(target), contents_of(sample.trial.store)) == before


def test_no_moment_at_which_a_pointer_leads_nowhere(sample: Sample, tmp_path: Path) -> None:
    """Its history names snapshots that were dropped; the copying is cut off after each object."""
    vault = sample.trial.open()
    oldest = next(one.root.id for one in vault.snapshots(ASSET) if one.root)
    vault.apply_drop(vault.plan_drop(oldest))
    whole = MemoryStore()
    replicate(sample.trial.open().handle, whole)
    for count in range(len(contents_of(whole)) - 14, len(contents_of(whole))):
        target = MemoryStore()
        with pytest.raises(Crash):
            replicate(sample.trial.open().handle, FaultyStore(target, Faults().stop_after(count, "put create")))
        pointers_resolve(sample.trial.open(store=target), ASSET)
    check_is_clean(sample.trial.open(store=whole))


def test_a_plan_bears_what_is_saved_meanwhile(sample: Sample, target: MemoryStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_state(source, seed=7)
    for prefix in ("snapshots/", "parts/", "packs/"):
        vault = sample.trial.open()
        saved = Busy(vault.handle.store, prefix, lambda: sample.trial.open().save(ASSET, source))
        vault.handle.store = saved  # type: ignore[assignment]  # what it lacks, __getattr__ gives
        plan = plan_replication(vault.handle, target)
        assert set(plan.arriving) >= sample.expected.keys()


def test_a_copy_cannot_be_read_back_without_a_key(sample: Sample, target: MemoryStore) -> None:
    with pytest.raises(CredentialError, match="reading a copy back"):
        copy_vault(Source(sample.trial.store, None), target, verify=True)
    vault = sample.trial.open()
    copied = copy_vault(Source(vault.handle.store, vault), target, verify=True)
    assert copied.verified is not None
