"""Collecting: what goes, what waits, what is rewritten, and what is never touched."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from holdfast.clock import SYSTEM_CLOCK, ManualClock
from holdfast.errors import ConflictError, CredentialError, RefusedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import ended_otherwise
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.collecting import leases
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.collecting.safety import FULL, NONE
from holdfast.vault.collecting.trash import close, condemn, read_trash, rescue
from holdfast.vault.format.names import INDEX, LEASES, PACKS, PARTS, TRASH
from holdfast.vault.vault import Vault

DAY = 24 * 3600.0
AT_ONCE = CollectOptions(NONE, rewrite_below=0.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def trial(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> TrialVault:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return new_trial_vault(MemoryStore(clock), encrypted=request.param, clock=clock)


def write(folder: Path, seed: int, *, files: int = 3, size: int = 20_000) -> Path:
    source = folder / f"source{seed}"
    source.mkdir(exist_ok=True)
    for number in range(files):
        (source / f"{number}.bin").write_bytes(random.Random(seed * 100 + number).randbytes(size))
    return source


def keys(trial: TrialVault, prefix: str) -> set[str]:
    return {info.key for info in trial.store.list(prefix)}


def drop(vault: Vault, snapshot: str) -> None:
    vault.apply_drop(vault.plan_drop(snapshot))


def test_what_no_snapshot_needs_goes_after_the_grace(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    first = vault.save("run", write(tmp_path, 1)).root
    doomed = keys(trial, PACKS) | keys(trial, PARTS)
    second = vault.save("run", write(tmp_path, 2)).root
    drop(vault, first.id)

    assert collect(vault.handle).condemned.objects == 0, "too fresh"
    clock.sleep(DAY + 1)
    report = collect(vault.handle)
    assert report.condemned.objects == len(doomed)
    assert read_trash(vault.handle).keys == doomed
    assert doomed <= keys(trial, PACKS) | keys(trial, PARTS)
    clock.sleep(DAY - 10)
    [waiting] = collect(vault.handle).waiting
    assert waiting.amount.objects == len(doomed) and "less than" in waiting.reason
    clock.sleep(20)
    report = collect(vault.handle)
    assert report.deleted.objects == len(doomed)
    assert not doomed & (keys(trial, PACKS) | keys(trial, PARTS))
    assert read_trash(vault.handle).closed == doomed, "its names are not used again yet"
    clock.sleep(2 * 3600 + 1)
    collect(vault.handle)
    assert not keys(trial, TRASH)
    check_is_clean(trial.open())
    every_snapshot_restores(trial.open(), {second.id: read_tree(tmp_path / "source2")}, tmp_path / "scratch")


def test_at_once_where_nobody_else_is(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    first = vault.save("run", write(tmp_path, 1)).root
    second = vault.save("run", write(tmp_path, 2)).root
    drop(vault, first.id)
    report = collect(vault.handle, AT_ONCE)
    assert report.deleted.objects == report.condemned.objects > 0
    assert not keys(trial, TRASH) and not keys(trial, LEASES)
    check_is_clean(trial.open())
    assert collect(vault.handle, AT_ONCE).condemned.objects == 0
    every_snapshot_restores(trial.open(), {second.id: read_tree(tmp_path / "source2")}, tmp_path / "scratch")


def test_a_dry_run_writes_nothing(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    first = vault.save("run", write(tmp_path, 1)).root
    vault.save("run", write(tmp_path, 2))
    drop(vault, first.id)
    before = list(trial.store.list(""))
    report = collect(vault.handle, AT_ONCE, dry_run=True)
    assert report.condemned.bytes > 60_000 and report.dry_run
    assert list(trial.store.list("")) == before


def test_a_lease_that_began_before_is_waited_for(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    first = vault.save("run", write(tmp_path, 1)).root
    vault.save("run", write(tmp_path, 2))
    drop(vault, first.id)
    clock.sleep(DAY + 1)
    writer = admit_writer(vault.handle, "trainer")
    with HeldLease(trial.open(writer).handle, "saving") as lease:
        clock.sleep(1)
        condemned = collect(vault.handle).condemned
        assert condemned.objects == 2
        for _ in range(100):
            clock.sleep(1000)
            lease.keep()
        report = collect(vault.handle)
        assert "began before it was condemned" in report.waiting[0].reason and report.active_leases
    assert collect(vault.handle).waiting, "a listing may not show yet what it committed"
    clock.sleep(601)
    assert collect(vault.handle).deleted == condemned


def test_a_lease_that_expired_is_not_waited_for(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    first = vault.save("run", write(tmp_path, 1)).root
    vault.save("run", write(tmp_path, 2))
    drop(vault, first.id)
    clock.sleep(DAY + 1)
    HeldLease(trial.open().handle, "saving").__enter__()
    clock.sleep(1)
    assert collect(vault.handle).condemned.objects == 2
    clock.sleep(DAY + 1)
    assert collect(vault.handle).deleted.objects == 2


def test_what_a_save_that_is_under_way_has_stored_is_not_condemned(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    with HeldLease(trial.open().handle, "saving"):
        first = vault.save("run", write(tmp_path, 1)).root
        vault.save("run", write(tmp_path, 2))
        drop(vault, first.id)
        assert collect(vault.handle, AT_ONCE).condemned.objects == 0
    assert collect(vault.handle, AT_ONCE).deleted.objects == 2


def test_a_lease_out_of_touch_commits_nothing(trial: TrialVault, clock: ManualClock) -> None:
    with HeldLease(trial.open().handle, "saving") as lease:
        clock.sleep(2000)
        lease.keep()
        clock.sleep(2800)
        with pytest.raises(ConflictError, match="out of touch"):
            lease.keep()
        with pytest.raises(ConflictError, match="out of touch"):
            lease.require()


def test_a_lease_is_renewed_while_its_holder_waits(trial: TrialVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a check of the user's, say. Its own thread looks by the real clock, the lease's age is by the vault's."""
    monkeypatch.setattr(leases, "_RENEW_AFTER", 0.04)
    handle = trial.open().handle
    handle.clock = SYSTEM_CLOCK
    with HeldLease(handle, "saving") as lease:
        for _ in range(200):
            if len(keys(trial, LEASES)) > 2:
                break
            time.sleep(0.02)
        assert len(keys(trial, LEASES)) > 2
        lease.require()
    time.sleep(0.05)
    assert not keys(trial, LEASES), "it ends with the lease"


