"""Bulk work on a real Ray cluster of two nodes on this machine: the same results, and what dies costs only its pieces.

One test, and one cluster for it, as starting one takes as long as all that is done on it; each scene is a subtest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bulk_world import World, holes, small, with_homes

from holdfast.cli.main import main
from holdfast.control.bulk.spreading import Bulk
from holdfast.control.bulk.tasks import At
from holdfast.control.vaults.opening import create
from holdfast.control.vaults.replicating import Source, copy_vault
from holdfast.errors import CredentialError, DamageError, FailedError
from holdfast.events import Progress
from holdfast.fanout import Fanout, open_fanout
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import check_is_clean, read_tree, trees_are_equal
from holdfast.testing.ray_cluster import Begun, LoggedFanout, RayCluster, ray_cluster
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE

pytestmark = pytest.mark.servers

_MISMATCH = """
import sys
import ray
from holdfast.errors import FailedError
from holdfast.fanout import open_fanout
ray.__version__ = "2.59.1"
try:
    open_fanout(sys.argv[1])
except FailedError as error:
    print(error.message)
"""


_SITES = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {here}}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {there}}}}}}}
assets:
  run: {{class: training, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
"""


class Stage(NamedTuple):
    """A cluster, a vault that both sides see, and a folder for each scene."""

    cluster: RayCluster
    fanout: Fanout
    world: World
    folder: Path
    capture: pytest.CaptureFixture[str]


