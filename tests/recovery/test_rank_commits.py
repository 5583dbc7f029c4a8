"""A save of many ranks: one snapshot, whoever makes it; none, where a rank died before it had announced its share."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import ConflictError, NotFoundError, RefusedError, StorageFullError, StoreUnreachableError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.training.committing import rank_save
from holdfast.training.committing.assembling import assemble_on
from holdfast.training.committing.settling import settle_saves
from holdfast.vault.access.members import admit_writer
from holdfast.vault.collecting.collect import collect
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.format.names import PACKS, PARTS, SAVES
from holdfast.vault.format.records import Root
from holdfast.vault.saving.announcing import read_announcements
from holdfast.vault.saving.validation import Policy
from holdfast.vault.vault import Vault

from .rank_worlds import ASSET, Ranks, arrays_of

DAY = 24 * 3600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(request: pytest.FixtureRequest, clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), encrypted=getattr(request, "param", True), clock=clock)


PLAIN_TOO = pytest.mark.parametrize("trial", [True, False], ids=["encrypted", "plain"], indirect=True)


@pytest.fixture
def ranks(trial: TrialVault) -> Ranks:
    return Ranks(trial)


def snapshots(trial: TrialVault) -> list[Root]:
    return [one.root for one in trial.open().snapshots() if one.root is not None]


def holds(vault: Vault, reference: str, world: int, step: int) -> None:
    found = vault.load(reference)
    for rank in range(world):
        [(name, array)] = arrays_of(rank, step).items()
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def all_goes(trial: TrialVault, clock: ManualClock) -> None:
    """What no snapshot needs is collected, however long that takes."""
    for _ in range(4):
        clock.sleep(DAY + 3601)
        collect(trial.open().handle)


@PLAIN_TOO
def test_the_ranks_make_one_snapshot(trial: TrialVault, ranks: Ranks) -> None:
    saves = ranks.all_announced(step=5, meta={"run": "a"}, tags=("best",))
    assert not snapshots(trial)
    done = [save.finish(1.0) for save in saves]
    assert [one.is_new for one in done] == [True, False, False]
    assert len({one.snapshot for one in done}) == 1
    [root] = snapshots(trial)
    assert (root.step, root.meta, len(root.parts), root.validation.verdict) == (5, {"run": "a"}, 4, "good"), (
        "one part of each rank, and the folder"
    )
    vault = trial.open()
    assert {name: ref.target for name, ref in vault.tags(ASSET).items()} == dict.fromkeys(
        ("latest", "validated", "best"), root.id
    )
    holds(vault, ASSET, 3, 5)
    check_is_clean(vault)


def test_whoever_makes_it_makes_the_same(trial: TrialVault, ranks: Ranks) -> None:
    saves = ranks.all_announced(step=1)
    roots = []
    for save in saves:
        root = save.look()
        assert root is not None and root.root is not None
        roots.append(msgspec.structs.replace(root.root, writer=""))
        trial.store.delete(trial.open().handle.keys.names.snapshot_key(ASSET, root.snapshot))
    assert roots[0] == roots[1] == roots[2]


def test_of_those_who_make_it_at_once_one_does(trial: TrialVault, ranks: Ranks) -> None:
    saves = ranks.all_announced(step=1)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda save: save.finish(1.0), saves))
    assert sum(one.is_new for one in done) == 1
    assert len(snapshots(trial)) == 1


def test_one_that_is_late_is_waited_for_and_one_that_never_comes_is_not(ranks: Ranks, trial: TrialVault) -> None:
    first, second, third = ranks.terms()
    saves = [ranks.announced(first, 1), ranks.announced(second, 1)]
    assert saves[0].look() is None
    with pytest.raises(RefusedError, match="not complete"):
        saves[0].finish(5.0)
    ranks.announced(third, 1)
    assert saves[1].finish(5.0).is_new, "the one that waited no longer keeps nobody from finishing"
    assert len(snapshots(trial)) == 1


@pytest.mark.parametrize("point", range(1, 40, 4))
def test_a_rank_that_dies_anywhere_leaves_nothing_to_be_seen(
    point: int, trial: TrialVault, ranks: Ranks, clock: ManualClock, tmp_path: Path
) -> None:
    """After each write or other request of its save: until its announcement is there, there is no snapshot."""
    before = ranks.all_announced(step=1)
    whole = before[0].finish(1.0)
    terms = ranks.terms()
    for one in terms[:2]:
        ranks.announced(one, 2)
    store = FaultyStore(trial.store, Faults().stop_after(point))
    with suppress(Crash):
        ranks.announced(terms[2], 2, store=store)
    announced = any(info.key == f"{SAVES}{terms[2].save}/{2:010d}" for info in trial.store.list(SAVES))
    assert [root.id for root in snapshots(trial)] == [whole.snapshot]
    settled = settle_saves(trial.open(), ASSET)
    assert [one.step for one in settled] == ([2] if announced else [])
    after = ranks.all_announced(step=3)[1].finish(1.0)
    assert len(snapshots(trial)) == (3 if announced else 2)
    all_goes(trial, clock)
    assert not list(trial.store.list(SAVES)), "announcements of saves that are over are collected"
    check_is_clean(trial.open())
    holds(trial.open(), whole.snapshot, 3, 1)
    holds(trial.open(), after.snapshot, 3, 3)


def test_the_points_reach_behind_the_announcement(trial: TrialVault, ranks: Ranks) -> None:
    """Else the test above would show nothing of what comes after it."""
    terms = ranks.terms()
    faults = Faults()
    store = FaultyStore(trial.store, faults)
    ranks.announced(terms[2], 2, store=store)
    verbs = [(one.verb, one.key.partition("/")[0]) for one in store.log]
    assert ("create", "saves") in verbs[:39]


@PLAIN_TOO
def test_an_abandoned_share_is_collected_and_one_in_flight_is_not(
    trial: TrialVault, ranks: Ranks, clock: ManualClock
) -> None:
    terms = ranks.terms()
    ranks.announced(terms[0], 1)
    stored = {info.key for prefix in (PACKS, PARTS) for info in trial.store.list(prefix)}
    assert stored
    report = collect(trial.open().handle)
    assert not report.condemned.objects and not report.announcements_removed
    assert stored <= {info.key for info in trial.store.list("")}
    all_goes(trial, clock)
    left = {info.key for info in trial.store.list("")}
    assert not stored & left and not any(key.startswith(SAVES) for key in left)
    assert not snapshots(trial)


def test_the_coordinator_dies_and_another_finishes(trial: TrialVault, ranks: Ranks) -> None:
    saves = ranks.all_announced(step=4)
    del saves[0]
    assembled = saves[1].look()
    assert assembled is not None and assembled.is_new and assembled.latest and assembled.validated
    holds(trial.open(), f"{ASSET}@validated", 3, 4)


@PLAIN_TOO
def test_all_ranks_die_and_the_next_run_or_a_keeper_finishes(trial: TrialVault) -> None:
    writer = admit_writer(trial.open().handle, "trainer")
    ranks = Ranks(trial, 3, dict.fromkeys(range(3), writer))
    ranks.all_announced(step=4)
    [settled] = settle_saves(trial.open(writer), ASSET)
    assert settled.step == 4
    ranks.all_announced(step=5)
    assert not settle_saves(trial.open(), "another asset")
    assert [one.step for one in settle_saves(trial.open())] == [5]
    assert not settle_saves(trial.open())
    holds(trial.open(), f"{ASSET}@step=5", 3, 5)


def test_one_who_dies_between_root_and_pointers_leaves_them_to_others(trial: TrialVault, ranks: Ranks) -> None:
    first = ranks.all_announced(step=1)[0].finish(1.0)
    saves = ranks.all_announced(step=2)
    store = FaultyStore(trial.store, Faults().fail("create", matching="refs/*"))
    vault = trial.open(store=store)
    announced = read_announcements(vault.handle, saves[0].terms.save, saves[0].terms.secret)
    assert announced is not None
    with HeldLease(vault.handle, "saving") as lease, pytest.raises(StoreUnreachableError, match="scripted fault"):
        assemble_on(vault, announced, lease)
    assert trial.open().find(f"{ASSET}@latest").id == first.snapshot
    done = saves[2].finish(1.0)
    assert not done.is_new and done.latest and done.validated
    assert trial.open().find(f"{ASSET}@latest").id == done.snapshot


def until(happens: Callable[[], bool]) -> bool:
    """Whether it happens within half a minute."""
    for _ in range(3000):
        if happens():
            return True
        time.sleep(0.01)
    return False


def test_a_deputy_finishes_by_itself(trial: TrialVault, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody calls it: the thread of a rank that lives does it, and gives its lease back."""
    monkeypatch.setattr(rank_save, "_TAKEOVER_S", 0.02)
    terms = ranks.terms()
    saves = [ranks.announced(one, 4) for one in terms[:2]]
    saves[1].watch()
    time.sleep(0.2)
    assert not snapshots(trial), "one has not announced yet"
    ranks.announced(terms[2], 4)
    assert until(lambda: saves[1].assembled is not None and not saves[1]._held)
    assert saves[1].assembled is not None and saves[1].assembled.is_new
    holds(trial.open(), f"{ASSET}@validated", 3, 4)


