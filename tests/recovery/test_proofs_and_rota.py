"""What was proven is remembered, and what was not comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import UsageError
from holdfast.stores.local import LocalStore
from holdfast.testing.damage import Flip
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.rota import plan_rota, run_rota
from holdfast.vault.format.names import PACKS, pack_key

DAY = 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def trial(tmp_path: Path, clock: ManualClock) -> TrialVault:
    trial = new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=False, pack_bytes=8 << 10, clock=clock)
    rng = np.random.default_rng(1)
    for number in range(4):
        # A save that reads back is a proof by itself.
        trial.open().save("run", {"weights": rng.normal(size=2000).astype("f4")}, step=number, verify=False)
        clock.sleep(10)
    return trial


def test_samples_go_through_all_packs_before_any_is_read_again(trial: TrialVault, clock: ManualClock) -> None:
    packs = [info.key for info in trial.store.list(PACKS)]
    read: list[set[str]] = []
    for _ in range(4):
        before = Proofs(trial.open().handle).packs()
        report = trial.open().check(read_data=True, sample=0.25)
        after = Proofs(trial.open().handle).packs()
        read.append({pack_key(pack) for pack, at in after.items() if before.get(pack) != at})
        assert report.packs_read == len(read[-1])
        clock.sleep(DAY)
    assert set().union(*read) == set(packs) and sum(map(len, read)) == len(packs)
    assert report.proof.never == 0 and report.proof.recent_share == 1.0
    assert report.proof.oldest_ns == 3 * DAY * 10**9
    clock.sleep(29 * DAY)
    assert trial.open().check().proof.recent_share < 1.0, "a check that reads no data proves nothing"


def test_a_pack_that_is_found_damaged_is_proven_no_more(trial: TrialVault) -> None:
    assert trial.open().check(read_data=True).proof.never == 0
    key = next(info.key for info in trial.store.list(PACKS))
    Flip(key, 200).apply(trial.store)
    report = trial.open().check(read_data=True)
    assert report.damages and report.proof.never == 1


def test_decoding_all_of_a_snapshot_proves_no_pack(trial: TrialVault) -> None:
    vault = trial.open()
    vault.verify("run")
    proofs = Proofs(trial.open().handle)
    assert proofs.packs() == {} and list(proofs.snapshots()) == [vault.find("run").id]


def test_a_whole_restore_proves_the_snapshot_and_a_part_does_not(trial: TrialVault, tmp_path: Path) -> None:
    vault = trial.open()
    vault.restore("run@step=1", tmp_path / "part", only="*.safetensors")
    assert Proofs(vault.handle).snapshots() == {}
    vault.restore("run@step=1", tmp_path / "whole")
    assert list(Proofs(vault.handle).snapshots()) == [vault.find("run@step=1").id]


def test_the_rota_takes_the_least_proven_within_its_budget(trial: TrialVault, clock: ManualClock) -> None:
    vault = trial.open()
    for step in (2, 0, 3):
        clock.sleep(DAY)
        vault.verify(f"run@step={step}", accept_findings=False)
    clock.sleep(DAY)
    turns, left = plan_rota(vault.handle)
    assert [turn.root.step for turn in turns] == [1, 2, 0, 3] and left == 0
    turns, left = plan_rota(vault.handle, budget=2 * turns[0].bytes)
    assert [turn.root.step for turn in turns] == [1, 2] and left == 2
    rota = run_rota(vault.handle, turns, left)
    assert len(rota.proven) == 2 and not rota.damaged
    assert [turn.root.step for turn in plan_rota(vault.handle, count=1)[0]] == [0]
    assert [turn.root.step for turn in plan_rota(vault.handle, count=2, worth={"run": 5})[0]] == [0, 3]


def test_the_rota_tells_of_damage_and_counts_copies(trial: TrialVault) -> None:
    for info in list(trial.store.list(PACKS)):
        Flip(info.key, 300).apply(trial.store)
    vault = trial.open()
    turns, left = plan_rota(vault.handle, replicas=[vault.handle])
    assert {turn.due.candidate.copies for turn in turns} == {2}
    rota = run_rota(vault.handle, turns, left)
    assert rota.damaged and not rota.proven.keys() & rota.damaged.keys()


def test_what_the_future_proves_counts_for_nothing(trial: TrialVault, clock: ManualClock) -> None:
    """A clock that was years ahead once must not keep samples and the rota away for years."""
    vault = trial.open()
    handle = vault.handle
    clock.sleep(1000 * DAY)
    vault.check(read_data=True)
    vault.verify("run@step=1")
    clock.sleep(-1000 * DAY)
    assert Proofs(handle).packs() == {} and Proofs(handle).snapshots() == {}
    assert trial.open().check().proof.recent_share == 0.0
    assert all(turn.due.score > 0 for turn in plan_rota(handle)[0]), "what was read back in time still counts"


@pytest.mark.parametrize("worth", [float("nan"), float("inf"), -1.0, 1e308])
def test_a_worth_that_gives_no_score_is_refused(trial: TrialVault, worth: float) -> None:
    """Also one for an asset that is not here: a name may be misspelt, which is said."""
    for asset in ("run", "rnu"):
        with pytest.raises(UsageError):
            plan_rota(trial.open().handle, worth={asset: worth})
    notes = NoteTaker()
    assert len(plan_rota(trial.open(progress=notes).handle, worth={"rnu": 0.0})[0]) == 4
    assert any("rnu" in note for note in notes.notes)


def test_a_save_that_read_back_has_proven_its_snapshot(trial: TrialVault) -> None:
    before = set(Proofs(trial.open().handle).snapshots())
    saved = trial.open().save("run", {"weights": np.arange(9.0)}, step=9).root.id
    assert set(Proofs(trial.open().handle).snapshots()) == before | {saved}
