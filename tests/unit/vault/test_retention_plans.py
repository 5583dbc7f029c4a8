"""Retention on a vault: what a plan says, what applying it does, and when it is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import (
    ConflictError,
    CredentialError,
    FailedError,
    NotFoundError,
    RefusedError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.ids import SnapshotId
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Keep, Policy, Rule
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.retaining import applying
from holdfast.vault.retaining.planning import decode_plan, encode_plan
from holdfast.vault.snapshots.dropping import drop_many
from holdfast.vault.snapshots.holds import hold_snapshot
from holdfast.vault.snapshots.refs import move_ref
from holdfast.vault.snapshots.thinning import give_up
from holdfast.vault.vault import Vault

LAST_TWO = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=2))])


def ids(vault: Vault) -> list[str]:
    return [one.root.id for one in vault.snapshots() if one.root is not None]


@pytest.fixture
def five(make_snapshot: Any, clock: ManualClock) -> list[str]:
    """Five snapshots an hour apart, and two hours since the last one."""
    made = [make_snapshot().id for _ in range(5)]
    clock.sleep(7200)
    return made


def test_a_plan_changes_nothing_and_applying_it_does_what_it_says(trial: TrialVault, five: list[str]) -> None:
    vault = trial.open()
    before = contents_of(trial.store)
    plan = vault.plan_retention(LAST_TWO)
    assert contents_of(trial.store) == before
    assert [one.snapshot for one in plan.changes] == five[:3]
    assert plan.freed.packs == 3 and plan.freed.bytes > 0
    done = vault.apply_retention(plan)
    assert (done.dropped, done.thinned, done.before) == (five[:3], [], 0)
    assert ids(trial.open()) == five[3:]
    assert trial.open().plan_retention(LAST_TWO).changes == []
    check_is_clean(trial.open())


def test_effects_tell_what_can_be_restored_and_what_that_reads(trial: TrialVault, five: list[str]) -> None:
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=1, within="1h"))])
    trial.open().tag(five[0], "first")
    [effect] = trial.open().plan_retention(policy).effects
    assert (effect.before.snapshots, effect.after.snapshots) == (5, 3)
    assert effect.before.gap == 3600 * NANOSECONDS and effect.after.gap == 3 * 3600 * NANOSECONDS
    assert effect.after.oldest == effect.before.oldest and effect.after.newest == effect.before.newest
    assert effect.reading is not None and effect.reading.snapshot == five[-1] and effect.reading.packs == 1


def test_tags_and_holds_protect_and_a_hold_can_end(trial: TrialVault, five: list[str], clock: ManualClock) -> None:
    vault = trial.open()
    vault.tag(five[0], "paper")
    vault.hold(five[1], "court case", until_ns=clock.now_ns() + 100 * NANOSECONDS)
    vault.hold(five[2], "audit")
    assert vault.plan_retention(LAST_TWO).changes == []
    with pytest.raises(RefusedError, match="audit"):
        vault.plan_drop(five[2])
    clock.sleep(101)
    vault.apply_retention(vault.plan_retention(LAST_TWO))
    assert ids(trial.open()) == [five[0], *five[2:]]
    assert vault.unhold(five[2]).reason == "audit"
    with pytest.raises(NotFoundError):
        vault.unhold(five[2])
    vault.apply_retention(vault.plan_retention(LAST_TWO))
    assert ids(trial.open()) == [five[0], *five[3:]]
    check_is_clean(trial.open())


def test_ignored_tags_go_with_their_snapshots(trial: TrialVault, five: list[str]) -> None:
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=2), tags="ignore")])
    vault = trial.open()
    vault.tag(five[0], "best-1")
    vault.apply_retention(vault.plan_retention(policy))
    assert ids(trial.open()) == five[3:]
    assert "best-1" not in trial.open().tags("llama")
    check_is_clean(trial.open())


@pytest.mark.parametrize("what", ["saved", "tagged", "held", "untagged", "dropped"])
def test_a_plan_is_refused_when_the_vault_has_changed(
    trial: TrialVault, five: list[str], make_snapshot: Any, what: str
) -> None:
    vault = trial.open()
    vault.tag(five[4], "good")
    plan = vault.plan_retention(LAST_TWO)
    if what == "saved":
        make_snapshot()
    elif what == "tagged":
        vault.tag(five[0], "precious")
    elif what == "held":
        vault.hold(five[0], "wait")
    elif what == "untagged":
        vault.untag("llama", "good")
    else:
        vault.tag(five[4], "again")
        vault.untag("llama", "again")
        vault.apply_drop(vault.plan_drop(five[3]))
    left = ids(trial.open())
    with pytest.raises(ConflictError, match="not applied"):
        trial.open().apply_retention(plan)
    assert ids(trial.open()) == left


def test_a_plan_survives_a_file_and_not_a_change_in_it(trial: TrialVault, five: list[str]) -> None:
    vault = trial.open()
    plan = vault.plan_retention(LAST_TWO)
    data = encode_plan(plan)
    assert decode_plan(data) == plan
    for bad in (b"", b"{}", data[:-9], data.replace(b'"latest": true', b'"latest": false'), b"[" * 100_000):
        with pytest.raises(UsageError):
            decode_plan(bad)
    more = [msgspec.structs.replace(one, action="drop") for one in plan.decisions]
    with pytest.raises(ConflictError):
        trial.open().apply_retention(msgspec.structs.replace(plan, decisions=more))
    assert ids(trial.open()) == five
    with pytest.raises(ConflictError, match="another vault"):
        trial.open().apply_retention(msgspec.structs.replace(plan, vault="0" * 32))


class Breaking(MemoryStore):
    """A store that stops working after some operations that change it."""

    left = 1 << 30

    def _spend(self) -> None:
        if self.left == 0:
            raise StoreUnreachableError("the line is cut")
        self.left -= 1

    def create(self, key: str, data: Any) -> Any:
        self._spend()
        return super().create(key, data)

    def delete(self, key: str) -> None:
        self._spend()
        super().delete(key)


def test_what_was_cut_off_anywhere_goes_on_with_the_same_plan(clock: ManualClock, tmp_path: Any) -> None:
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=2), tags="ignore",
                                           components={"optimizer": Keep(last=1)})])  # fmt: skip
    points = 0
    while True:
        store = Breaking(clock)
        trial = new_trial_vault(store, encrypted=False, clock=clock)
        made = [_save_two_components(trial, tmp_path, clock, number) for number in range(4)]
        trial.open().tag(made[0], "best")
        give_up(trial.open().handle, trial.open().find(made[0]), ["optimizer"], "by hand")
        clock.sleep(7200)
        plan = trial.open().plan_retention(policy)
        assert [(one.snapshot, one.action) for one in plan.changes] == [
            (made[0], "drop"), (made[1], "drop"), (made[2], "thin")
        ]  # fmt: skip
        store.left = points
        try:
            trial.open().apply_retention(plan)
        except StoreUnreachableError:
            store.left = 1 << 30
            check_is_clean(trial.open())
            done = trial.open().apply_retention(plan)
            assert len(done.dropped) + len(done.thinned) + done.before == 3
        else:
            break
        finally:
            store.left = 1 << 30
        points += 1
        assert ids(trial.open()) == made[2:]
        assert trial.open().plan_retention(policy).changes == []
        assert len(list(store.list("thinned/"))) == 1  # of the one that was thinned, not of the one that is gone
        check_is_clean(trial.open())
    assert points == 6  # lease, thinned record, tag, root, its thinned series, another root


def _save_two_components(trial: TrialVault, folder: Any, clock: ManualClock, number: int) -> str:
    place = folder / "checkpoint"
    place.mkdir(exist_ok=True)
    (place / "model.bin").write_bytes(b"weights %d" % number)
    (place / "optimizer.bin").write_bytes(b"moments %d" % number)
    clock.sleep(3600)
    return trial.open().save("llama", place, step=number).root.id


def test_a_pointer_that_cannot_be_read_keeps_its_whole_asset(
    trial: TrialVault, five: list[str], make_snapshot: Any, clock: ManualClock
) -> None:
    trial.open().tag(five[0], "paper")
    names = trial.open().handle.keys.names
    [key] = [info.key for info in trial.store.list(names.ref_prefix("llama", "paper"))]
    trial.store.put(key, b"rotten")
    for _ in range(3):
        make_snapshot("bert")
    clock.sleep(7200)
    plan = trial.open().plan_retention(LAST_TWO)
    assert {one.asset for one in plan.changes} == {"bert"}
    assert any("'llama' stays" in note for note in plan.notes)


def test_nothing_goes_before_something_is_proven(trial: TrialVault, make_snapshot: Any, clock: ManualClock) -> None:
    for _ in range(4):
        make_snapshot(verify=False)
    clock.sleep(7200)
    plan = trial.open().plan_retention(LAST_TWO)
    assert plan.changes == []
    assert plan.decisions[0].reasons == ["nothing of this asset is validated yet"]


def test_what_was_committed_a_moment_ago_stays(trial: TrialVault, make_snapshot: Any, clock: ManualClock) -> None:
    made = [make_snapshot().id for _ in range(3)]
    clock.sleep(60)
    policy = parse_policy("version: 1\nrecent: 90min\nrules: [{assets: '*', keep: {last: 1}}]")
    assert [one.snapshot for one in trial.open().plan_retention(policy).changes] == made[:1]


def test_only_a_keeper_applies_and_releases_holds(trial: TrialVault, five: list[str]) -> None:
    vault = trial.open()
    plan = vault.plan_retention(LAST_TWO)
    writer = trial.open(admit_writer(trial.open().handle, "trainer"))
    with pytest.raises(CredentialError):
        writer.apply_retention(plan)
    assert ids(trial.open()) == five


class Unreadable(MemoryStore):
    """A store on which one object cannot be read for a while."""

    sick = ""

    def get(self, key: str, *given: Any, **options: Any) -> Any:
        if key == self.sick:
            raise FailedError("an input/output error")
        return super().get(key, *given, **options)


def test_what_cannot_be_read_just_now_is_not_what_was_dropped_before(clock: ManualClock, tmp_path: Any) -> None:
    """Taking its thinned series away would say that it still has what may have been collected."""
    store = Unreadable(clock)
    trial = new_trial_vault(store, encrypted=False, clock=clock)
    made = [_save_two_components(trial, tmp_path, clock, number) for number in range(4)]
    give_up(trial.open().handle, trial.open().find(made[0]), ["optimizer"], "by hand")
    clock.sleep(7200)
    plan = trial.open().plan_retention(LAST_TWO)
    store.sick = trial.open().handle.keys.names.snapshot_key("llama", SnapshotId(made[0]))
    with pytest.raises(ConflictError, match="cannot be read now"):
        trial.open().apply_retention(plan)
    store.sick = ""
    assert ids(trial.open()) == made and len(list(store.list("thinned/"))) == 1
    assert trial.open().apply_retention(plan).dropped == made[:2]


def test_what_validated_resolves_to_stays_though_it_points_elsewhere(
    trial: TrialVault, make_snapshot: Any, clock: ManualClock
) -> None:
    """A writer's key marks a snapshot and moves no pointer."""
    good, bad = make_snapshot(), make_snapshot()
    move_ref(trial.open().handle, "llama", f"!quarantine/{bad.id}", bad.id, "quarantined: diverged")
    for _ in range(4):
        make_snapshot(verify=False)
    clock.sleep(7200)
    vault = trial.open()
    plan = vault.plan_retention(LAST_TWO)
    assert plan.changes and good.id not in {one.snapshot for one in plan.changes}
    vault.apply_retention(plan)
    assert trial.open().find("llama@validated") == good


