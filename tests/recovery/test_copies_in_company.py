"""Copies to one target while others copy to it, lose something there, or move its pointers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from holdfast.replication.copying.lanes import NORMAL, Lane
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.names import PACKS
from holdfast.vault.snapshots.refs import read_newest_ref

ASSET = "run"


class Interrupted(MemoryStore):
    """Calls a function once, when the first pack has been written."""

    then: Callable[[], object] | None = None

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        info = super().put(key, data)
        then = self.then
        if key.startswith(PACKS) and then is not None:
            self.then = None
            then()
        return info


def tagged(trial: TrialVault, name: str) -> str:
    found = read_newest_ref(trial.open().handle, ASSET, name)
    assert found is not None
    return found.target


def test_what_was_lost_since_it_landed_is_sent_again_beside_another_copy() -> None:
    trial = new_trial_vault(MemoryStore())
    vault = trial.open()
    vault.save(ASSET, {"x": 1})
    site, lane = MemoryStore(), Lane()
    with lane.copying(NORMAL):  # others go on all the time
        replicate(vault.handle, site, lane=lane)
        for info in list(site.list(PACKS)):
            site.delete(info.key)
        assert replicate(vault.handle, site, lane=lane).arrived
    check_is_clean(TrialVault(site, trial.keeper).open())


def test_two_sources_that_moved_a_pointer_settle_it_when_they_copy_at_once() -> None:
    trial = new_trial_vault(MemoryStore())
    vault = trial.open()
    earlier, later = vault.save(ASSET, {"x": 1}).root.id, vault.save(ASSET, {"x": 2}).root.id
    other = TrialVault(MemoryStore(), trial.keeper)
    replicate(vault.handle, other.store)
    vault.tag(earlier, "prod")
    other.open().tag(later, "prod")
    other.open().save("another", {"x": 3})
    site, lane = Interrupted(), Lane()

    def copy() -> None:
        replicate(vault.handle, site, asset=ASSET, lane=lane)

    def beside() -> None:
        thread = threading.Thread(target=copy)
        thread.start()
        thread.join(20)

    site.then = beside
    replicate(other.open().handle, site, lane=lane)
    assert tagged(TrialVault(site, trial.keeper), "prod") == later


def test_a_pointer_that_is_moved_there_while_packs_are_on_their_way_stays() -> None:
    trial = new_trial_vault(MemoryStore())
    vault = trial.open()
    first, second = vault.save(ASSET, {"x": 1}).root.id, vault.save(ASSET, {"x": 2}).root.id
    vault.tag(first, "prod")
    site = Interrupted()
    replicate(vault.handle, site)
    dropped = vault.save(ASSET, {"x": 3}).root.id
    vault.tag(dropped, "prod")
    vault.tag(first, "prod")
    vault.save(ASSET, {"x": 4})
    vault.apply_drop(vault.plan_drop(dropped))  # so the series is written from its end
    there = TrialVault(site, trial.keeper)
    site.then = lambda: there.open().tag(second, "prod")
    replicate(vault.handle, site)
    assert tagged(there, "prod") == second


def test_many_pointers_are_copied_side_by_side() -> None:
    trial = new_trial_vault(MemoryStore())
    vault = trial.open()
    root = vault.save(ASSET, {"x": 1}).root
    for number in range(100):
        vault.tag(root.id, f"tag {number}")
    site = MemoryStore()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        replicate(vault.handle, site)
    finally:
        sys.setswitchinterval(before)
    assert len(TrialVault(site, trial.keeper).open().tags(ASSET)) >= 101


@pytest.fixture(autouse=True)
def _own_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp(name)))
