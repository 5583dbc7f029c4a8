"""A crash after each single operation on a store: what was there before is whole, and the next attempt goes through."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import HoldfastError, RefusedError
from holdfast.replication.copying import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.damage import contents_of, put_back
from holdfast.testing.faults import WRITING_VERBS, Crash, Faults
from holdfast.testing.invariants import (
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.vault import open_vault

from .sample_vault import ASSET, train, write_state

WRITES = " ".join(WRITING_VERBS)


class Before(NamedTuple):
    """A vault with two snapshots (the newer one neither validated nor tagged), and the source of a third."""

    trial: TrialVault
    contents: dict[str, bytes]
    expected: Mapping[str, TreeState]
    source: Path
    state: Path

    def rewind(self) -> None:
        """Store and memory as they were: as if the crash before had never been."""
        put_back(self.trial.store, self.contents)
        shutil.rmtree(self.state.parent / "state")
        shutil.copytree(self.state, self.state.parent / "state")


@pytest.fixture
def before(tmp_path: Path, source: Path) -> Before:
    trial = new_trial_vault(MemoryStore(), pack_bytes=24 << 10)
    write_state(source, seed=1)
    expected = {trial.open().save(ASSET, source, step=1, tags=["kept"]).root.id: read_tree(source)}
    train(source, seed=1)
    expected[trial.open().save(ASSET, source, step=2, verify=False).root.id] = read_tree(source)
    train(source, seed=2)
    shutil.copytree(tmp_path / "state", tmp_path / "state before")
    return Before(trial, contents_of(trial.store), expected, source, tmp_path / "state before")


def crashes(store: Store, work: Callable[[Store], object], verbs: str = WRITES) -> Iterator[int]:
    """Runs `work` again and again, each time dying one operation later; ends when it got through."""
    for count in range(1, 500):
        faults = Faults().stop_after(count, verbs)
        wrapped = FaultyStore(store, faults)
        try:
            work(wrapped)
        except Crash:
            yield count
        else:
            assert count > 1, "the work did not touch the store"
            return
    raise AssertionError("the work never ends")


def everything_holds(before: Before, scratch: Path, *, dropped: str = "") -> None:
    vault = before.trial.open()
    names_are_tidy(before.trial.store)
    check_is_clean(vault)
    pointers_resolve(vault, ASSET)
    left = {snapshot: tree for snapshot, tree in before.expected.items() if snapshot != dropped}
    every_snapshot_restores(vault, left, scratch)


def _series_of(key: str) -> str:
    """What a name says of its object beyond what is random in it."""
    kind, _, name = key.partition("/")
    return key if kind == "refs" else f"{kind} {len(name)}"


def test_a_crash_anywhere_in_saving(before: Before, tmp_path: Path) -> None:
    points, looked_at = 0, 0
    left_behind: set[tuple[str, ...]] = set()
    for _ in crashes(
        before.trial.store,
        lambda store: before.trial.open(store=store).save(ASSET, before.source, step=3, tags=["new"]),
        "*",
    ):
        points += 1
        new = contents_of(before.trial.store).keys() - before.contents.keys()
        kinds = tuple(sorted(map(_series_of, new)))
        if kinds not in left_behind:  # a crash after reading leaves what the last write left
            left_behind.add(kinds)
            everything_holds(before, tmp_path / "out")
            next_save_works(before.trial.open(), ASSET, before.source, tmp_path / "out")
            looked_at += 1
        before.rewind()
    assert points >= 30, "reading the parent, packs, index, parts, root, pointers, reading back"
    assert looked_at >= 7


def test_a_crash_anywhere_in_dropping(before: Before, tmp_path: Path) -> None:
    newest = max(before.expected)
    points = 0

    def drop(store: Store) -> None:
        vault = before.trial.open(store=store)
        vault.apply_drop(vault.plan_drop(newest))

    for _ in crashes(before.trial.store, drop):
        everything_holds(before, tmp_path / "out", dropped=newest)
        if any(newest in info.key for info in before.trial.store.list("snapshots/")):
            drop(before.trial.store)
        assert newest not in {one.root.id for one in before.trial.open().snapshots() if one.root}
        next_save_works(before.trial.open(), ASSET, before.source, tmp_path / "out")
        before.rewind()
        points += 1
    assert points == 2  # `latest` away from it, then the root


@pytest.mark.parametrize("how", ["replicate", "mirror"])
def test_a_crash_anywhere_in_copying(before: Before, tmp_path: Path, how: str) -> None:
    target = MemoryStore()
    points = 0

    def copy(store: Store) -> None:
        if how == "replicate":
            replicate(before.trial.open().handle, store)
        else:
            mirror(before.trial.store, store)

    for _ in crashes(target, copy):
        names_are_tidy(target)
        replica = before.trial.open(store=target)
        check_is_clean(replica)
        pointers_resolve(replica, ASSET)
        arrived = {one.root.id for one in replica.snapshots() if one.root}
        every_snapshot_restores(replica, {snapshot: before.expected[snapshot] for snapshot in arrived}, tmp_path)
        copy(target)
        every_snapshot_restores(before.trial.open(store=target), before.expected, tmp_path)
        put_back(target, {})
        points += 1
    assert points >= 10


def test_a_crash_anywhere_in_admitting_a_writer(before: Before, tmp_path: Path) -> None:
    for _ in crashes(
        before.trial.store, lambda store: admit_writer(before.trial.open(store=store).handle, "somebody"), "*"
    ):
        everything_holds(before, tmp_path / "out")
        before.rewind()


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_crash_anywhere_in_creating(passphrase: str | None) -> None:
    """Either there is no vault, and creating goes through; or it is there, and the key that was kept opens it."""
    store = MemoryStore()
    kept: list[Credential] = []

    def create(on: Store) -> None:
        create_vault(on, suite=Suite.HYBRID_1, label="", passphrase=passphrase, clock=SYSTEM_CLOCK, keep=kept.append)

    for _ in crashes(store, create, "*"):
        if not contents_of(store):
            continue
        assert open_vault(store, kept[-1]).snapshots() == []
        with pytest.raises(RefusedError):
            create(store)
        put_back(store, {})


def test_answers_that_are_lost(before: Before, tmp_path: Path) -> None:
    """A write takes effect and its answer is lost: the caller hears of a failure, and nothing is wrong."""
    heard = 0
    for number in range(1, 20):
        store = FaultyStore(before.trial.store, Faults().lose_answer("put create", at=number))
        try:
            before.trial.open(store=store).save(ASSET, before.source, step=3)
        except HoldfastError as error:
            assert error.retry
            heard += 1
        everything_holds(before, tmp_path / "out")
        next_save_works(before.trial.open(), ASSET, before.source, tmp_path / "out")
        before.rewind()
    assert heard >= 5, "packs, index, part, root, latest, validated"
