"""Going back to before an attack: what a plan finds, what applying it does, and what it never does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError, NotFoundError, PermissionDeniedError, RefusedError
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Period
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.locking.reach import reach_of
from holdfast.vault.locking.recovering import RESTORE, SET_ASIDE, RecoveryPlan, apply_recovery, plan_recovery
from holdfast.vault.locking.setting import write_setting


class Scene(NamedTuple):
    """A vault with two snapshots, and a time after them."""

    store: VersionedMemoryStore
    clock: ManualClock
    trial: TrialVault
    snapshots: list[str]
    source: Path
    before_ns: int

    def plan(self, before_ns: int | None = None) -> RecoveryPlan:
        when = self.before_ns if before_ns is None else before_ns
        plan, _ = plan_recovery(self.store, self.store, lambda past: self.trial.open(store=past).handle, when)
        return plan


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, encrypted=request.param, pack_bytes=64 << 10)
        vault = trial.open()
        write_setting(vault.handle, Period(30.0 * 86_400))
        source = tmp_path / "source"
        source.mkdir()
        snapshots = []
        for step in range(2):
            (source / "a").write_bytes(random.Random(step).randbytes(90_000))
            root = vault.save("m", source, step=step).root
            protect_snapshot(vault.handle, root)
            snapshots.append(root.id)
            clock.sleep(60)
        before = clock.now_ns()
        clock.sleep(60)
        yield Scene(store, clock, trial, snapshots, source, before)


def packs_of(scene: Scene) -> list[str]:
    handle = scene.trial.open().handle
    return sorted(reach_of(handle, scene.trial.open().find("m")).packs)


def test_nothing_to_do_where_nothing_happened(scene: Scene) -> None:
    plan = scene.plan()
    assert plan.steps == ()
    assert list(plan.snapshots) == scene.snapshots
    assert not plan.damages


def test_what_was_overwritten_deleted_and_added(scene: Scene, tmp_path: Path) -> None:
    pack, root = packs_of(scene)[0], next(scene.store.list("snapshots/")).key
    scene.store.put(pack, b"garbage")
    scene.store.delete(root)
    scene.store.put("snapshots/ff/evil", b"garbage")
    plan = scene.plan()
    found = {(step.action, step.key): step.why for step in plan.steps}
    assert found == {
        (RESTORE, pack): "overwritten",
        (RESTORE, root): "deleted",
        (SET_ASIDE, "snapshots/ff/evil"): "added since",
    }
    assert list(plan.snapshots) == scene.snapshots
    assert plan.first_ns == scene.clock.now_ns()
    done = apply_recovery(scene.store, scene.store, plan)
    assert (done.restored, done.set_aside, done.failures) == (2, 1, ())
    vault = scene.trial.open()
    assert not vault.check(read_data=True).damages
    vault.restore("m", tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == (scene.source / "a").read_bytes()


def test_leases_do_not_come_back_and_forged_ones_go(scene: Scene) -> None:
    leases = [info.key for info in scene.store.list("leases/")]
    with HeldLease(scene.trial.open().handle, "saving") as held:
        forged = [info.key for info in scene.store.list("leases/") if held.session in info.key]
        for lease in leases:
            scene.store.put(lease, b"garbage")
        assert {(step.action, step.key) for step in scene.plan().steps} == {
            (SET_ASIDE, key) for key in [*leases, *forged]
        }


def test_nothing_is_destroyed_on_the_way(scene: Scene) -> None:
    """A plan with another time can follow: every version that there was is still there."""
    for info in list(scene.store.list("")):
        scene.store.put(info.key, b"garbage of " + info.key.encode())
    before = {(one.key, one.version) for one in scene.store.versions("")}
    apply_recovery(scene.store, scene.store, scene.plan())
    assert before <= {(one.key, one.version) for one in scene.store.versions("")}


def test_a_plan_is_not_made_twice(scene: Scene) -> None:
    for pack in packs_of(scene):
        scene.store.delete(pack)
    apply_recovery(scene.store, scene.store, scene.plan())
    assert scene.plan().steps == ()


def test_an_interrupted_way_back_goes_on(scene: Scene) -> None:
    for info in list(scene.store.list("")):
        scene.store.delete(info.key)
    plan = scene.plan()
    half = plan._replace(steps=plan.steps[::2])
    apply_recovery(scene.store, scene.store, half)
    rest = scene.plan()
    assert {step.key for step in rest.steps} == {step.key for step in plan.steps[1::2]}
    apply_recovery(scene.store, scene.store, rest)
    assert not scene.trial.open().check(read_data=True).damages


def test_a_store_that_somebody_still_writes_to_is_refused(scene: Scene) -> None:
    scene.store.put("snapshots/ff/evil", b"garbage")
    plan = scene.plan()
    scene.store.put("snapshots/ff/evil", b"more garbage")
    with pytest.raises(ConflictError, match="somebody writes"):
        apply_recovery(scene.store, scene.store, plan)


def test_an_attack_that_began_before_the_time_is_seen_through(scene: Scene) -> None:
    """The newest version of that time is garbage: the one below it is sound, and counts."""
    pack = packs_of(scene)[0]
    config = "config/0000000001"
    scene.store.put(pack, b"garbage")
    scene.store.put(config, b"garbage")
    scene.clock.sleep(60)
    plan = scene.plan(scene.clock.now_ns())
    assert {(step.action, step.key) for step in plan.steps} == {(RESTORE, pack), (RESTORE, config)}
    apply_recovery(scene.store, scene.store, plan)
    assert not scene.trial.open().check(read_data=True).damages


def test_a_pack_without_a_sound_version_is_told(scene: Scene) -> None:
    pack = packs_of(scene)[0]
    good = next(scene.store.versions(pack)).version
    scene.store.set_retention(pack, good, None, bypass=True)
    scene.store.put(pack, b"garbage")
    scene.store.delete_version(pack, good)
    scene.clock.sleep(60)
    scene.store.put(pack, b"other garbage")
    plan = scene.plan(scene.clock.now_ns() - 1)
    assert pack in {one.object for one in plan.damages}
    assert len(plan.snapshots) < 2


def test_a_pack_that_only_its_name_convicts_is_told_with_the_snapshots_that_it_hurts(scene: Scene) -> None:
    """Its footer is intact, so that a check without reading sees nothing."""
    pack = packs_of(scene)[0]
    good = next(scene.store.versions(pack)).version
    content = bytearray(scene.store.get(pack))
    content[len(content) // 3] ^= 1
    scene.store.set_retention(pack, good, None, bypass=True)
    scene.store.delete_version(pack, good)
    scene.store.put(pack, content)
    scene.clock.sleep(60)
    before = scene.clock.now_ns()
    scene.clock.sleep(60)
    scene.store.put(pack, b"garbage")
    plan = scene.plan(before)
    [damage] = plan.damages
    assert damage.object == pack
    assert damage.snapshots == scene.snapshots[-1:]
    assert list(plan.snapshots) == scene.snapshots[:-1]


def test_before_there_was_a_vault_there_is_nothing_to_go_back_to(scene: Scene) -> None:
    with pytest.raises(NotFoundError):
        scene.plan(scene.before_ns - 10**18)


def test_a_step_that_the_store_refuses_keeps_no_other_from_being_done(scene: Scene) -> None:
    packs = packs_of(scene)
    for pack in packs:
        scene.store.delete(pack)
    plan = scene.plan()
    honest = scene.store.restore_version

    def refusing(version: object) -> None:
        if version.key == packs[0]:  # type: ignore[attr-defined]
            raise PermissionDeniedError("no")
        honest(version)  # type: ignore[arg-type]

    scene.store.restore_version = refusing  # type: ignore[method-assign]
    done = apply_recovery(scene.store, scene.store, plan)
    assert [step.key for step, _ in done.failures] == [packs[0]]
    assert done.restored == len(packs) - 1


def test_the_past_is_restored_from_without_writing(scene: Scene, tmp_path: Path) -> None:
    for info in list(scene.store.list("")):
        scene.store.put(info.key, b"garbage")
    count = len(list(scene.store.versions("")))
    vault = scene.trial.open(store=PastStore(scene.store, scene.store, scene.before_ns))
    vault.restore(scene.snapshots[-1], tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == (scene.source / "a").read_bytes()
    assert len(list(scene.store.versions(""))) == count
    with pytest.raises(RefusedError, match="read-only"):
        vault.save("m", scene.source)
