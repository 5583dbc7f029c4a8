"""A copy into a vault where what it brings is being collected."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import ManualClock
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.faults import WRITING_VERBS, Faults
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.collecting.trash import close, condemn, read_trash
from holdfast.vault.format.names import INDEX, PACKS, PARTS, REFS, SNAPSHOTS

DAY = 24 * 3600.0


class Sites:
    """A vault with one snapshot, and a replica where that snapshot was dropped: all its objects are garbage there."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.clock = ManualClock()
        self.trial = new_trial_vault(MemoryStore(self.clock), encrypted=encrypted, clock=self.clock)
        self.target = MemoryStore(self.clock, name="replica")
        self.there = TrialVault(self.target, self.trial.keeper, self.clock)
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "a.bin").write_bytes(random.Random(1).randbytes(50_000))
        self.saved = self.trial.open().save("run", self.source).root
        self.copy()
        for prefix in (REFS, SNAPSHOTS):
            for info in list(self.target.list(prefix)):
                self.target.delete(info.key)
        self.garbage = self.keys(PACKS) | self.keys(PARTS)

    def keys(self, prefix: str) -> set[str]:
        return {info.key for info in self.target.list(prefix)}

    def copy(self) -> list[str]:
        return list(replicate(self.trial.open().handle, self.target).arrived)

    def check(self, scratch: Path) -> None:
        every_snapshot_restores(self.there.open(), {self.saved.id: read_tree(self.source)}, scratch)
        check_is_clean(self.there.open())


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def sites(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sites:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return Sites(tmp_path, encrypted=request.param)


def test_what_is_condemned_is_rescued(sites: Sites, tmp_path: Path) -> None:
    sites.clock.sleep(DAY + 1)
    assert collect(sites.there.open().handle).condemned.objects == len(sites.garbage) > 1
    assert sites.copy() == [sites.saved.id]
    assert not read_trash(sites.there.open().handle).keys
    sites.clock.sleep(DAY + 1)
    assert not collect(sites.there.open().handle).deleted.objects
    sites.check(tmp_path / "scratch")


def test_what_is_being_deleted_comes_the_next_time(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = sites.there.open().handle
    condemn(handle, sites.garbage)
    [collection] = read_trash(handle).collections
    assert close(handle, collection, sites.garbage)
    notes = NoteTaker()
    done = replicate(sites.trial.open().handle, sites.target, progress=notes)
    assert not done.arrived and done.left_out == [sites.saved.id]
    assert any("being collected" in note for note in notes.notes)
    assert not sites.keys(SNAPSHOTS)
    sites.clock.sleep(3 * 3600)
    report = collect(handle, CollectOptions(NONE))
    assert report.deleted.objects == len(sites.garbage) and not sites.garbage & sites.keys(PACKS)
    assert sites.copy() == [sites.saved.id]
    sites.check(tmp_path / "scratch")


def test_a_copy_that_finds_everything_there_writes_nothing(sites: Sites) -> None:
    sites.copy()
    watched = FaultyStore(sites.target, Faults())
    assert list(replicate(sites.trial.open().handle, watched).arrived) == [sites.saved.id]
    assert not [operation for operation in watched.log if operation.verb in WRITING_VERBS]


class _Meanwhile:
    """A store where something happens before the first `get` below a prefix."""

    def __init__(self, store: Store, prefix: str, act: Callable[[], object]) -> None:
        self._store, self._prefix, self._acts = store, prefix, [act]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, key: str) -> bytes:
        if self._acts and key.startswith(self._prefix):
            self._acts.pop()()
        return self._store.get(key)


@pytest.mark.parametrize("prefix", [PACKS, INDEX, PARTS])
def test_a_mirror_of_what_is_being_collected_calls_it_no_damage(sites: Sites, tmp_path: Path, prefix: str) -> None:
    vault = sites.trial.open()
    trees = {sites.saved.id: read_tree(sites.source)}
    shared = (sites.source / "a.bin").read_bytes()
    (sites.source / "a.bin").write_bytes(random.Random(2).randbytes(50_000))
    doomed = vault.save("run", sites.source).root
    (sites.source / "a.bin").write_bytes(shared)
    kept = vault.save("run", sites.source).root
    trees[kept.id] = read_tree(sites.source)
    vault.apply_drop(vault.plan_drop(doomed.id))
    source = _Meanwhile(sites.trial.store, prefix, lambda: collect(sites.trial.open().handle, CollectOptions(NONE)))
    target = MemoryStore(sites.clock, name="mirror")
    done = mirror(source, target)
    assert not done.damaged and not done.left_out
    there = TrialVault(target, sites.trial.keeper, sites.clock)
    every_snapshot_restores(there.open(), trees, tmp_path / "scratch")


def test_a_mirror_sends_no_pointers_while_snapshots_are_dropped(sites: Sites) -> None:
    vault = sites.trial.open()
    vault.save("run", sites.source)

    def drop() -> None:
        again = sites.trial.open()
        again.apply_drop(again.plan_drop(sites.saved.id))

    target = MemoryStore(sites.clock, name="mirror")
    done = mirror(_Meanwhile(sites.trial.store, PACKS, drop), target)
    assert not done.damaged and any("dropped meanwhile" in note for note in done.notes)
    assert not list(target.list(REFS))
    done = mirror(sites.trial.store, target)
    assert not done.notes and list(target.list(REFS))
