"""Locks by a retention policy: what saves, copies and extensions lock, what plans say of it, what goes when."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.clock import ManualClock
from holdfast.control.vaults.retaining import read_plan, write_plan
from holdfast.errors import DamageError, PermissionDeniedError, RefusedError, UsageError
from holdfast.objectives.retention import DROP
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Keep, Policy, Rule
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Mode, Period, Retention
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.vault.access.members import admit_writer
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.reach import reach_of
from holdfast.vault.locking.setting import open_policy, proposed, read_setting, write_setting
from holdfast.vault.locking.state import lock_report
from holdfast.vault.vault import Vault

NS = 10**9
DAY = 86_400
WEEK = Period(7.0 * DAY)
MONTHLY = parse_policy("version: 1\nrecent: 0s\nrules:\n  - assets: secret-name\n    keep: {monthly: 12}\n")
LAST = parse_policy("version: 1\nrecent: 0s\nrules:\n  - assets: secret-name\n    keep: {last: 1}\n")
ASSET = "secret-name"


class World(NamedTuple):
    store: VersionedMemoryStore
    clock: ManualClock
    trial: TrialVault
    source: Path

    def open(self) -> Vault:
        return self.trial.open()

    def save(self, seed: int) -> str:
        self.clock.sleep(60)
        (self.source / "weights.bin").write_bytes(random.Random(seed).randbytes(90_000))
        return self.open().save(ASSET, self.source).root.id

    def until(self, snapshot: str) -> int:
        """Until when all that the snapshot needs is locked."""
        [found] = [
            one for one in lock_report(self.open().handle).snapshots if one.root is not None and one.root.id == snapshot
        ]
        assert not found.error
        return found.until_ns


def date(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock(date("2026-01-20"))
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, encrypted=request.param, pack_bytes=64 << 10)
        source = tmp_path / "source"
        source.mkdir()
        (source / "frozen.bin").write_bytes(random.Random(99).randbytes(200_000))
        yield World(store, clock, trial, source)


def test_a_month_that_is_over_is_locked_for_twelve_with_all_that_it_shares(world: World) -> None:
    write_setting(world.open().handle, WEEK, MONTHLY)
    january = world.save(1)
    assert world.until(january) < date("2026-02-01")  # for a week: the month is not over
    world.clock.sleep(5 * DAY)
    extend_locks(world.open().handle)
    february = date("2026-02-03")
    world.clock.sleep((february - world.clock.now_ns()) // NS)
    newer = world.save(2)
    done = extend_locks(world.open().handle)
    assert not done.failures
    assert world.until(january) >= date("2027-01-01")
    assert world.until(january) < date("2027-01-03")
    handle = world.open().handle
    shared = reach_of(handle, world.open().find(january)).packs & reach_of(handle, world.open().find(newer)).packs
    assert shared
    for pack in shared:  # the longest of those that need it
        found = world.store.retention_of(pack)
        assert found is not None
        assert found.until_ns >= date("2027-01-01")
    assert world.until(newer) < date("2026-02-20")


def test_what_the_policy_lets_go_is_not_renewed_and_goes_after_its_lock(world: World) -> None:
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    world.clock.sleep(DAY)
    world.save(2)
    before = world.until(first)
    for _ in range(5):
        world.clock.sleep(DAY)
        assert extend_locks(world.open().handle).let_go == 1
    assert world.until(first) == before
    vault = world.open()
    plan = vault.plan_retention(LAST)
    assert [one.snapshot for one in plan.changes] == [first]
    assert plan.locked[first] >= before  # of its root
    assert plan.freed.locked_packs == plan.freed.packs > 0
    assert plan.freed.locked_bytes == plan.freed.bytes > 0
    assert plan.freed.locked_until == before
    done = vault.apply_retention(plan)
    assert done.dropped == []
    assert done.waiting == plan.locked
    assert first in {one.root.id for one in world.open().snapshots() if one.root is not None}
    world.clock.sleep(3 * DAY)
    done_later = extend_locks(world.open().handle)
    assert (done_later.let_go, done_later.failures) == (1, ())
    assert not lock_report(world.open().handle).unprotected  # nobody wants it locked
    plan = world.open().plan_retention(LAST)
    assert plan.locked == {}
    assert plan.freed.locked_until is None
    assert world.open().apply_retention(plan).dropped == [first]
    packs = len(list(world.store.list("packs/")))
    world.open().collect(CollectOptions(NONE, rewrite_below=0.0))
    assert len(list(world.store.list("packs/"))) < packs
    assert not world.open().check(read_data=True).damages


def test_the_same_plan_goes_on_after_the_locks(world: World) -> None:
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    world.save(2)
    plan = world.open().plan_retention(LAST)
    assert world.open().apply_retention(plan).waiting.keys() == {first}
    world.clock.sleep(9 * DAY)
    assert world.open().apply_retention(plan).dropped == [first]


def test_a_save_by_a_writer_and_a_copy_lock_by_the_policy_alone(world: World) -> None:
    within = Policy(version=1, rules=[Rule(assets="secret-*", keep=Keep(within="40d"))], recent="0s")
    write_setting(world.open().handle, WEEK, within)
    writer = world.trial.open(admit_writer(world.open().handle, "trainer"))
    (world.source / "weights.bin").write_bytes(b"x" * 50_000)
    content = world.clock.now_ns()
    saved = writer.save(ASSET, world.source)
    assert saved.locked is not None
    assert not saved.locked.failures
    promised = min(saved.root.content, content) + 40 * DAY * NS
    assert world.until(saved.root.id) >= promised
    target = VersionedMemoryStore(world.clock)
    replicate(world.open().handle, target)
    at_target = world.trial.open(store=target)
    write_setting(at_target.handle, WEEK, within)
    world.clock.sleep(1)
    newer = world.save(7)
    replicate(world.open().handle, target)
    [found] = [
        one
        for one in lock_report(world.trial.open(store=target).handle).snapshots
        if one.root is not None and one.root.id == newer
    ]
    assert found.until_ns >= promised
    assert not found.is_short


def test_a_component_that_goes_is_locked_for_less(world: World) -> None:
    rules = Policy(
        version=1,
        recent="0s",
        rules=[Rule(assets=ASSET, keep=Keep(monthly=12), components={"optimizer": Keep(last=1)})],
    )
    write_setting(world.open().handle, WEEK, rules)
    (world.source / "frozen.bin").unlink()
    (world.source / "optimizer.bin").write_bytes(random.Random(5).randbytes(100_000))
    january = world.save(1)
    components = {link.component for link in world.open().find(january).parts}
    assert "optimizer" in components
    assert len(components) > 1
    world.clock.sleep((date("2026-02-03") - world.clock.now_ns()) // NS)
    (world.source / "optimizer.bin").write_bytes(random.Random(6).randbytes(100_000))
    world.save(2)
    extend_locks(world.open().handle)
    assert world.until(january) >= date("2027-01-01")
    ends = sorted(
        found.until_ns
        for pack in reach_of(world.open().handle, world.open().find(january)).packs
        if (found := world.store.retention_of(pack)) is not None
    )
    assert ends[0] < date("2026-02-01") < date("2027-01-01") <= ends[-1]


def test_the_policy_is_sealed_and_bound_to_its_setting(world: World) -> None:
    handle = world.open().handle
    write_setting(handle, WEEK, MONTHLY)
    stored = world.store.get("locks/0000000001")
    assert (ASSET.encode() in stored) == (world.trial.open().handle.keys.suite.value == 0)
    setting = read_setting(handle)
    assert setting is not None
    assert open_policy(handle.keys, setting) == MONTHLY
    moved = proposed(handle, WEEK, MONTHLY)
    with pytest.raises(DamageError, match="does not open"):
        open_policy(handle.keys, moved.__class__(7, moved.created, moved.mode, moved.seconds, moved.policy))
    broken = setting.policy[:-1] + bytes([setting.policy[-1] ^ 1])
    with pytest.raises(DamageError, match="does not open"):
        open_policy(handle.keys, setting.__class__(1, setting.created, setting.mode, setting.seconds, broken))
    write_setting(handle, WEEK)
    setting = read_setting(handle)
    assert setting is not None
    assert open_policy(handle.keys, setting) is None


def test_a_proposed_setting_shows_what_it_would_ask_for_and_changes_nothing(world: World) -> None:
    snapshot = world.save(1)
    before = {(one.key, one.version) for one in world.store.versions("")}
    report = lock_report(world.open().handle, proposed(world.open().handle, WEEK, MONTHLY))
    [one] = report.snapshots
    assert one.term is not None
    assert one.root is not None
    assert one.root.id == snapshot
    assert one.is_short
    assert any("monthly 2026-01" in why for why in one.term.because)
    assert {(one.key, one.version) for one in world.store.versions("")} == before
    assert world.store.requests.get("retain", 0) == 0


def test_what_collecting_cannot_take_is_counted(world: World) -> None:
    write_setting(world.open().handle, WEEK)
    first = world.save(1)
    world.save(2)
    key = world.open().handle.keys.names.snapshot_key(ASSET, world.open().find(first).id)
    world.store.delete(key)
    notes = NoteTaker()
    report = world.trial.open(progress=notes).collect(CollectOptions(NONE))
    assert report.locked.objects > 0
    assert report.locked.bytes > 0
    assert report.locked_until_ns is not None
    assert report.locked_until_ns > world.clock.now_ns()
    assert report.rewritten.objects == 0  # what is locked takes its room in any case
    world.clock.sleep(20 * DAY)
    report = world.open().collect(CollectOptions(NONE))
    assert report.locked.objects == 0
    assert report.deleted.objects > 0


def test_a_hold_at_the_store_stops_no_collection(world: World) -> None:
    first = world.save(1)
    world.save(2)
    only = reach_of(world.open().handle, world.open().find(first)).packs - (
        reach_of(world.open().handle, world.open().find(ASSET)).packs
    )
    [held, *others] = sorted(only)
    vault = world.open()
    vault.apply_drop(vault.plan_drop(first))
    store = Held(world.store, {held})
    report = world.trial.open(store=store).collect(CollectOptions(NONE, rewrite_below=0.0))
    left = {info.key for info in world.store.list("packs/")}
    assert held in left
    assert not left & set(others)
    assert any("a later run tries again" in note for note in report.notes)
    again = world.trial.open(store=Held(world.store, {held})).collect(CollectOptions(NONE, rewrite_below=0.0))
    assert again.deleted.objects == 0
    world.open().collect(CollectOptions(NONE, rewrite_below=0.0))
    assert held not in {info.key for info in world.store.list("packs/")}


class Held(VersionedMemoryStore):
    """The objects of another store, some of which it refuses to delete: as a hold does, which no retention shows."""

    def __init__(self, store: VersionedMemoryStore, keys: set[str]) -> None:
        super().__init__(store._clock)
        self._objects = store._objects
        self._number = store._number + 1_000
        self._held = keys

    def delete(self, key: str) -> None:
        if key in self._held:
            raise PermissionDeniedError(f"{key} is held", object_name=key)
        super().delete(key)


def test_locks_that_are_asked_for_beyond_what_stores_keep(world: World) -> None:
    century = Period(100 * 365 * DAY)
    write_setting(world.open().handle, century)
    world.save(1)
    limit = world.clock.now_ns() + 36_500 * DAY * NS + NS
    assert all(
        found.until_ns <= limit
        for one in world.store.versions(SNAPSHOTS)
        if (found := world.store.retention_of(one.key, one.version)) is not None
    )


def test_dropping_by_hand_still_refuses(world: World) -> None:
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    world.save(2)
    with pytest.raises(RefusedError, match="locked until"):
        world.open().plan_drop(first)


def test_the_word_of_the_plan_counts(world: World) -> None:
    """A snapshot that is locked is still said to be dropped: only later."""
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    world.save(2)
    plan = world.open().plan_retention(LAST)
    assert [(one.snapshot, one.action) for one in plan.changes] == [(first, DROP)]


def test_a_lock_until_the_end_of_time_stops_nothing(world: World, tmp_path: Path) -> None:
    """Whoever may lock can lock for as long as calendars go: more than 64 bits of nanoseconds."""
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    ages = Retention(Mode.COMPLIANCE, 253_402_300_799 * NS)
    for info in list(world.store.list("")):
        world.store.retain(info.key, ages)
    world.save(2)
    done = extend_locks(world.open().handle)
    assert not done.failures
    plan = world.open().plan_retention(LAST)
    assert plan.locked.keys() == {first}
    write_plan(plan, tmp_path / "plan")
    assert read_plan(tmp_path / "plan") == plan
    assert world.open().apply_retention(plan).waiting.keys() == {first}
    world.open().collect(CollectOptions(NONE))


def test_a_plan_whose_times_cannot_be_is_refused(world: World, tmp_path: Path) -> None:
    write_setting(world.open().handle, WEEK, LAST)
    first = world.save(1)
    world.save(2)
    write_plan(world.open().plan_retention(LAST), tmp_path / "plan")
    plan = json.loads((tmp_path / "plan").read_bytes())
    for broken in ({"locked": {first: -1}}, {"locked": {first: 1 << 65}}):
        (tmp_path / "broken").write_text(json.dumps(plan | broken))
        with pytest.raises(UsageError, match="no retention plan"):
            read_plan(tmp_path / "broken")
    (tmp_path / "broken").write_text(json.dumps(plan | {"freed": plan["freed"] | {"locked_until": -1}}))
    with pytest.raises(UsageError, match="no retention plan"):
        read_plan(tmp_path / "broken")


def test_a_locked_pack_that_is_mostly_dead_is_not_rewritten(world: World) -> None:
    """It would take its room beside what was written anew, for as long as it is locked."""
    trial = new_trial_vault(VersionedMemoryStore(world.clock), clock=world.clock, pack_bytes=1 << 20)
    write_setting(trial.open().handle, WEEK)
    source = world.source
    for number in range(8):
        (source / f"part-{number}").write_bytes(random.Random(number).randbytes(100_000))
    first = trial.open().save(ASSET, source).root
    for number in range(7):
        (source / f"part-{number}").write_bytes(random.Random(number + 50).randbytes(100_000))
    world.clock.sleep(60)
    trial.open().save(ASSET, source)
    trial.store.delete(trial.open().handle.keys.names.snapshot_key(ASSET, first.id))
    world.clock.sleep(60)
    before = {info.key for info in trial.store.list("packs/")}
    report = trial.open().collect(CollectOptions(NONE))
    assert report.rewritten.objects == 0
    assert {info.key for info in trial.store.list("packs/")} == before
    world.clock.sleep(30 * DAY)
    assert trial.open().collect(CollectOptions(NONE)).rewritten.objects > 0