def test_leases_end_with_the_deadline(trial: TrialVault, ranks: Ranks, clock: ManualClock) -> None:
    before = {one.session for one in seen_leases(trial.open().handle) if not one.is_over}
    save = ranks.announced(ranks.terms()[0], 4)
    assert len({one.session for one in seen_leases(trial.open().handle) if not one.is_over} - before) == 1
    clock.sleep(1801)
    save.watch()
    assert until(lambda: not save._held)
    assert {one.session for one in seen_leases(trial.open().handle) if not one.is_over} == before


def test_after_the_deadline_no_snapshot_is_made(trial: TrialVault, clock: ManualClock) -> None:
    ranks = Ranks(trial, deadline_s=60.0)
    saves = ranks.all_announced(step=1)
    clock.sleep(61)
    with pytest.raises(RefusedError, match="abandoned"):
        saves[1].finish(1.0)
    assert not settle_saves(trial.open())
    with pytest.raises(RefusedError, match="in time"):
        late = ranks.stored(ranks.terms()[0], 1)
        clock.sleep(61)
        late.announce("folder", "ranks")


@pytest.mark.parametrize("ended", [True, False], ids=["given-back", "expired"])
def test_what_no_lease_keeps_is_not_relied_upon(trial: TrialVault, clock: ManualClock, ended: bool) -> None:
    """A rank's lease is over: what it stored, or what its share relies on, may have been collected."""
    ranks = Ranks(trial, deadline_s=2400.0)
    saves = ranks.all_announced(step=1)
    if ended:
        saves[2].release()
    else:  # a writer whose clock stands still: its deadline says nothing, the store's time does
        for save in saves:
            save._over.set()
        handle = trial.open().handle
        clock.sleep(2399)
        assert collect(handle).announcements_removed == 0
        clock.sleep(400)
        saves[0]._deadline += 10**13
        for save in saves:
            object.__setattr__(save.terms, "deadline_s", 10**6)
    with pytest.raises(RefusedError, match="abandoned"):
        saves[0]._assemble(saves[0]._announced())  # type: ignore[arg-type]
    assert not snapshots(trial)


