"""What may be dropped, what becomes of pointers, and that a plan is only carried out on what it saw."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import ConflictError, NotFoundError, RefusedError
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault


def test_an_old_snapshot_goes_and_its_packs_stay(trial: TrialVault, make_snapshot: Any) -> None:
    old, new = make_snapshot(), make_snapshot()
    vault = trial.open()
    plan = vault.plan_drop(old.id)
    before = contents_of(trial.store)
    assert plan.moves == {}
    vault.apply_drop(plan)
    assert before.keys() - contents_of(trial.store).keys() == {plan.key}
    assert [one.root for one in trial.open().snapshots()] == [new]
    check_is_clean(trial.open())


def test_planning_changes_nothing(trial: TrialVault, make_snapshot: Any) -> None:
    old, _ = make_snapshot(), make_snapshot()
    before = contents_of(trial.store)
    trial.open().plan_drop(old.id)
    assert contents_of(trial.store) == before


def test_what_is_validated_stays(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    proven = make_snapshot()
    with pytest.raises(RefusedError, match=proven.id) as caught:
        trial.open().plan_drop("llama")
    assert caught.value.exit_code == 5 and "verify" in caught.value.hint


def test_what_is_tagged_stays_until_the_tag_is_gone(trial: TrialVault, make_snapshot: Any) -> None:
    tagged = make_snapshot(tags=["release", "paper"])
    make_snapshot()
    with pytest.raises(RefusedError, match="'paper', 'release'"):
        trial.open().plan_drop(tagged.id)
    for name in ("release", "paper"):
        trial.open().untag("llama", name)
    vault = trial.open()
    vault.apply_drop(vault.plan_drop(tagged.id))
    with pytest.raises(NotFoundError):
        trial.open().find(tagged.id)


def test_dropping_the_latest_leads_to_the_next_newest_content(trial: TrialVault, make_snapshot: Any) -> None:
    make_snapshot()
    proven = make_snapshot()
    latest = make_snapshot(verify=False)
    held = make_snapshot(bad=True, policy="quarantine")
    vault = trial.open()
    plan = vault.plan_drop(latest.id)
    assert plan.moves == {"latest": proven.id}
    vault.apply_drop(plan)
    assert trial.open().find("llama") == proven
    assert trial.open().find(held.id) == held
    check_is_clean(trial.open())


def test_dropping_the_only_snapshot_leaves_an_asset_without_any(trial: TrialVault, make_snapshot: Any) -> None:
    only = make_snapshot(verify=False)
    vault = trial.open()
    vault.apply_drop(vault.plan_drop("llama"))
    assert trial.open().tags("llama") == {}
    for reference in ("llama", only.id):
        with pytest.raises(NotFoundError):
            trial.open().find(reference)
    check_is_clean(trial.open())
    again = make_snapshot()
    assert trial.open().find("llama@validated") == again


@pytest.mark.parametrize("meanwhile", ["tagged", "verified", "saved"])
def test_a_plan_that_is_out_of_date_is_not_carried_out(trial: TrialVault, make_snapshot: Any, meanwhile: str) -> None:
    make_snapshot()
    latest = make_snapshot(verify=False)
    vault = trial.open()
    plan = vault.plan_drop(latest.id)
    if meanwhile == "tagged":
        trial.open().tag(latest.id, "precious")
    elif meanwhile == "verified":
        trial.open().verify(latest.id)
    else:
        make_snapshot()
    with pytest.raises(ConflictError if meanwhile == "saved" else RefusedError):
        vault.apply_drop(plan)
    assert trial.open().find(latest.id) == latest


def test_what_is_gone_cannot_be_dropped_again(trial: TrialVault, make_snapshot: Any) -> None:
    old, _ = make_snapshot(), make_snapshot()
    vault = trial.open()
    plan = vault.plan_drop(old.id)
    vault.apply_drop(plan)
    with pytest.raises(NotFoundError):
        vault.plan_drop(old.id)
    vault.apply_drop(plan)  # the same plan twice is harmless: the name is taken by nobody else
