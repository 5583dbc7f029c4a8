"""A whole vault on each dialect of object store, and copies from one to another: S3 → Azure → GCS → a folder."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Faults
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.invariants import read_tree
from holdfast.testing.servers import AzuriteServer, SeaweedServer
from holdfast.testing.workspace import new_trial_vault, own_memory

pytestmark = pytest.mark.servers


@pytest.fixture
def clouds(seaweed: SeaweedServer, azurite: AzuriteServer, gcs: GcsDouble, tmp_path: Path):
    """An empty store of each dialect, under a prefix of its own."""
    with ExitStack() as stack:
        stack.enter_context(own_memory(tmp_path / "state"))
        stores: dict[str, Store] = {}
        for name, endpoint in (("s3", seaweed), ("azure", azurite), ("gcs", gcs)):
            stack.enter_context(endpoint.in_environment())
            stores[name] = open_store(f"{endpoint.url}/{tmp_path.name}", options=endpoint.options)
        yield stores


def write_checkpoint(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(0).normal(size=(512, 1024)).astype("<f4")
    weights += 1e-4 * np.random.default_rng(seed).normal(size=weights.shape).astype("<f4")
    np.save(folder / "weights.npy", weights)
    (folder / "notes.txt").write_text(f"seed {seed}")
    return folder


def test_a_vault_lives_on_every_dialect_and_moves_between_them(clouds: dict[str, Store], tmp_path: Path) -> None:
    trial = new_trial_vault(clouds["s3"])
    vault = trial.open()
    trees = {}
    for step in (1, 2):
        source = write_checkpoint(tmp_path / "checkpoint", step)
        report = vault.save("run", source, step=step)
        assert report.validated
        trees[step] = read_tree(source)
    assert report.root.stats["raw_delta"] > 0

    stores: list[Store] = [clouds["s3"], clouds["azure"], clouds["gcs"], LocalStore(tmp_path / "folder")]
    for source_store, target_store in pairwise(stores):
        copied = replicate(trial.open(store=source_store).handle, target_store)
        assert len(copied.arrived) == 2
        assert not copied.damaged
    for number, store in enumerate(stores):
        here = trial.open(store=store)
        assert not here.check(read_data=True).damages
        for step, tree in trees.items():
            target = tmp_path / f"restored-{number}-{step}"
            here.restore(f"run@step={step}", target)
            assert read_tree(target) == tree


def test_a_second_replication_sends_only_what_is_new(clouds: dict[str, Store], tmp_path: Path) -> None:
    trial = new_trial_vault(clouds["azure"])
    vault = trial.open()
    vault.save("run", write_checkpoint(tmp_path / "checkpoint", 1), step=1)
    target = FaultyStore(clouds["s3"], Faults())
    first = replicate(vault.handle, target)
    sent = target.bytes_moved("put", "create")
    again = replicate(vault.handle, target)
    assert first.bytes > 1 << 20
    assert again.objects == 0
    assert target.bytes_moved("put", "create") == sent


def test_a_mirror_needs_no_key(clouds: dict[str, Store], tmp_path: Path) -> None:
    trial = new_trial_vault(clouds["gcs"])
    source = write_checkpoint(tmp_path / "checkpoint", 3)
    trial.open().save("run", source, step=3)
    copied = mirror(clouds["gcs"], clouds["azure"])
    assert copied.objects == sum(not info.key.startswith("leases/") for info in clouds["gcs"].list(""))
    replica = trial.open(store=clouds["azure"])
    replica.restore("run@validated", tmp_path / "restored")
    assert read_tree(tmp_path / "restored") == read_tree(source)