def test_findings_of_any_rank_keep_it_from_validated(trial: TrialVault, ranks: Ranks) -> None:
    good = ranks.all_announced(step=1)[0].finish(1.0)
    terms = ranks.terms()
    bad = arrays_of(1, 2)
    bad["layer1.weight"][3, 4] = np.nan
    saves = [ranks.announced(one, 2, arrays=bad if one.rank == 1 else None) for one in terms]
    done = saves[0].finish(1.0)
    assert done.root is not None and done.root.validation.verdict == "warned"
    assert [finding.check for finding in done.root.validation.findings] == ["non-finite"]
    assert done.latest and not done.validated
    assert trial.open().find(f"{ASSET}@validated").id == good.snapshot
    with pytest.raises(RefusedError, match="NaN"):
        ranks.stored(ranks.terms()[1], 3, arrays=bad, policy=Policy.REFUSE)


def test_no_pointer_moves_before_the_copies_are_there(trial: TrialVault, ranks: Ranks) -> None:
    seen: list[str] = []

    def wait(root: Root) -> None:
        seen.append(root.id)
        with pytest.raises(NotFoundError):
            trial.open().find(f"{ASSET}@validated")
        raise ConflictError("no quorum")

    saves = ranks.all_announced(step=1, committed=wait)
    with pytest.raises(ConflictError, match="no quorum"):
        saves[0].finish(1.0)
    assert len(seen) == 1 and not trial.open().tags(ASSET)


def test_a_disk_that_is_full_ends_the_save_of_one_and_makes_no_snapshot(trial: TrialVault, ranks: Ranks) -> None:
    terms = ranks.terms()
    saves = [ranks.announced(one, 1) for one in terms[:2]]
    with pytest.raises(StorageFullError):
        ranks.stored(terms[2], 1, store=Faults().fill_up_after(12_000).over(trial.store))
    with pytest.raises(RefusedError, match="not complete"):
        saves[0].finish(3.0)
    assert not snapshots(trial)
    assert ranks.all_announced(step=2)[0].finish(1.0).is_new


def test_listings_that_lag_are_waited_for(trial: TrialVault, ranks: Ranks) -> None:
    terms = ranks.terms()
    faults = Faults(clock=trial.clock).list_late(seconds=4.0, matching="saves/*")
    store = faults.over(trial.store)
    saves = [ranks.announced(one, 1, store=store) for one in terms]
    assert saves[0].look() is None
    assert saves[0].finish(30.0).is_new


def test_a_rank_remembers_its_own_share(trial: TrialVault, ranks: Ranks, tmp_path: Path) -> None:
    """The second save of the same bytes stores none of them again, with a key that cannot read, either."""
    writer = admit_writer(trial.open().handle, "trainer")
    for credentials in (None, dict.fromkeys(range(3), writer)):
        group = Ranks(trial, 3, credentials)
        same = {rank: arrays_of(rank, 77) for rank in range(3)}
        group_first = [group.announced(one, 1, arrays=same[one.rank]) for one in group.terms()]
        group_first[0].finish(1.0)
        again = [group.announced(one, 2, arrays=same[one.rank]) for one in group.terms()]
        assert all(save.share is not None and save.share.stats["new_chunks"] == 0 for save in again)
        again[0].finish(1.0)
    every_snapshot_restores(trial.open(), {}, tmp_path / "out")
