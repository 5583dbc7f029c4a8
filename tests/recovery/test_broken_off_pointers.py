"""A copy that is killed while it writes a pointer from its end: what it left is told for what it is, and mended."""

from __future__ import annotations

import pytest

from holdfast.errors import HoldfastError
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import check_is_clean, pointers_resolve
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.names import LEASES, REFS

ASSET = "run"


def test_a_gap_is_no_damage_while_the_copy_may_go_on() -> None:
    trial = new_trial_vault(MemoryStore())
    vault = trial.open()
    for step in range(6):
        vault.save(ASSET, {"step": step})
        if step:
            vault.apply_drop(vault.plan_drop(vault.snapshots(ASSET)[0].root.id))  # what the past leads to
    site = MemoryStore()
    faults = Faults()
    faults.fail("create", matching=f"{REFS}*", at=range(3, 50))
    # Killed: nobody gives the lease back.
    faults.fail("create", matching=f"{LEASES}*", at=range(2, 50))
    faults.fail("delete")
    with pytest.raises(HoldfastError):
        replicate(vault.handle, FaultyStore(site, faults))
    there = TrialVault(site, trial.keeper)
    report = there.open().check(read_data=True)
    assert not report.damages
    assert any("did not arrive yet" in note for note in report.notes)
    replicate(vault.handle, site)
    for info in list(site.list(LEASES)):
        site.delete(info.key)
    check_is_clean(there.open())
    assert not any("did not arrive" in note for note in there.open().check().notes)
    pointers_resolve(there.open(), ASSET)


def test_a_gap_that_no_copy_explains_is_damage() -> None:
    trial = new_trial_vault(MemoryStore())
    for step in range(3):
        trial.open().save(ASSET, {"step": step})
    refs = sorted(info.key for info in trial.store.list(REFS) if info.key.endswith("0000000002"))
    trial.store.delete(refs[0])
    assert [damage.object for damage in trial.open().check().damages] == [refs[0]]