@pytest.mark.parametrize("what", ["held", "tagged"])
def test_what_somebody_wants_while_a_plan_is_applied_is_not_thinned(
    trial: TrialVault, clock: ManualClock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=9), components={"optimizer": Keep(last=1)})])
    made = [_save_two_components(trial, tmp_path, clock, number) for number in range(3)]
    clock.sleep(7200)
    vault = trial.open()
    plan = vault.plan_retention(policy)
    real = applying.Pointers

    def late(handle: Any, asset: str) -> Any:
        if what == "held":
            trial.open().hold(made[0], "audit")
        else:
            trial.open().tag(made[0], "paper")
        return real(handle, asset)

    monkeypatch.setattr(applying, "Pointers", late)
    with pytest.raises(RefusedError, match=r"held now|'paper'"):
        vault.apply_retention(plan)
    assert list(trial.store.list("thinned/")) == []


@pytest.mark.parametrize("until_ns", [1 << 80, 10**300, 253_402_300_800 * NANOSECONDS])
def test_a_hold_does_not_end_beyond_all_calendars(trial: TrialVault, five: list[str], until_ns: int) -> None:
    with pytest.raises(UsageError, match="no calendar"):
        trial.open().hold(five[0], "for ever", until_ns=until_ns)


def test_what_is_held_while_others_are_dropped_stays(trial: TrialVault, five: list[str]) -> None:
    vault = trial.open()
    roots = [vault.find(one) for one in five[:3]]
    dropping = drop_many(vault.handle, "llama", roots, trial.clock.now_ns())
    assert next(dropping).id == five[0]
    trial.open().hold(five[1], "audit")
    with pytest.raises(RefusedError, match="audit"):
        next(dropping)
    assert ids(trial.open()) == five[1:]


def test_a_hold_on_what_was_dropped_meanwhile_is_none(trial: TrialVault, five: list[str]) -> None:
    vault = trial.open()
    root = vault.find(five[0])
    vault.apply_drop(vault.plan_drop(root.id))
    with pytest.raises(NotFoundError, match="nothing to hold"):
        hold_snapshot(vault.handle, root, "too late")
    assert not any(name.startswith("!hold/") for name in trial.open().tags("llama"))


def test_marks_of_a_writer_have_nothing_dropped(trial: TrialVault, five: list[str]) -> None:
    """Writers do not delete: neither do the marks that they may set, by way of the keeper's next `apply`."""
    vault = trial.open()
    for one in five[:4]:
        move_ref(vault.handle, "llama", f"!quarantine/{one}", one, "quarantined: says who?")
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=3))])
    vault.apply_retention(vault.plan_retention(policy))
    assert ids(trial.open()) == five[2:]
    assert trial.open().plan_retention(policy).changes == []