def test_leases_that_are_over_are_removed(trial: TrialVault, clock: ManualClock) -> None:
    vault = trial.open()
    trainer = trial.open(admit_writer(vault.handle, "trainer")).handle
    HeldLease(trainer, "saving").__enter__()
    with HeldLease(trainer, "saving"):
        pass
    with HeldLease(vault.handle, "saving"):
        pass
    assert len(seen_leases(vault.handle)) == 2, "a keeper takes its own away"
    clock.sleep(601)
    collect(vault.handle)
    assert len([one for one in seen_leases(vault.handle) if one.record and one.record.purpose == "saving"]) == 1
    clock.sleep(2 * 3600)
    collect(vault.handle)
    assert not [one for one in seen_leases(vault.handle) if one.record and one.record.purpose == "saving"]


def test_a_save_relies_on_nothing_that_is_condemned(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    source = write(tmp_path, 1)
    first = vault.save("run", source).root
    doomed = keys(trial, PACKS) | keys(trial, PARTS)
    condemn(vault.handle, doomed)
    second = trial.open().save("run", source).root
    assert second.stats["dedup"] == 0 and second.parts != first.parts
    drop(vault, first.id)
    clock.sleep(2 * DAY)
    assert collect(vault.handle).deleted.objects == len(doomed)
    every_snapshot_restores(trial.open(), {second.id: read_tree(source)}, tmp_path / "scratch")
    check_is_clean(trial.open())


def test_what_is_reached_again_is_rescued(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    saved = vault.save("run", write(tmp_path, 1)).root
    wrongly = keys(trial, PACKS) | keys(trial, PARTS)
    condemn(vault.handle, wrongly)
    clock.sleep(2 * DAY)
    report = collect(vault.handle)
    assert report.rescued == len(wrongly) and not report.deleted.objects
    every_snapshot_restores(trial.open(), {saved.id: read_tree(tmp_path / "source1")}, tmp_path / "scratch")


def test_a_closed_collection_that_lists_what_is_needed(trial: TrialVault, tmp_path: Path) -> None:
    """Whoever said so, and whenever: what is needed is not deleted."""
    vault = trial.open()
    saved = vault.save("run", write(tmp_path, 1)).root
    wrongly = keys(trial, PACKS) | keys(trial, PARTS)
    condemn(vault.handle, wrongly)
    [collection] = read_trash(vault.handle).collections
    assert close(vault.handle, collection, wrongly)
    report = collect(vault.handle)
    assert len(report.notes) == len(wrongly) and not report.deleted.objects
    every_snapshot_restores(trial.open(), {saved.id: read_tree(tmp_path / "source1")}, tmp_path / "scratch")


def test_a_rescue_and_a_closing_exclude_each_other(trial: TrialVault) -> None:
    handle = trial.open().handle
    name = "packs/" + "ab/" + "ab" * 32
    other = "parts/" + "cd" * 32
    condemn(handle, [name, other])
    [seen] = read_trash(handle).collections
    assert rescue(handle, read_trash(handle), [name]) == frozenset()
    assert not close(handle, seen, [name, other]), "it was rescued after that was read"
    [seen] = read_trash(handle).collections
    assert seen.keys == {other}
    assert close(handle, seen, [other])
    assert rescue(handle, read_trash(handle), [name, other]) == {other}


def test_packs_that_are_mostly_dead_are_rewritten(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    source = write(tmp_path, 1, files=10)
    first = vault.save("run", source).root
    for number in range(1, 10):
        (source / f"{number}.bin").unlink()
    second = vault.save("run", source).root
    vault.verify(second.id, accept_findings=True)
    old = keys(trial, PACKS)
    drop(vault, first.id)
    clock.sleep(DAY + 1)
    report = collect(vault.handle)
    assert report.rewritten.objects == 1 and report.rewrite_frees > 150_000
    assert collect(vault.handle).rewritten.objects == 0, "once is enough"
    clock.sleep(DAY + 1)
    collect(vault.handle)
    assert not old & keys(trial, PACKS)
    every_snapshot_restores(trial.open(), {second.id: read_tree(source)}, tmp_path / "scratch")
    check_is_clean(trial.open())


@pytest.mark.parametrize("is_good", [True, False])
def test_of_two_packs_with_the_same_one_goes_if_the_other_is_good(
    trial: TrialVault, tmp_path: Path, clock: ManualClock, is_good: bool
) -> None:
    vault = trial.open()
    source = write(tmp_path, 1)
    saved = vault.save("run", source).root
    [first] = keys(trial, PACKS)
    condemn(vault.handle, [first])  # so that it is stored once more
    again = trial.open().save("copy", source).root
    rescue(vault.handle, read_trash(vault.handle), [first])
    [second] = keys(trial, PACKS) - {first}
    if not is_good:
        damaged = bytearray(trial.store.get(second))
        damaged[2000] ^= 1
        trial.store.put(second, bytes(damaged))
    clock.sleep(DAY + 1)
    collect(vault.handle)
    clock.sleep(DAY + 1)
    collect(vault.handle)
    left = keys(trial, PACKS)
    # Without encryption, a pack with a salt is larger than one without.
    assert len(left) == 1 if is_good else left >= {first}
    trees = {saved.id: read_tree(source), again.id: read_tree(source)}
    every_snapshot_restores(trial.open(), trees, tmp_path / "scratch")


def test_a_root_that_cannot_be_read_stops_it(trial: TrialVault, tmp_path: Path, clock: ManualClock) -> None:
    vault = trial.open()
    vault.save("run", write(tmp_path, 1))
    [key] = keys(trial, "snapshots/")
    trial.store.put(key, ended_otherwise(trial.store.get(key)))
    clock.sleep(2 * DAY)
    with pytest.raises(RefusedError, match="nothing is collected") as caught:
        collect(trial.open().handle)
    assert caught.value.hint and "give-up" in caught.value.hint
    mistyped = key + "0"
    report = collect(trial.open().handle, CollectOptions(FULL, give_up=frozenset([key, mistyped])))
    assert report.condemned.objects > 0
    assert report.notes == [f"{mistyped} was not given up: it can be read, or is not there"]


def test_only_keepers_collect(trial: TrialVault) -> None:
    writer = admit_writer(trial.open().handle, "trainer")
    with pytest.raises(CredentialError):
        collect(trial.open(writer).handle)


def test_small_index_objects_are_put_together(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    for seed in range(65):
        vault.save("run", write(tmp_path, seed, files=1, size=100), verify=False)
    report = collect(vault.handle, CollectOptions(FULL, rewrite_below=0))
    assert report.index_removed == 65 and len(keys(trial, INDEX)) == 1
    fresh = trial.open()
    assert fresh.save("run", tmp_path / "source3", verify=False).root.stats["new_chunks"] == 0
    check_is_clean(trial.open())
