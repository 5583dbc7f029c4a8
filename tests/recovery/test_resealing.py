"""Old packs move into the newest epoch: all restores at every moment, and old keys open them no more once collected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import CredentialError, HoldfastError, UsageError, WrongKeyError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import TreeState, check_is_clean, every_snapshot_restores, next_save_works, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_reader, admit_writer, rotate_epoch
from holdfast.vault.access.recipients import remove_recipient
from holdfast.vault.access.resealing import Resealed, reseal
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import FULL, NONE
from holdfast.vault.format.header import Header
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS
from holdfast.vault.vault import Vault, open_vault

from .sample_vault import ASSET, train, write_state

Expected = dict[str, TreeState]


class World:
    """A vault with three snapshots, deltas among them, by a keeper and a writer; then a contractor goes, and keys are
    new.
    """

    def __init__(self, folder: Path) -> None:
        self.trial: TrialVault = new_trial_vault(MemoryStore(), pack_bytes=24 << 10)
        self.contractor: Credential = admit_reader(self.trial.open().handle, "contractor")
        self.writer: Credential = admit_writer(self.trial.open().handle, "gpu-1")
        self.source = folder / "source"
        self.source.mkdir()
        write_state(self.source, seed=1)
        self.expected: Expected = {}
        for step, credential in enumerate((None, self.writer, None)):
            report = self.trial.open(credential).save(ASSET, self.source, step=step)
            self.expected[report.root.id] = read_tree(self.source)
            train(self.source, seed=step)
        self.held: Vault = open_vault(self.trial.store, self.contractor)
        remove_recipient(self.trial.open().handle, "contractor")
        rotate_epoch(self.trial.open().handle)

    def reseal(self, **options: Any) -> Resealed:
        return reseal(self.trial.open().handle, **{"safety": NONE, **options})

    def collect(self) -> None:
        collect(self.trial.open().handle, CollectOptions(safety=NONE))

    def epochs(self, prefix: str = PACKS) -> set[int]:
        store = self.trial.store
        return {Header.parse(store.get(info.key), info.key).epoch for info in store.list(prefix)}

    def require_whole(self, folder: Path) -> None:
        every_snapshot_restores(self.trial.open(), self.expected, folder)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_content_is_out_of_reach_of_old_keys(world: World, tmp_path: Path) -> None:
    every_snapshot_restores(world.held, world.expected, tmp_path / "before")
    report = world.reseal()
    assert report.packs == report.condemned > 2 and not report.left and not report.young
    assert abs(report.written - report.bytes) < report.bytes / 10 + 20_000
    world.require_whole(tmp_path / "resealed")
    assert world.epochs() == {1, 2}, "nothing is deleted by it: that is a collection's to do"
    world.collect()
    assert world.epochs() == {2}
    world.require_whole(tmp_path / "collected")
    check_is_clean(world.trial.open())
    for snapshot in world.expected:
        with pytest.raises(HoldfastError):
            world.held.restore(snapshot, tmp_path / "stolen" / snapshot)
    next_save_works(world.trial.open(), ASSET, world.source, tmp_path / "next")
    again = world.reseal()
    assert (again.packs, again.written, again.condemned) == (0, 0, 0)


def test_what_stays_behind_is_counted_and_still_opens_with_old_keys(world: World) -> None:
    """Roots and parts: names and statistics. Said in the report, in the command's output and in docs/keys.md."""
    report = world.reseal()
    world.collect()
    documents = [info for prefix in (SNAPSHOTS, PARTS) for info in world.trial.store.list(prefix)]
    assert report.documents >= len(documents) and report.document_bytes >= sum(info.size for info in documents)
    assert world.epochs(SNAPSHOTS) == world.epochs(PARTS) == {1}
    roots = [one.root for one in world.held.snapshots() if one.root]
    assert {root.id for root in roots} == set(world.expected)
    assert all(world.held.files(root) for root in roots), "file names are told"


