"""A vault on stripes: every verb unchanged, on folders and on three dialects at once, whatever site is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import DamageError, HoldfastError, RefusedError, StoreUnreachableError
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.replication.striping import (
    StripedStore,
    adopt_home,
    create_stripes,
    dissolve_stripes,
    heal_stripes,
    plan_rebuild,
    rebuild_site,
    stripe_packs,
    unstripe_packs,
    verify_stripes,
)
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.damage import Delete, Flip, contents_of
from holdfast.testing.faults import Faults
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.invariants import (
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.servers import AzuriteServer, SeaweedServer
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE

PACK_BYTES = 256 << 10


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path) -> Iterator[None]:
    with own_memory(tmp_path / "state"):
        yield


def write_checkpoint(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(0).normal(size=(256, 512)).astype("<f4")
    weights += 1e-4 * np.random.default_rng(seed).normal(size=weights.shape).astype("<f4")
    np.save(folder / "weights.npy", weights)
    (folder / "data.bin").write_bytes(np.random.default_rng(seed).bytes(600_000))
    (folder / "notes.txt").write_text(f"seed {seed}")
    return folder


def saved(store: Store, tmp_path: Path, steps: int = 2) -> tuple[TrialVault, dict[str, TreeState]]:
    """A vault with snapshots on the store."""
    trial = new_trial_vault(store, pack_bytes=PACK_BYTES)
    expected = {}
    for step in range(1, steps + 1):
        source = write_checkpoint(tmp_path / "source", step)
        report = trial.open().save("run", source, step=step)
        assert report.validated
        expected[report.root.id] = read_tree(source)
    return trial, expected


def everything_works(trial: TrialVault, store: Store, expected: dict[str, TreeState], scratch: Path) -> None:
    """As by a machine that knows nothing yet."""
    with own_memory(scratch / "memory"):
        vault = trial.open(store=store)
        check_is_clean(vault)
        pointers_resolve(vault, "run")
        every_snapshot_restores(vault, expected, scratch / "out")
    shutil.rmtree(scratch / "memory")


def folders(tmp_path: Path, n: int) -> list[Store]:
    return [LocalStore(tmp_path / f"site-{position}") for position in range(n)]


def gone(stores: Sequence[Store], positions: Sequence[int], how: str) -> list[Store]:
    """The sites with some that do not answer, or are empty."""
    result = list(stores)
    for position in positions:
        silent = FaultyStore(stores[position], Faults().fail("*"))
        result[position] = silent if how == "silent" else MemoryStore(name=f"empty-{position}")
    return result


@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 6)])
def test_every_loss_that_was_promised_is_survived_on_folders(k: int, n: int, tmp_path: Path) -> None:
    stores = folders(tmp_path, n)
    trial, expected = saved(create_stripes(stores, k), tmp_path, steps=2 if k == 2 else 1)
    assert any(info.key.startswith("shards/") for info in stores[-1].list(""))
    everything_works(trial, StripedStore(stores), expected, tmp_path)
    names_are_tidy(StripedStore(stores))
    for number, lost in enumerate(combinations(range(n), n - k)):
        left = StripedStore(gone(stores, lost, ("silent", "empty")[number % 2]))
        with own_memory(tmp_path / f"memory {number}"):
            every_snapshot_restores(trial.open(store=left), expected, tmp_path / "out")
    for lost in combinations(range(n), n - k + 1) if k == 2 else [(0, 2, 5)]:
        for how, error in (("silent", StoreUnreachableError), ("empty", DamageError)):
            with own_memory(tmp_path / f"{how} {lost}"), pytest.raises(error) as caught:
                trial.open(store=StripedStore(gone(stores, lost, how))).restore("run", tmp_path / "never")
            assert all(f"site {position}" in caught.value.message for position in lost)
    assert not (tmp_path / "never").exists()


def test_each_single_loss_and_then_the_work_goes_on(tmp_path: Path) -> None:
    """A folder is really deleted, rebuilt onto a new one, and the next is deleted."""
    stores = folders(tmp_path, 3)
    trial, expected = saved(create_stripes(stores, 2), tmp_path)
    for position in range(3):
        shutil.rmtree(tmp_path / f"site-{position}")
        with own_memory(tmp_path / f"memory {position}"):
            every_snapshot_restores(trial.open(store=StripedStore(stores)), expected, tmp_path / "out")
        stores[position] = LocalStore(tmp_path / f"new-{position}")
        plan = plan_rebuild(StripedStore(stores), position)
        done = rebuild_site(StripedStore(stores), position)
        assert done.is_complete and done.bytes_written == plan.bytes_written > 0
        assert verify_stripes(StripedStore(stores)).is_clean
        trial = TrialVault(StripedStore(stores), trial.keeper, pack_bytes=PACK_BYTES)
        source = write_checkpoint(tmp_path / "source", 10 + position)
        expected[next_save_works(trial.open(), "run", source, tmp_path / "next").root.id] = read_tree(source)
    everything_works(trial, StripedStore(stores), expected, tmp_path)


def test_all_verbs_work_on_stripes(tmp_path: Path) -> None:
    stores = folders(tmp_path, 3)
    store = create_stripes(stores, 2)
    trial, expected = saved(store, tmp_path, steps=3)
    vault = trial.open()
    vault.tag("run", "release")
    vault.hold("run@release", "the release")
    oldest = min(expected)
    vault.apply_drop(vault.plan_drop(oldest))
    before = sum(info.size for info in store.list("packs/"))
    report = vault.collect(CollectOptions(NONE, rewrite_below=0.9))
    assert report.deleted.objects > 0
    assert sum(info.size for info in store.list("packs/")) < before
    del expected[oldest]
    everything_works(trial, StripedStore(stores), expected, tmp_path)
    assert heal_stripes(StripedStore(stores)).bytes_written == 0, "a collection leaves nothing behind at any site"
    copy = MemoryStore()
    replicate(trial.open().handle, copy)
    everything_works(trial, copy, expected, tmp_path)
    again = create_stripes([MemoryStore(name=f"other-{position}") for position in range(6)], 4)
    mirror(copy, again)
    everything_works(trial, again, expected, tmp_path)


def test_damage_at_one_site_is_not_noticed_by_the_vault_and_repair_has_nothing_to_do(tmp_path: Path) -> None:
    stores = folders(tmp_path, 3)
    trial, expected = saved(create_stripes(stores, 2), tmp_path, steps=1)
    for position in (0, 2):
        keys = [info.key for info in stores[position].list("") if not info.key.startswith("stripes/")]
        for key in keys:
            Flip(key, 3000).apply(stores[position])
        everything_works(trial, StripedStore(stores), expected, tmp_path)
        assert not trial.open(store=StripedStore(stores)).repair(dry_run=True).plan.losses
        found = verify_stripes(StripedStore(stores))
        assert {damage.key for damage in found.damages} == set(keys)
        for key in keys:
            Flip(key, 3000).apply(stores[position])
    assert verify_stripes(StripedStore(stores)).is_clean


def test_repair_writes_what_more_sites_lost_than_may_be(tmp_path: Path) -> None:
    """Two of three shards of each pack are gone: the vault's own repair brings them from a replica."""
    stores = folders(tmp_path, 3)
    trial, expected = saved(create_stripes(stores, 2), tmp_path)
    replica = MemoryStore(name="replica")
    mirror(StripedStore(stores), replica)
    for position in (0, 2):
        for info in list(stores[position].list("shards/")):
            Delete(info.key).apply(stores[position])
    with pytest.raises(HoldfastError):
        every_snapshot_restores(trial.open(store=StripedStore(stores)), expected, tmp_path / "fails")
    done = trial.open(store=StripedStore(stores)).repair([trial.open(store=replica)])
    assert not done.plan.losses
    everything_works(trial, StripedStore(stores), expected, tmp_path)
    assert verify_stripes(StripedStore(stores)).is_clean