class AtMoment(Progress):
    """Does something once, when the coordinator has heard of so many pieces."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        self._left = after
        self._act = act

    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()

    def note(self, message: str) -> None:
        pass


@pytest.fixture
def stage(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("ray")
    homes = with_homes(folder)
    for name, value in homes.items():
        monkeypatch.setenv(name, value)
    for name in ("HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE", "HOLDFAST_KEY_SHARES", "HOLDFAST_VAULT"):
        monkeypatch.delenv(name, raising=False)
    with ray_cluster(2, homes) as cluster:
        world = World(folder / "world")
        world.save()
        yield Stage(cluster, open_fanout(f"ray:{cluster.address}"), world, folder, capsys)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_bulk_work_on_two_nodes(stage: Stage, subtests: pytest.Subtests) -> None:
    scenes = (
        restores_what_threads_restore,
        verifies_and_finds_damage,
        replicates_and_collects,
        says_what_is_missing,
        says_which_versions_differ,
        commands_tell_who_did_what,
        a_round_between_sites_is_carried_by_the_cluster,
        a_killed_worker_costs_its_piece,
        a_killed_node_costs_its_pieces,
    )
    for scene in scenes:
        with subtests.test(scene.__name__):
            folder = stage.folder / scene.__name__
            folder.mkdir()
            scene(stage._replace(folder=folder))
            assert "raylet" not in capture_of(stage)  # where JSON goes, nothing else does


def capture_of(stage: Stage) -> str:
    return stage.capture.readouterr().out


def restores_what_threads_restore(stage: Stage) -> None:
    world = stage.world
    world.open().restore("run", stage.folder / "threads")
    bulk = Bulk(stage.fanout, size=small)
    vault = world.open()
    done = vault.restore("run", stage.folder / "ray", writing=bulk.writing(vault, world.at))
    same_trees(stage.folder / "ray", stage.folder / "threads")
    assert done.resumed_bytes == 0
    assert {worker.worker.split("/")[1] for worker in bulk.workers} == {node[:8] for node in stage.cluster.nodes}
    assert sum(worker.bytes for worker in bulk.workers) == done.bytes - holes(world)


def verifies_and_finds_damage(stage: Stage) -> None:
    world = stage.world
    vault = world.open()
    whole = vault.verify("run").verified
    assert vault.verify("run", reading=Bulk(stage.fanout, size=small).reading(vault, world.at)).verified == whole
    hurt = World(stage.folder / "hurt")
    snapshot = hurt.save(shards=2)
    pack = hurt.packs()[1]
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    vault = hurt.open()
    Proofs(vault.handle).forget(snapshots=[snapshot])
    with pytest.raises(DamageError, match=rf"{pack.name}.* \(on .*/\d+\)"):
        vault.verify("run", reading=Bulk(stage.fanout, size=small).reading(vault, hurt.at))
    assert snapshot not in Proofs(vault.handle).snapshots()


def replicates_and_collects(stage: Stage) -> None:
    world = World(stage.folder / "world")
    for seed in range(2):
        world.save(seed=seed, shards=2)
    first, second = (one.root.id for one in world.vault.snapshots() if one.root is not None)
    target = LocalStore(stage.folder / "there")
    bulk = Bulk(stage.fanout)
    vault = world.open()
    carrier = bulk.carrier(world.at, At(target.url))
    copied = copy_vault(Source(vault.handle.store, vault), target, carrier=carrier)
    assert copied.arrived == [second, first] and not copied.damaged
    assert {info.key for info in target.list("packs/")} == {info.key for info in vault.handle.store.list("packs/")}
    assert sum(worker.bytes for worker in bulk.workers) == sum(info.size for info in target.list("packs/"))
    world.vault.save("kept", world.source / "deep" / "shard-1.bin")
    vault = world.open()
    vault.apply_drop(vault.plan_drop(first))
    bulk = Bulk(stage.fanout, size=small)
    options = CollectOptions(safety=NONE, rewrite_below=0.99)
    report = vault.collect(options, helpers=bulk.helpers(vault, world.at))
    assert report.deleted.bytes > 0 and report.rewritten.objects > 0
    assert sum(worker.pieces for worker in bulk.workers) > 0
    world.open().verify("run")
    check_is_clean(world.open())


def says_what_is_missing(stage: Stage) -> None:
    homes = with_homes(stage.folder / "mine")  # the key is here, and not where the workers look
    created = create(str(stage.folder / "vault"), environment={**os.environ, **homes}).vault
    created.save("run", stage.world.source / "large.bin")
    bulk = Bulk(stage.fanout, size=small)
    with pytest.raises(CredentialError, match=r"there is no .* key for the vault .* \(on .*/\d+\)") as caught:
        created.verify("run", reading=bulk.reading(created, At(created.url)))
    assert "HOLDFAST_KEY_FILE" in caught.value.hint
    with pytest.raises(CredentialError):
        created.restore("run", stage.folder / "back", writing=bulk.writing(created, At(created.url)))
    assert not (stage.folder / "back" / "large.bin").exists()


def says_which_versions_differ(stage: Stage) -> None:
    asked = [sys.executable, "-c", _MISMATCH, f"ray:{stage.cluster.address}"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "runs Ray 2.60.0 and Python 3." in said and "this is Ray 2.59.1 and Python 3." in said
    from holdfast.fanout import on_ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_ray, "VERSION", "0.0.1")
        [outcome] = stage.fanout.each(str, [1])
    assert isinstance(outcome.error, FailedError) and "was asked by 0.0.1" in outcome.error.message


def commands_tell_who_did_what(stage: Stage) -> None:
    world, where = stage.world, f"ray:{stage.cluster.address}"

    def run(*arguments: str) -> dict[str, Any]:
        stage.capture.readouterr()
        assert main([*arguments, "--fanout", where, "--json"]) == 0
        told: dict[str, Any] = json.loads(stage.capture.readouterr().out)
        assert told["workers"] and all(one["pieces"] > 0 for one in told["workers"])
        return told

    told = run("restore", "run", str(stage.folder / "back"), "--vault", world.url)
    same_trees(stage.folder / "back", world.source)
    assert sum(one["bytes"] for one in told["workers"]) == told["bytes"] - holes(world)
    run("snapshot", "verify", "run", "--vault", world.url)
    run("replicate", world.url, str(stage.folder / "there"))
    stage.capture.readouterr()
    assert main(["vault", "collect", world.url, "--fanout", where]) == 0


def a_round_between_sites_is_carried_by_the_cluster(stage: Stage) -> None:
    there = stage.folder / "there"
    declared = stage.folder / "holdfast.yaml"
    declared.write_text(_SITES.format(here=stage.world.url, there=there))
    where = f"ray:{stage.cluster.address}"
    stage.capture.readouterr()
    assert main(["site", "sync", "--config", str(declared), "--fanout", where, "--json"]) == 0
    told = json.loads(stage.capture.readouterr().out)
    assert sum(one["pieces"] for one in told["workers"]) >= len(stage.world.packs())
    assert main(["restore", "run", str(stage.folder / "back"), "--vault", str(there)]) == 0
    same_trees(stage.folder / "back", stage.world.source)


def a_killed_worker_costs_its_piece(stage: Stage) -> None:
    logged = LoggedFanout(stage.fanout, stage.folder / "log", 0.05)
    stopped: list[Begun] = []

    def kill() -> None:
        stopped.append(logged.stop_one())
        os.kill(stopped[0].pid, signal.SIGKILL)

    restore_while(stage, logged, kill)
    done_again_only(logged, stopped)


def a_killed_node_costs_its_pieces(stage: Stage) -> None:
    logged = LoggedFanout(stage.fanout, stage.folder / "log", 0.05)
    node = stage.cluster.nodes[0]
    stopped: list[Begun] = []

    def kill() -> None:
        stopped.append(logged.stop_one(node))
        stage.cluster.kill_node(node)

    restore_while(stage, logged, kill)
    done_again_only(logged, stopped)
    assert {one.node for one in logged.begun() if one.piece == stopped[0].piece and one.ended} == {
        other[:8] for other in stage.cluster.nodes
    }


def restore_while(stage: Stage, fanout: Fanout, act: Callable[[], None]) -> None:
    """Restore, and do that when five pieces are done. The result is what was saved, all of it."""
    world = stage.world
    vault = world.open()
    vault.handle.progress = AtMoment(6, act)  # the first is told of the holes
    vault.restore("run", stage.folder / "back", writing=Bulk(fanout, size=small).writing(vault, world.at))
    same_trees(stage.folder / "back", world.source)


def done_again_only(logged: LoggedFanout, stopped: list[Begun]) -> None:
    """Nothing but what was under way there was begun and not ended, or begun twice. (A worker does one at a time.)"""
    begun = logged.begun()
    times = Counter(one.piece for one in begun)
    assert [one for one in begun if not one.ended] == stopped
    assert [piece for piece, count in times.items() if count > 1] == [stopped[0].piece]
    assert times[stopped[0].piece] == 2
    assert all(any(one.ended for one in begun if one.piece == piece) for piece in times)
    assert len(times) > 10


def same_trees(found: Path, expected: Path) -> None:
    trees_are_equal(read_tree(found), read_tree(expected), "the restore")
