"""The verbs of a vault with a lock setting: saving locks, collecting and dropping wait, checking and copying know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import RefusedError
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Period
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.vault.access.members import admit_writer
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.locking.state import lock_report

DAY = 86_400
MONTH = Period(30.0 * DAY)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[TrialVault]:
    with own_memory(tmp_path / "memory"):
        clock = ManualClock()
        trial = new_trial_vault(VersionedMemoryStore(clock), clock=clock, pack_bytes=64 << 10)
        write_setting(trial.open().handle, MONTH)
        (tmp_path / "a").write_bytes(b"first" * 20_000)
        yield trial


def test_saving_locks(trial: TrialVault, tmp_path: Path) -> None:
    keeper = trial.open()
    writer = trial.open(admit_writer(keeper.handle, "trainer"))
    for vault in (keeper, writer):
        report = vault.save("m", tmp_path / "a")
        assert report.locked is not None
        assert not report.locked.failures
    assert not lock_report(trial.open().handle).unprotected


def test_a_vault_without_the_setting_asks_the_store_for_nothing(tmp_path: Path) -> None:
    with own_memory(tmp_path / "memory"):
        store = VersionedMemoryStore()
        (tmp_path / "a").write_bytes(b"x")
        assert new_trial_vault(store).open().save("m", tmp_path / "a").locked is None
        assert store.requests == {}


def test_a_locked_snapshot_is_not_dropped(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    first = vault.save("m", tmp_path / "a").root
    (tmp_path / "a").write_bytes(b"second" * 20_000)
    vault.save("m", tmp_path / "a")
    with pytest.raises(RefusedError, match="locked until"):
        vault.plan_drop(first.id)
    trial.clock.sleep(40 * DAY)
    vault.apply_drop(vault.plan_drop(first.id))


def test_collecting_leaves_what_is_locked_and_says_until_when(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    first = vault.save("m", tmp_path / "a").root
    (tmp_path / "a").write_bytes(b"second" * 20_000)
    vault.save("m", tmp_path / "a")
    key = vault.handle.keys.names.snapshot_key("m", first.id)
    trial.store.delete(key)  # as a version marker: dropped by a program that knows no locks
    trial.clock.sleep(5)
    packs = {info.key for info in trial.store.list("packs/")}
    notes = NoteTaker()
    options = CollectOptions(safety=NONE, rewrite_below=0.0)
    trial.open(progress=notes).collect(options)
    assert {info.key for info in trial.store.list("packs/")} == packs
    assert any("are locked" in note and "a later run collects them" in note for note in notes.notes)
    trial.clock.sleep(40 * DAY)
    trial.open().collect(options)
    assert {info.key for info in trial.store.list("packs/")} < packs


def test_checking_knows_the_setting(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    vault.save("m", tmp_path / "a")
    report = vault.check()
    assert not report.damages
    assert not report.notes
    trial.store.put("locks/0000000001", b"garbage")
    assert [one.object for one in trial.open().check().damages] == ["locks/0000000001"]


def test_a_replica_locks_by_its_own_setting(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    vault.save("m", tmp_path / "a")
    target = VersionedMemoryStore(trial.clock)
    replicate(vault.handle, target)
    at_target = trial.open(store=target)
    assert not list(target.list("locks/"))  # the setting is each site's own
    assert lock_report(at_target.handle).unprotected
    write_setting(at_target.handle, MONTH)
    replicate(vault.handle, target)
    assert not lock_report(trial.open(store=target).handle).unprotected