def test_the_home_is_lost_in_mid_training(tmp_path: Path) -> None:
    stores = folders(tmp_path, 3)
    trial, expected = saved(create_stripes(stores, 2), tmp_path)
    shutil.rmtree(tmp_path / "site-0")
    source = write_checkpoint(tmp_path / "source", 7)
    with pytest.raises(StoreUnreachableError, match="holds nothing of the set") as caught:
        trial.open(store=StripedStore(stores)).save("run", source, step=7)
    assert "adopt" in caught.value.hint
    adopt_home(StripedStore(stores), 1)
    stores[0] = LocalStore(tmp_path / "new-0")
    assert rebuild_site(StripedStore(stores), 0).is_complete
    report = next_save_works(trial.open(store=StripedStore(stores)), "run", source, tmp_path / "next")
    expected[report.root.id] = read_tree(source)
    everything_works(trial, StripedStore(stores), expected, tmp_path)
    assert StripedStore(stores).layout.home == 1


def test_a_vault_with_a_replica_becomes_stripes_and_back(tmp_path: Path) -> None:
    stores = folders(tmp_path, 3)
    trial, expected = saved(stores[0], tmp_path)
    replicate(trial.open().handle, stores[1])
    create_stripes(stores, 2)
    everything_works(trial, StripedStore(stores), expected, tmp_path)
    done = stripe_packs(StripedStore(stores))
    assert done.packs > 2 and not done.failed
    everything_works(trial, StripedStore(gone(stores, [1], "silent")), expected, tmp_path)
    with pytest.raises(RefusedError, match="still has shards/"):
        dissolve_stripes(StripedStore(stores))
    assert heal_stripes(StripedStore(stores)).is_complete
    assert not unstripe_packs(StripedStore(stores)).failed
    dissolve_stripes(StripedStore(stores))
    for store in stores[:2]:
        everything_works(trial, store, expected, tmp_path)


