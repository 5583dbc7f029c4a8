"""What may be dropped, what becomes of pointers, and that a plan is only carried out on what it saw."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import ConflictError, NotFoundError, RefusedError
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault
from holdfast.vault.saving import save
from holdfast.vault.snapshots import advancing, dropping
from holdfast.vault.snapshots.refs import move_ref


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


def test_dropping_the_latest_passes_over_what_was_set_aside(trial: TrialVault, make_snapshot: Any) -> None:
    good, bad, latest = make_snapshot(), make_snapshot(verify=False), make_snapshot(verify=False)
    trial.open().quarantine(bad.id, "diverged")
    assert trial.open().plan_drop(latest.id).moves == {"latest": good.id}


def test_what_validated_resolves_to_stays_though_it_points_elsewhere(trial: TrialVault, make_snapshot: Any) -> None:
    """A writer's key marks a snapshot and moves no pointer."""
    good, bad = make_snapshot(), make_snapshot()
    move_ref(trial.open().handle, "llama", f"!quarantine/{bad.id}", bad.id, "quarantined: diverged")
    assert trial.open().find("llama@validated") == good
    with pytest.raises(RefusedError, match="read back and found good"):
        trial.open().plan_drop(good.id)


@pytest.mark.parametrize("when", ["while it is read back", "as latest moves"])
def test_no_pointer_leads_to_what_was_dropped_while_it_was_saved(
    trial: TrialVault, make_snapshot: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    good = make_snapshot()

    def dropping_first(real: Any) -> Any:
        def call(handle: Any, *given: Any, **options: Any) -> Any:
            vault = trial.open()
            found = [one.root for one in vault.snapshots() if one.root is not None and one.root.id != good.id]
            if found and (when != "as latest moves" or given[1] == "latest"):
                vault.apply_drop(vault.plan_drop(found[0].id))
            return real(handle, *given, **options)

        return call

    if when == "as latest moves":
        monkeypatch.setattr(advancing, "move_ref", dropping_first(advancing.move_ref))
    else:
        monkeypatch.setattr(save, "remember_root", dropping_first(save.remember_root))
    make_snapshot()
    assert {name: ref.target for name, ref in trial.open().tags("llama").items()} == {
        "latest": good.id,
        "validated": good.id,
    }
    check_is_clean(trial.open())


def test_a_pointer_that_moved_while_it_was_dropped_moves_back(
    trial: TrialVault, make_snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, going = make_snapshot(), make_snapshot(verify=False)
    vault = trial.open()
    plan = vault.plan_drop(going.id)
    real = dropping.forget_thinned

    def forget(*given: Any) -> None:
        move_ref(trial.open().handle, "llama", "validated", going.id, "by a save that was late")
        move_ref(trial.open().handle, "llama", "nightly", going.id, "tagged when saved")
        real(*given)

    monkeypatch.setattr(dropping, "forget_thinned", forget)
    vault.apply_drop(plan)
    assert {name: ref.target for name, ref in trial.open().tags("llama").items()} == {
        "latest": good.id,
        "validated": good.id,
    }
