"""Locks of snapshots: what is locked when, what it costs, what is told when something is missing."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import CredentialError, DamageError, HoldfastError, PermissionDeniedError, RefusedError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Mode, Period, Retained, Retention
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.vault.access.members import admit_writer
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.records import Root
from holdfast.vault.locking import setting as setting_module
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.protecting import protect_snapshot, require_locks
from holdfast.vault.locking.reach import reach_of
from holdfast.vault.locking.setting import LockSetting, decode_setting, read_setting, write_setting
from holdfast.vault.locking.state import lock_report, locked_until, refuse_locked
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.save import path_job, save_job
from holdfast.vault.vault import Vault

DAY = 86_400
MONTH = Period(30.0 * DAY)


class World(NamedTuple):
    store: VersionedMemoryStore
    clock: ManualClock
    trial: TrialVault
    vault: Vault
    source: Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, pack_bytes=64 << 10)
        vault = trial.open()
        write_setting(vault.handle, MONTH)
        source = tmp_path / "source"
        source.mkdir()
        chaos = random.Random(1)
        (source / "frozen.bin").write_bytes(chaos.randbytes(300_000))
        (source / "weights.bin").write_bytes(chaos.randbytes(100_000))
        yield World(store, clock, trial, vault, source)


def saved(vault: Vault, asset: str, source: Path) -> Root:
    """A snapshot that was saved and not locked yet: as after a crash between the two."""
    return save_job(vault.handle, asset, path_job(source), SaveOptions()).root


def train(world: World, step: int) -> None:
    weights = bytearray((world.source / "weights.bin").read_bytes())
    for place in range(0, len(weights), 997):
        weights[place] ^= step & 0xFF
    (world.source / "weights.bin").write_bytes(weights)


def destroy_everything(store: VersionedMemoryStore) -> int:
    destroyed = 0
    for version in list(store.versions("")):
        try:
            store.delete_version(version.key, version.version)
            destroyed += 1
        except PermissionDeniedError:
            continue
    return destroyed


def restores(world: World, snapshot: str, target: Path) -> bool:
    try:
        world.trial.open().restore(snapshot, target)
    except HoldfastError:
        return False
    return True


def test_a_protected_snapshot_outlives_the_destruction_of_all_that_is_not_locked(world: World, tmp_path: Path) -> None:
    root = saved(world.vault, "m", world.source)
    done = protect_snapshot(world.vault.handle, root)
    assert done is not None
    assert not done.failures
    assert done.until_ns == world.store.head(reach_of(world.vault.handle, root).root).modified_ns + MONTH.nanoseconds
    assert destroy_everything(world.store) > 0
    assert restores(world, root.id, tmp_path / "out")


def test_without_protection_the_same_destruction_loses_it(world: World, tmp_path: Path) -> None:
    root = saved(world.vault, "m", world.source)
    destroy_everything(world.store)
    assert not restores(world, root.id, tmp_path / "out")


def test_what_a_new_snapshot_shares_with_old_ones_is_locked_for_as_long_as_the_new_one(
    world: World, tmp_path: Path
) -> None:
    first = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, first)
    world.clock.sleep(25 * DAY)
    train(world, 3)
    second = saved(world.vault, "m", world.source)
    assert second.stats["dedup"] > 200_000
    protect_snapshot(world.vault.handle, second)
    world.clock.sleep(29 * DAY)  # the first one's locks have ended long ago
    destroy_everything(world.store)
    assert restores(world, second.id, tmp_path / "out")
    assert (tmp_path / "out" / "frozen.bin").read_bytes() == (world.source / "frozen.bin").read_bytes()


def test_delta_bases_are_locked_with_the_delta(world: World, tmp_path: Path) -> None:
    chaos = np.random.default_rng(2)
    weights = chaos.standard_normal(200_000).astype(np.float32)
    first = world.vault.save("t", {"w": weights}).root
    protect_snapshot(world.vault.handle, first)
    world.clock.sleep(25 * DAY)
    second = world.vault.save("t", {"w": weights + np.float32(1e-6)}).root
    assert second.stats.get("raw_delta"), "the second save must be a delta"
    bases = reach_of(world.vault.handle, first).packs & reach_of(world.vault.handle, second).packs
    assert bases
    protect_snapshot(world.vault.handle, second)
    world.clock.sleep(29 * DAY)
    destroy_everything(world.store)
    assert restores(world, second.id, tmp_path / "out")


def test_a_save_asks_only_for_locks_that_have_to_grow(world: World) -> None:
    for number in range(8):
        (world.source / f"shard-{number}.bin").write_bytes(random.Random(number).randbytes(90_000))
    protect_snapshot(world.vault.handle, saved(world.vault, "m", world.source))
    packs = len(list(world.store.list("packs/")))
    assert packs >= 5
    asked = []
    for step in range(1, 5):
        world.clock.sleep(1800)
        (world.source / "step.txt").write_text(str(step))
        root = saved(world.vault, "m", world.source)
        world.store.requests.clear()
        done = protect_snapshot(world.vault.handle, root)
        assert done is not None
        asked.append(world.store.requests.get("retain", 0))
        assert done.asked == asked[-1]
    # One new pack, index object, part, root, two pointers: not the packs, parts and configuration of before.
    assert max(asked) <= 8
    fresh = world.trial.open()
    memory_of(fresh.handle).forget()
    world.store.requests.clear()
    protect_snapshot(fresh.handle, root)
    assert world.store.requests["retain"] > packs  # forgetting costs requests, and nothing else


def test_a_bucket_that_locks_by_itself_is_seen(tmp_path: Path) -> None:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        store = VersionedMemoryStore(clock, default=Period(40.0 * DAY))
        vault = new_trial_vault(store, clock=clock).open()
        write_setting(vault.handle, MONTH)
        (tmp_path / "a").write_bytes(b"x" * 1000)
        root = saved(vault, "m", tmp_path / "a")
        assert not lock_report(vault.handle).unprotected  # before anything was locked by us
        done = protect_snapshot(vault.handle, root)
        assert done is not None
        assert not done.failures
        until = {found.until_ns for key in reach_of(vault.handle, root).data if (found := store.retention_of(key))}
        assert until == {clock.now_ns() + 40 * DAY * NANOSECONDS}


def test_an_interruption_at_any_lock_is_told_and_mended(world: World, tmp_path: Path) -> None:
    """However many of the locks were set before the process died: the report says so, and `extend` finishes."""
    root = saved(world.vault, "m", world.source)
    total = len(reach_of(world.vault.handle, root).data) + 1

    class Died(BaseException):
        pass

    for survived in range(total):
        store = VersionedMemoryStore(world.clock)
        for info in world.store.list(""):
            store.put(info.key, world.store.get(info.key))
        vault = world.trial.open(store=store)
        left = survived
        honest = store.retain

        def dying(key: str, retention: Retention, version: str = "", honest=honest) -> Retained:
            nonlocal left
            if not left:
                raise Died
            left -= 1
            return honest(key, retention, version)

        store.retain = dying  # type: ignore[method-assign]
        with pytest.raises(Died):
            protect_snapshot(vault.handle, root)
        store.retain = honest  # type: ignore[method-assign]
        after = world.trial.open(store=store)
        assert lock_report(after.handle).unprotected, survived
        assert store.retention_of(reach_of(after.handle, root).root) is None  # the root is locked last
        assert not extend_locks(after.handle).failures
        assert not lock_report(after.handle).unprotected


def test_a_refused_lock_is_told_and_the_root_stays_unlocked(world: World) -> None:
    root = saved(world.vault, "m", world.source)
    notes = NoteTaker()
    vault = world.trial.open(progress=notes)
    pack = min(reach_of(vault.handle, root).packs)
    honest = world.store.retain

    def refusing(key: str, retention: Retention, version: str = "") -> Retained:
        if key == pack:
            raise PermissionDeniedError(f"cannot lock {key}", object_name=key)
        return honest(key, retention, version)

    world.store.retain = refusing  # type: ignore[method-assign]
    done = protect_snapshot(vault.handle, root)
    assert done is not None
    assert done.until_ns is None
    assert [one.key for one in done.failures] == [pack]
    assert any("NOT LOCKED" in note for note in notes.notes)
    assert world.store.retention_of(reach_of(vault.handle, root).root) is None


def test_the_report_names_what_is_not_locked(world: World) -> None:
    locked = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, locked)
    world.clock.sleep(10)
    train(world, 5)
    bare = saved(world.vault, "m", world.source)
    report = lock_report(world.vault.handle)
    [one] = report.unprotected
    assert one.root is not None
    assert one.root.id == bare.id
    assert one.unlocked >= 2
    assert any(key.startswith("snapshots/") for key in one.weakest)
    world.clock.sleep(40 * DAY)
    assert len(lock_report(world.vault.handle).unprotected) == 2  # locks that have ended protect nothing


def test_overwritten_and_deleted_objects_are_told(world: World) -> None:
    root = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, root)
    pack = min(reach_of(world.vault.handle, root).packs)
    world.store.put(pack, b"garbage")
    world.store.delete(max(reach_of(world.vault.handle, root).packs))
    report = lock_report(world.trial.open().handle)
    assert report.overwritten == (pack,)
    assert report.deleted == 1
    assert report.unprotected  # what is current now is not what was locked


def test_extending_locks_all_versions_for_one_of_them_is_good(world: World) -> None:
    root = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, root)
    pack = min(reach_of(world.vault.handle, root).packs)
    good = next(world.store.versions(pack)).version
    world.store.put(pack, b"garbage")
    world.clock.sleep(25 * DAY)
    assert extend_locks(world.vault.handle).versions >= 1
    held = world.store.retention_of(pack, good)
    assert held is not None
    assert held.until_ns >= world.clock.now_ns() + 15 * DAY * NANOSECONDS


def test_extending_renews_what_will_end(world: World, tmp_path: Path) -> None:
    root = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, root)
    for _ in range(6):
        world.clock.sleep(20 * DAY)
        done = extend_locks(world.vault.handle)
        assert not done.failures
        assert done.until_ns is not None
        assert done.until_ns >= world.clock.now_ns() + 15 * DAY * NANOSECONDS
    destroy_everything(world.store)
    assert restores(world, root.id, tmp_path / "out")


def test_a_writer_locks_what_it_saved_though_it_cannot_read_it(world: World, tmp_path: Path) -> None:
    writer = world.trial.open(admit_writer(world.vault.handle, "trainer"))
    root = saved(writer, "m", world.source)
    done = protect_snapshot(writer.handle, root)
    assert done is not None
    assert not done.failures
    assert not lock_report(world.trial.open().handle).unprotected
    with pytest.raises(CredentialError):
        lock_report(writer.handle)
    other = saved(world.vault, "other", world.source)
    with own_memory(tmp_path / "another machine"):
        missed = protect_snapshot(writer.handle, other)
    assert missed is not None
    assert isinstance(missed.failures[0].error, CredentialError)


def test_only_a_keeper_sets_the_lock(world: World) -> None:
    writer = world.trial.open(admit_writer(world.vault.handle, "trainer"))
    with pytest.raises(CredentialError):
        write_setting(writer.handle, None)


def test_a_setting_that_a_writer_signed_counts_for_nothing(world: World) -> None:
    writer = world.trial.open(admit_writer(world.vault.handle, "trainer"))
    keys, key = writer.handle.keys, "locks/0000000002"
    forged = msgspec.msgpack.encode(LockSetting(2, world.clock.now_ns(), "off", 0))
    assert keys.signer is not None
    world.store.create(key, write_config(keys.vault, int(keys.suite), key, forged, keys.signer))
    notes = NoteTaker()
    found = read_setting(world.trial.open(progress=notes).handle)
    assert found is not None
    assert found.period == MONTH
    assert any("passed over" in note for note in notes.notes)


def test_a_setting_cannot_be_moved_from_elsewhere(world: World) -> None:
    """The key is part of what is signed: an old generation is no newer one, a configuration no setting."""
    write_setting(world.vault.handle, None)
    write_setting(world.vault.handle, MONTH)
    world.store.create("locks/0000000004", world.store.get("locks/0000000002"))  # "off", replayed
    world.store.create("locks/0000000005", world.store.get("config/0000000001"))
    found = read_setting(world.trial.open().handle)
    assert found is not None
    assert found.generation == 3


def test_a_setting_under_another_number_is_damage(world: World) -> None:
    keys, key = world.vault.handle.keys, "locks/0000000002"
    assert keys.signer is not None
    record = msgspec.msgpack.encode(LockSetting(9, world.clock.now_ns(), "off", 0))
    world.store.create(key, write_config(keys.vault, int(keys.suite), key, record, keys.signer))
    found = read_setting(world.trial.open().handle)
    assert found is not None
    assert found.generation == 1


def test_a_setting_that_was_taken_away_is_followed_all_the_same(world: World) -> None:
    notes = NoteTaker()
    handle = world.trial.open(progress=notes).handle
    assert read_setting(handle) is not None
    world.store.delete("locks/0000000001")
    found = read_setting(handle)
    assert found is not None
    assert found.period == MONTH
    assert any("lost the lock setting" in note for note in notes.notes)


def test_a_revoked_keeper_sets_nothing(world: World) -> None:
    setting = read_setting(world.vault.handle)
    assert setting is not None
    keys = world.vault.handle.keys
    signers = [msgspec.structs.replace(one, revoked=0) for one in keys.config.signers]
    handle = replace(
        world.vault.handle, keys=replace(keys, config=msgspec.structs.replace(keys.config, signers=signers))
    )
    with pytest.raises(CredentialError, match="revoked"):
        setting_module.read_generation(handle, "locks/0000000001")


def test_the_lock_can_be_switched_off_for_what_follows(world: World) -> None:
    first = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, first)
    write_setting(world.vault.handle, None)
    assert protect_snapshot(world.vault.handle, first) is None
    with pytest.raises(RefusedError):
        extend_locks(world.vault.handle)
    assert not lock_report(world.vault.handle).unprotected  # what is locked stays so


def test_a_store_without_locks_is_said_and_the_save_stands(tmp_path: Path) -> None:
    with own_memory(tmp_path / "memory"):
        notes = NoteTaker()
        trial = new_trial_vault(MemoryStore())
        vault = trial.open(progress=notes)
        write_setting(vault.handle, MONTH)
        (tmp_path / "a").write_bytes(b"x")
        root = saved(vault, "m", tmp_path / "a")
        done = protect_snapshot(vault.handle, root)
        assert done is not None
        assert done.until_ns is None
        assert any("NOT LOCKED" in note for note in notes.notes)
        assert vault.find("m").id == root.id
        with pytest.raises(RefusedError):
            require_locks(vault.handle)
        with pytest.raises(RefusedError):
            lock_report(vault.handle)


def test_a_bucket_made_without_locks_is_refused(tmp_path: Path) -> None:
    vault = new_trial_vault(VersionedMemoryStore(lockable=False)).open()
    with pytest.raises(RefusedError, match="without locks"):
        require_locks(vault.handle)


def test_who_deletes_learns_what_is_locked(world: World) -> None:
    root = saved(world.vault, "m", world.source)
    reach = reach_of(world.vault.handle, root)
    assert locked_until(world.vault.handle, reach.data) == {}
    refuse_locked(world.vault.handle, reach.root)
    protect_snapshot(world.vault.handle, root)
    assert locked_until(world.vault.handle, [*reach.data, "packs/00/none"]).keys() == reach.data
    with pytest.raises(RefusedError, match="locked until"):
        refuse_locked(world.vault.handle, reach.root)
    world.clock.sleep(40 * DAY)
    assert locked_until(world.vault.handle, reach.data) == {}
    refuse_locked(world.vault.handle, reach.root)


def test_compliance_is_passed_on(world: World) -> None:
    write_setting(world.vault.handle, Period(10.0 * DAY, Mode.COMPLIANCE))
    root = saved(world.vault, "m", world.source)
    protect_snapshot(world.vault.handle, root)
    for key in reach_of(world.vault.handle, root).data:
        found = world.store.retention_of(key)
        assert found is not None
        assert found.mode is Mode.COMPLIANCE
        with pytest.raises(PermissionDeniedError):
            world.store.delete_version(key, next(world.store.versions(key)).version, bypass=True)


@pytest.mark.parametrize(
    "record",
    [
        {"generation": 1, "created": 0, "mode": "strict", "seconds": 5},
        {"generation": 1, "created": 0, "mode": "governance", "seconds": 0},
        {"generation": 1, "created": 0, "mode": "governance", "seconds": -5},
        {"generation": 1, "created": 0, "mode": "governance", "seconds": 1 << 60},
        {"generation": 1, "created": 0, "mode": "governance"},
        [],
    ],
)
def test_settings_that_make_no_sense_are_damage(record: object) -> None:
    with pytest.raises(DamageError):
        decode_setting(msgspec.msgpack.encode(record), "locks/0000000001")


def test_unknown_members_of_a_setting_are_passed_over() -> None:
    data = msgspec.msgpack.encode({"generation": 1, "created": 2, "mode": "off", "seconds": 0, "since": "tomorrow"})
    assert decode_setting(data, "x") == LockSetting(1, 2, "off", 0)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), min_size=1, max_size=5), st.integers(0, 29))
def test_whatever_was_saved_less_than_the_period_ago_outlives_an_attack(
    saves: list[tuple[int, int]], attack_after_days: int
) -> None:
    with tempfile.TemporaryDirectory() as name, own_memory(Path(name) / "memory"):
        folder = Path(name)
        clock = ManualClock()
        store = VersionedMemoryStore(clock)
        trial = new_trial_vault(store, clock=clock, encrypted=False)
        vault = trial.open()
        write_setting(vault.handle, MONTH)
        source = folder / "source"
        source.mkdir()
        (source / "frozen").write_bytes(b"frozen" * 5000)
        expected: dict[str, tuple[int, bytes]] = {}
        for days, content in saves:
            clock.sleep(days * DAY + 1)
            (source / "changing").write_bytes(bytes([content]) * 3000)
            root = saved(vault, "m", source)
            protect_snapshot(vault.handle, root)
            expected[root.id] = clock.now_ns(), (source / "changing").read_bytes()
        clock.sleep(attack_after_days * DAY)
        destroy_everything(store)
        after = trial.open()
        for number, (snapshot, (saved_ns, content)) in enumerate(expected.items()):
            if clock.now_ns() < saved_ns + MONTH.nanoseconds:
                after.restore(snapshot, folder / f"out-{number}")
                assert (folder / f"out-{number}" / "changing").read_bytes() == content