def test_two_and_one_take_half_as_much_again(tmp_path: Path) -> None:
    """All bytes at all sites, of packs as large as writers make them: data, headers, tables, small objects, layout."""
    stores = folders(tmp_path, 3)
    trial = new_trial_vault(create_stripes(stores, 2))
    source = tmp_path / "source"
    source.mkdir()
    (source / "data.bin").write_bytes(np.random.default_rng(1).bytes(40 << 20))
    trial.open().save("run", source)
    alone = sum(info.size for info in StripedStore(stores).list(""))
    stored = sum(info.size for store in stores for info in store.list(""))
    assert 1.5 <= stored / alone < 1.505


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_tensor_is_read_at_the_price_of_its_columns(lost: int, tmp_path: Path) -> None:
    """4 MiB out of 48: bytes read at all sites, with each single site gone."""
    stores: list[Store] = [MemoryStore(name=f"site-{position}") for position in range(3)]
    trial = new_trial_vault(create_stripes(stores, 2))
    rng = np.random.default_rng(1)
    tensors = {f"t{number:02d}": rng.integers(0, 256, (4 << 20), dtype=np.uint8) for number in range(12)}
    trial.open().save("run", tensors)
    most = 0
    for name in ("t00", "t05", "t11"):
        with own_memory(tmp_path / f"memory {name}"):
            counted = [FaultyStore(store, Faults()) for store in gone(stores, [lost], "silent")]
            loaded = trial.open(store=StripedStore(counted)).load("run")
            packs = [info.key for info in StripedStore(stores).list("packs/")]
            assert packs
            before = [moved(store) for store in counted]
            assert (loaded[name][...] == tensors[name]).all()
            read = sum(moved(store) for store in counted) - sum(before)
            most = max(most, read)
            assert read <= 2 * (4 << 20) * 1.06, "twice its columns, block borders and tables"
    assert most > 4 << 20


def moved(store: FaultyStore) -> int:
    """Bytes of packs' shards that were read at a site."""
    return sum(one.size for one in store.log if one.verb in ("get", "get_ranges") and one.key.startswith("shards/"))


# ---- three dialects at once ----


@pytest.fixture
def clouds(seaweed: SeaweedServer, azurite: AzuriteServer, gcs: GcsDouble, tmp_path: Path) -> Iterator[list[Store]]:
    with ExitStack() as stack:
        stores = []
        for endpoint in (seaweed, azurite, gcs):
            stack.enter_context(endpoint.in_environment())
            stores.append(open_store(f"{endpoint.url}/{tmp_path.name}/site", options=endpoint.options))
        yield stores


@pytest.mark.servers
@pytest.mark.parametrize("home", [1])
def test_three_clouds_hold_one_vault_and_any_of_them_may_go(clouds: list[Store], home: int, tmp_path: Path) -> None:
    notes = NoteTaker()
    trial, expected = saved(create_stripes(clouds, 2, home=home), tmp_path)
    everything_works(trial, StripedStore(clouds), expected, tmp_path)
    for lost in range(3):
        with own_memory(tmp_path / f"memory {lost}"):
            vault = trial.open(store=StripedStore(gone(clouds, [lost], "silent"), progress=notes))
            every_snapshot_restores(vault, expected, tmp_path / "out")
        assert any(f"site {lost} " in note for note in notes.notes)
    assert heal_stripes(StripedStore(clouds)).is_complete
    for info in list(clouds[home].list("")):
        clouds[home].delete(info.key)
    everything_works(trial, StripedStore(clouds), expected, tmp_path)
    assert rebuild_site(StripedStore(clouds), home).is_complete
    assert verify_stripes(StripedStore(clouds)).is_clean
    vault = trial.open(store=StripedStore(clouds))
    report = next_save_works(vault, "run", write_checkpoint(tmp_path / "source", 9), tmp_path / "next")
    for snapshot in expected:
        vault.apply_drop(vault.plan_drop(snapshot))
    assert vault.collect(CollectOptions(NONE)).deleted.objects > 0
    kept = {report.root.id: read_tree(tmp_path / "source")}
    everything_works(trial, StripedStore(clouds), kept, tmp_path)
    assert contents_of(StripedStore(gone(clouds, [(home + 1) % 3], "silent"))) == contents_of(StripedStore(clouds))
