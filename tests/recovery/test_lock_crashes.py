"""A crash after every operation of `lock set`, `lock extend`, `lock recover` and of a save that locks, those on locks
among them, and a lost answer at each: what was there is whole, nothing is destroyed, and the next run completes.

Some of the points; all of them with HOLDFAST_LOCK_CRASH_STRIDE=1.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.objectives.retention_policy import parse_policy
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Period
from holdfast.testing.crashing import Act, World, _Logged, every_crash_point
from holdfast.testing.faulty_locks import FaultyLockableStore
from holdfast.testing.invariants import BrokenInvariant, every_snapshot_restores, read_tree
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.handle import Handle
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.recovering import apply_recovery, plan_recovery
from holdfast.vault.locking.setting import open_policy, read_setting, write_setting
from holdfast.vault.locking.state import lock_report

from .sample_vault import ASSET, train, write_state

_DAY = 86_400
_WEEK = Period(7.0 * _DAY)
_POLICY = parse_policy("version: 1\nrecent: 0s\nrules:\n  - assets: '*'\n    keep: {last: 2, within: 9d}\n")
_PACK_BYTES = 24 << 10


@dataclass
class LockedWorld(World):
    """On a store with versions and locks. `before_ns`: a time before the attack, where there was one."""

    before_ns: int = 0

    @property
    def versions(self) -> VersionedMemoryStore:
        store = self.trial.store
        assert isinstance(store, VersionedMemoryStore)
        return store

    @property
    def vault_store(self) -> MemoryStore:
        return self.versions  # type: ignore[return-value]  # what is used of it, it has

    def store(self, site: str = "") -> FaultyStore:
        return FaultyLockableStore(self.versions, _Logged(self.faults, self.log))


def _begin(folder: Path, *, lock: bool) -> LockedWorld:
    """Two snapshots, locked or not, and the source of a third."""
    source = folder / "source"
    source.mkdir(parents=True)
    write_state(source, seed=1)
    clock = ManualClock()
    trial = new_trial_vault(VersionedMemoryStore(clock), clock=clock, pack_bytes=_PACK_BYTES)
    if lock:
        write_setting(trial.open().handle, _WEEK, _POLICY)
    expected = {}
    for step in (1, 2):
        clock.sleep(3600)
        expected[trial.open().save(ASSET, source, step=step).root.id] = read_tree(source)
        train(source, seed=step)
    clock.sleep(3600)
    return LockedWorld(trial, ASSET, source, folder / "memory", expected, clock=clock)


def _aged(folder: Path) -> LockedWorld:
    """Locked, and the locks are old: what `lock extend` is for."""
    world = _begin(folder, lock=True)
    world.clock.sleep(4 * _DAY)  # type: ignore[union-attr]
    return world


def _attacked(folder: Path) -> LockedWorld:
    """Locked; then some objects were overwritten, some deleted, and some added."""
    world = _begin(folder, lock=True)
    world.before_ns = world.versions.now_ns()
    world.clock.sleep(3600)  # type: ignore[union-attr]
    chaos = random.Random(4)
    for info in list(world.versions.list("")):
        chosen = chaos.random()
        if info.key.startswith("config/") or chosen < 0.3:
            world.versions.delete(info.key)
        elif chosen < 0.6:
            world.versions.put(info.key, chaos.randbytes(info.size))
    world.versions.put("snapshots/ff/junk", b"junk")
    world.clock.sleep(3600)  # type: ignore[union-attr]
    return world


def _set(world: World) -> None:
    vault = world.open()
    write_setting(vault.handle, _WEEK, _POLICY)
    extend_locks(vault.handle)


def _set_again(world: World) -> None:
    _set(world)
    vault = world.trial.open()
    setting = read_setting(vault.handle)
    if setting is None or open_policy(vault.handle.keys, setting) != _POLICY:
        raise BrokenInvariant("the setting is not what was asked for")
    _all_locked(world)


def _extend(world: World) -> None:
    extend_locks(world.open().handle)


def _extend_again(world: World) -> None:
    done = extend_locks(world.open().handle)
    if done.failures or done.unreadable or done.hidden:
        raise BrokenInvariant(f"extended with {done}")
    _all_locked(world)


def _save(world: World) -> None:
    world.open().save(ASSET, world.source, step=3)


def _save_again(world: World) -> None:
    """Whatever was saved and not locked is locked by the next extension: nothing is forgotten for good."""
    _save(world)
    _extend_again(world)


def _all_locked(world: World) -> None:
    report = lock_report(world.trial.open().handle)
    if report.unprotected or any(one.is_short for one in report.snapshots) or not report.snapshots:
        raise BrokenInvariant(f"not locked: {[one.key for one in report.unprotected]}")


def _recover(world: World) -> None:
    assert isinstance(world, LockedWorld)
    store = world.store()
    assert isinstance(store, FaultyLockableStore)
    plan, past = plan_recovery(store, store, lambda place: world.trial.open(store=place).handle, world.before_ns)
    apply_recovery(store, store, plan)
    memory_of(Handle(store, past.keys, past.clock)).forget()
    extend_locks(Handle(store, past.keys, past.clock))


def _recover_again(world: World) -> None:
    assert isinstance(world, LockedWorld)
    _recover(world)
    plan, _ = plan_recovery(
        world.versions, world.versions, lambda place: world.trial.open(store=place).handle, world.before_ns
    )
    if plan.steps:
        raise BrokenInvariant(f"a step is left: {plan.steps[0]}")
    _all_locked(world)


def _nothing_is_destroyed(world: World, scratch: Path) -> None:
    """As it was before the attack, all can be had, whatever the recovery has done so far."""
    assert isinstance(world, LockedWorld)
    past = PastStore(world.versions, world.versions, world.before_ns)
    every_snapshot_restores(world.trial.open(store=past), world.expected, scratch)


Make = Callable[[Path], LockedWorld]
_CASES: Mapping[str, tuple[Make, Act, Act, int]] = {
    "set": (lambda folder: _begin(folder, lock=False), _set, _set_again, 40),
    "extend": (_aged, _extend, _extend_again, 40),
    "save": (lambda folder: _begin(folder, lock=True), _save, _save_again, 60),
    "recover": (_attacked, _recover, _recover_again, 120),
}


@pytest.mark.parametrize("name", _CASES)
def test_crashes_and_lost_answers(name: str, tmp_path: Path, stride: int) -> None:
    make, act, again, least = _CASES[name]
    with own_memory(tmp_path / "memory"):
        begin = make(tmp_path / "begin")
    points = every_crash_point(
        begin,
        act,
        tmp_path / "work",
        again=again,
        meanwhile=_nothing_is_destroyed if begin.before_ns else None,
        thorough=False,
        stride=stride or max(1, least // 3),
    )
    assert points.operations >= least
    assert points.crashes >= 2
    assert points.lost_answers >= 2


@pytest.fixture
def stride() -> int:
    """Of the points; 0: some of them."""
    import os

    return int(os.environ.get("HOLDFAST_LOCK_CRASH_STRIDE", "0"))
