"""Snapshots that were hidden before their locks ended: kept locked and told; what went in order is left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import PermissionDeniedError
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Mode, Period, Retention
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.moments import Moment, find_moments
from holdfast.vault.locking.recovering import apply_recovery, plan_recovery
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.locking.state import lock_report

NS = 10**9
DAY = 86_400
MONTH = Period(30.0 * DAY)


class World(NamedTuple):
    store: VersionedMemoryStore
    clock: ManualClock
    trial: TrialVault
    source: Path

    def save(self, seed: int) -> str:
        self.clock.sleep(3600)
        (self.source / "weights.bin").write_bytes(random.Random(seed).randbytes(90_000))
        return self.trial.open().save("m", self.source).root.id

    def key(self, snapshot: str) -> str:
        return next(info.key for info in self.store.list("snapshots/") if info.key.endswith(snapshot))

    def moments(self, **options: bool) -> list[Moment]:
        def opened(past: object) -> object:
            return self.trial.open(store=past).handle  # type: ignore[arg-type]

        return list(find_moments(self.store, self.store, opened, **options))  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, pack_bytes=64 << 10)
        write_setting(trial.open().handle, MONTH)
        source = tmp_path / "source"
        source.mkdir()
        yield World(store, clock, trial, source)


def destroy_what_can_be(store: VersionedMemoryStore) -> None:
    for version in list(store.versions("")):
        try:
            store.delete_version(version.key, version.version)
        except PermissionDeniedError:
            continue


def test_hiding_a_root_and_waiting_destroys_nothing(world: World, tmp_path: Path) -> None:
    """The attacker hides one root, and waits for a month in which locks are extended every day."""
    snapshot = world.save(1)
    world.save(2)
    content = random.Random(1).randbytes(90_000)
    world.clock.sleep(DAY)
    before = world.clock.now_ns()
    world.clock.sleep(60)
    root = world.key(snapshot)
    world.store.delete(root)
    for _ in range(36):  # beyond the end of the lock that the save set, and its margin
        world.clock.sleep(DAY)
        if world.clock.now_ns() < before + MONTH.nanoseconds:
            assert extend_locks(world.trial.open().handle).hidden == (root,)
    destroy_what_can_be(world.store)
    plan, _ = plan_recovery(world.store, world.store, lambda past: world.trial.open(store=past).handle, before)
    assert snapshot in plan.snapshots
    apply_recovery(world.store, world.store, plan)
    world.trial.open().restore(snapshot, tmp_path / "out")
    assert (tmp_path / "out" / "weights.bin").read_bytes() == content


def test_it_is_told_and_kept_for_one_period(world: World) -> None:
    snapshot = world.save(1)
    world.save(2)
    root = world.key(snapshot)
    assert lock_report(world.trial.open().handle).hidden == ()
    world.store.delete(root)
    assert [one.key for one in lock_report(world.trial.open().handle).hidden] == [root]
    assert extend_locks(world.trial.open().handle).hidden == (root,)
    world.clock.sleep(100 * DAY)  # nobody paid for it for ever
    assert extend_locks(world.trial.open().handle).hidden == ()
    destroy_what_can_be(world.store)
    assert not [one for one in world.store.versions(root) if not one.is_marker]


def test_what_was_dropped_in_order_is_not_locked_for_ever(world: World) -> None:
    """Its locks end, its versions may be freed: extending locks every day does not renew them."""
    first = world.save(1)
    world.save(2)
    root = world.key(first)
    world.clock.sleep(40 * DAY)
    vault = world.trial.open()
    vault.apply_drop(vault.plan_drop(first))
    vault.collect(CollectOptions(NONE, rewrite_below=0.0))
    gone = {one.key for one in world.store.versions("packs/") if one.is_marker}
    assert gone
    for _ in range(5):
        done = extend_locks(world.trial.open().handle)
        assert done.hidden == ()
        world.clock.sleep(DAY)
    destroy_what_can_be(world.store)
    left = {one.key for one in world.store.versions("") if not one.is_marker}
    assert not left & {root, *gone}


def test_junk_that_was_locked_and_set_aside_is_no_snapshot(world: World) -> None:
    world.save(1)
    before = world.clock.now_ns()
    world.clock.sleep(60)
    world.store.put("snapshots/ff/junk", b"junk")
    until = world.clock.now_ns() + MONTH.nanoseconds
    world.store.retain("snapshots/ff/junk", Retention(Mode.COMPLIANCE, until))
    plan, _ = plan_recovery(world.store, world.store, lambda past: world.trial.open(store=past).handle, before)
    apply_recovery(world.store, world.store, plan)
    assert extend_locks(world.trial.open().handle).hidden == ()
    assert world.moments()[0].is_whole


def test_the_present_is_whole_where_nothing_happened(world: World) -> None:
    snapshots = (world.save(1), world.save(2))
    [now] = world.moments()
    assert now.is_whole
    assert now.snapshots == snapshots
    assert now.time_ns == world.clock.now_ns()
    assert now.then is None


def test_the_newest_whole_moment_lies_before_the_attack(world: World) -> None:
    snapshots = (world.save(1), world.save(2))
    world.clock.sleep(600)
    hidden_at = world.clock.now_ns()
    root = world.key(snapshots[0])
    world.store.delete(root)
    world.clock.sleep(600)
    pack = next(info for info in world.store.list("packs/"))
    world.store.put(pack.key, b"x" * pack.size)  # garbage of the same size
    world.clock.sleep(600)
    world.store.put("config/0000000002", b"junk")
    for info in world.store.list("config/"):
        world.store.delete(info.key)
    found = world.moments()
    assert [one.is_whole for one in found] == [False, False, False, True]
    now, opened, sound, whole = found
    assert now.error
    assert (opened.damaged, opened.hidden) == ((pack.key,), (root,))
    assert (sound.damaged, sound.hidden, sound.snapshots) == ((), (root,), snapshots[1:])
    assert (whole.time_ns, whole.snapshots) == (hidden_at - 1, snapshots)
    assert str(whole.then) == "1 deleted"
    assert "2 deleted" in str(opened.then)
    plan, _ = plan_recovery(world.store, world.store, lambda past: world.trial.open(store=past).handle, whole.time_ns)
    assert plan.snapshots == snapshots
    apply_recovery(world.store, world.store, plan)
    assert world.moments()[0].is_whole


def test_an_attack_that_took_days_is_passed_over_in_a_few_steps(world: World) -> None:
    snapshots = tuple(world.save(number) for number in range(3))
    packs = list(world.store.list("packs/"))
    world.clock.sleep(600)
    began = world.clock.now_ns()
    for number in range(60):
        pack = packs[number % len(packs)]
        world.store.put(pack.key, bytes([number]) * pack.size)
        world.clock.sleep(3600)
    found = world.moments()
    whole = [one for one in found if one.is_whole]
    assert (whole[0].time_ns, whole[0].snapshots) == (began - 1, snapshots)
    assert len(found) < 20


def test_what_was_added_and_destroyed_again_is_found_by_what_is_left_of_it(world: World) -> None:
    """A snapshot whose packs were destroyed, version and all: no marker tells of it."""
    first = world.save(1)
    world.clock.sleep(60)
    before = {info.key for info in world.store.list("packs/")}
    second = world.trial.open().save("m", world.source).root.id  # shares all that it needs
    (world.source / "more.bin").write_bytes(random.Random(9).randbytes(70_000))
    world.clock.sleep(60)
    write_setting(world.trial.open().handle, None)
    third = world.trial.open().save("m", world.source).root.id
    for version in list(world.store.versions("packs/")):
        if version.key not in before:
            world.store.delete_version(version.key, version.version)
    world.clock.sleep(60)
    found = world.moments()
    assert third not in found[0].snapshots
    assert not found[0].is_whole
    assert found[-1].is_whole
    assert found[-1].snapshots == (first, second)


def test_orderly_deletions_leave_the_vault_whole(world: World) -> None:
    first = world.save(1)
    second = world.save(2)
    world.clock.sleep(40 * DAY)
    vault = world.trial.open()
    vault.apply_drop(vault.plan_drop(first))
    vault.collect(CollectOptions(NONE, rewrite_below=0.0))
    world.clock.sleep(600)
    found = world.moments(past_whole=True)
    assert all(one.is_whole for one in found if one.snapshots)
    assert found[0].snapshots == (second,)
    assert (first, second) in [one.snapshots for one in found]