def test_a_dry_run_tells_the_bytes_and_writes_nothing(world: World) -> None:
    before = contents_of(world.trial.store)
    planned = world.reseal(dry_run=True)
    assert contents_of(world.trial.store) == before
    done = world.reseal()
    assert (planned.packs, planned.bytes) == (done.packs, done.bytes) and planned.dry_run and planned.bytes > 0
    assert (planned.written, planned.condemned) == (0, 0)
    ahead = world.reseal(dry_run=True, after_rotation=True)
    assert ahead.epoch == 3 and ahead.bytes > planned.bytes / 2, "the new packs are of an earlier epoch then"


def test_young_packs_wait(world: World) -> None:
    """A program without leases may be about to refer to what lies in them."""
    report = world.reseal(safety=FULL)
    assert (report.packs, report.condemned, report.written) == (0, 0, 0)
    assert report.young > 2 and report.young_bytes > 0


class Stopped(BaseException):
    """As if somebody pulled the plug."""


@pytest.mark.parametrize("after", [1, 4, 7, 16])
def test_stopped_and_taken_up_again(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stopped after so many writes; then all restores, and the next run ends it with no pack left over."""
    writes = 0
    methods: dict[str, Callable[..., Any]] = {name: getattr(MemoryStore, name) for name in ("put", "create")}

    def stopping(name: str) -> Callable[..., Any]:
        def method(store: MemoryStore, *arguments: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes > after:
                raise Stopped
            return methods[name](store, *arguments)

        return method

    with monkeypatch.context() as patched:
        for name in methods:
            patched.setattr(MemoryStore, name, stopping(name))
        with pytest.raises(Stopped):
            world.reseal(batch_bytes=30_000)
    world.require_whole(tmp_path / "stopped")
    for info in list(world.trial.store.list("leases/")):  # an hour later
        world.trial.store.delete(info.key)
    world.reseal(batch_bytes=30_000)
    world.require_whole(tmp_path / "resealed")
    world.collect()
    assert world.epochs() == {2}
    world.require_whole(tmp_path / "collected")
    check_is_clean(world.trial.open())


def test_what_was_copied_before_is_not_copied_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the new packs and the condemnation."""

    def stop(*arguments: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.vault.access.resealing.condemn", stop)
        with pytest.raises(Stopped):
            world.reseal()
    for info in list(world.trial.store.list("leases/")):
        world.trial.store.delete(info.key)
    report = world.reseal()
    assert report.condemned == report.packs > 2 and report.written == 0


def test_a_damaged_pack_stays_and_is_named(world: World, tmp_path: Path) -> None:
    store = world.trial.store
    victim = max(store.list(PACKS), key=lambda info: info.size).key
    good = store.get(victim)
    store.delete(victim)
    store.put(victim, good[:3_000] + bytes([good[3_000] ^ 1]) + good[3_001:])
    report = world.reseal()
    # Packs with deltas to what lies in it cannot be checked either, and stay, too.
    assert victim in report.left and report.condemned == report.packs - len(report.left) > 0
    store.delete(victim)
    store.put(victim, good)
    world.reseal()
    world.collect()
    assert world.epochs() == {2}
    world.require_whole(tmp_path / "mended")


def test_a_save_meanwhile_is_not_harmed(world: World, tmp_path: Path) -> None:
    """It deduplicates against packs that are being condemned: by the trash it knows; its lease is waited for."""
    running = world.trial.open()
    running.snapshots()
    world.reseal()
    report = running.save(ASSET, world.source, step=9)
    world.expected[report.root.id] = read_tree(world.source)
    world.collect()
    world.require_whole(tmp_path / "out")
    check_is_clean(world.trial.open())


def test_who_may_not(world: World) -> None:
    handle = world.trial.open().handle
    for credential in (world.writer, admit_reader(handle, "auditor")):
        with pytest.raises(CredentialError):
            reseal(open_vault(world.trial.store, credential).handle)
    with pytest.raises(UsageError, match="not encrypted"):
        reseal(new_trial_vault(MemoryStore(), encrypted=False).open().handle)
    stale = world.trial.open().handle
    rotate_epoch(world.trial.open().handle)
    with pytest.raises(WrongKeyError, match="new epoch"):
        reseal(stale)
