"""Snapshots go down from a folder to S3 (SeaweedFS) and to Azure (Azurite) or GCS: the mover on three dialects."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.replication.tiering.moving import carry_out
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import Verb
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.servers import AzuriteServer, SeaweedServer
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.handle import Handle

sys.path.insert(0, str(Path(__file__).parents[1]))
from recovery.sample_vault import ASSET, train, write_state
from recovery.tier_worlds import COLD, HOT, WARM, facts_of

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("cold", ["azure", "gcs"])
def test_hot_folder_warm_s3_and_a_cold_cloud(
    cold: str, seaweed: SeaweedServer, azurite: AzuriteServer, gcs: GcsDouble, tmp_path: Path
) -> None:
    colder = azurite if cold == "azure" else gcs
    with ExitStack() as stack:
        stack.enter_context(own_memory(tmp_path / "state"))
        for endpoint in (seaweed, colder):
            stack.enter_context(endpoint.in_environment())
        trial = new_trial_vault(LocalStore(tmp_path / "hot"), pack_bytes=24 << 10)
        sites = {
            HOT: trial.store,
            WARM: open_store(f"{seaweed.url}/{tmp_path.name}", options=seaweed.options),
            COLD: open_store(f"{colder.url}/{tmp_path.name}", options=colder.options),
        }
        source = tmp_path / "source"
        source.mkdir()
        write_state(source, seed=1)
        expected = {}
        for step in range(3):
            if step:
                train(source, seed=step)
            expected[trial.open().save(ASSET, source, step=step).root.id] = read_tree(source)
        keys = trial.open().handle.keys
        for days in (10, 50):
            handles = {name: Handle(store, keys) for name, store in sites.items()}
            facts = facts_of(handles, (ASSET,), days_later=days)
            plan = plan_tiers(facts)
            done = carry_out(plan, facts, handles)
            assert not done.held and {move.verb for move in done.done} >= {Verb.COPY, Verb.DROP}
        newest = max(expected)
        for name, snapshots in ((HOT, {newest}), (COLD, expected.keys() - {newest})):
            vault = trial.open(store=sites[name])
            assert {one.root.id for one in vault.snapshots() if one.root is not None} == snapshots
            check_is_clean(vault)
            every_snapshot_restores(vault, {one: expected[one] for one in snapshots}, tmp_path / "out")
        assert not list(sites[WARM].list("snapshots/"))
