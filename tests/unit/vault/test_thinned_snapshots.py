"""Thinned snapshots: what was given up is passed over and told by everything that reads a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.clock import ManualClock
from holdfast.errors import CredentialError, DamageError, NotFoundError, UsageError
from holdfast.ids import PackId, PartId, SnapshotId
from holdfast.objectives.retention_rules import Keep, Policy, Rule
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.planning import plan_replication
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.memory import MemoryStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.format.names import pack_key, part_key
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.accounting import account_for
from holdfast.vault.snapshots.thinning import Thinnings, dropped_components, forget_thinned, give_up, kept_links

FILES = {
    "model.bin": b"weights",
    "optimizer.bin": b"moments",
    "rng_state.bin": b"seed",
    "notes/readme.txt": b"text",
}


def write(folder: Path, number: int) -> Path:
    (folder / "notes").mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content + b" %d" % number)
    return folder


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def vaults(request: pytest.FixtureRequest, clock: ManualClock) -> TrialVault:
    return new_trial_vault(MemoryStore(clock), encrypted=request.param, clock=clock)


@pytest.fixture
def roots(vaults: TrialVault, tmp_path: Path, clock: ManualClock) -> list[Root]:
    made = []
    for number in range(2):
        clock.sleep(3600)
        made.append(vaults.open().save("llama", write(tmp_path / "source", number), step=number).root)
    return made


def collect_by_hand(trial: TrialVault, *roots: Root) -> None:
    """Delete the parts that were given up, and the packs that only they reach."""
    handle = trial.open().handle
    thinnings = Thinnings(handle)
    kept = {link.id for root in roots for link in thinnings.links(root)}
    gone = {link.id for root in roots for link in root.parts} - kept
    packs: set[PackId] = set()
    needed: set[PackId] = set()
    for root in roots:
        for link in root.parts:
            (packs if link.id in gone else needed).update(packs_of(handle, root, links=[link]))
    for pack in packs - needed:
        trial.store.delete(pack_key(pack))
    for part in gone:
        trial.store.delete(part_key(PartId(part.hex())))


def test_a_thinned_snapshot_restores_without_what_it_gave_up_and_says_so(
    vaults: TrialVault, roots: list[Root], tmp_path: Path
) -> None:
    record = give_up(vaults.open().handle, roots[0], ["optimizer", "rng"], "no room")
    assert record is not None and record.components == ["optimizer", "rng"]
    trial_parts = {link.component for link in kept_links(vaults.open().handle, roots[0])}
    assert trial_parts == {"weights", "other"}
    for link in roots[0].parts:
        if link.component == "optimizer":
            vaults.store.delete(part_key(PartId(link.id.hex())))
    notes = NoteTaker()
    vault = vaults.open(progress=notes)
    restored = vault.restore(roots[0].id, tmp_path / "out")
    assert restored.given_up == ("optimizer", "rng")
    assert any("no longer has optimizer, rng" in note and "no room" in note for note in notes.notes)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["model.bin", "notes", "readme.txt"]
    assert (tmp_path / "out/model.bin").read_bytes() == b"weights 0"
    assert vault.verify(roots[0].id).verified.files == 2  # type: ignore[union-attr]
    assert {entry.path for entry in vault.files(roots[0])} == {b".", b"model.bin", b"notes", b"notes/readme.txt"}
    assert account_for(vault.handle, roots[0]).components.keys() == {"weights", "other"}
    assert vault.diff(roots[0].id, roots[1].id).facts["thinned"] == ("optimizer, rng", "")
    with pytest.raises(NotFoundError, match="no file of the snapshot"):
        vault.restore(roots[0].id, tmp_path / "more", only="optimizer.bin")
    check_is_clean(vaults.open())


def test_without_the_record_a_missing_part_is_damage(vaults: TrialVault, roots: list[Root], tmp_path: Path) -> None:
    give_up(vaults.open().handle, roots[0], ["optimizer"], "no room")
    for link in roots[0].parts:
        if link.component == "optimizer":
            vaults.store.delete(part_key(PartId(link.id.hex())))
    assert vaults.open().check().damages == []
    forget_thinned(vaults.open().handle, "llama", SnapshotId(roots[0].id))
    with pytest.raises(DamageError):
        vaults.open().restore(roots[0].id, tmp_path / "out")
    [damage] = vaults.open().check().damages
    assert damage.snapshots == [roots[0].id]


def test_generations_add_up_and_a_damaged_one_hides_nothing(vaults: TrialVault, roots: list[Root]) -> None:
    handle = vaults.open().handle
    give_up(handle, roots[0], ["rng"], "first")
    second = give_up(handle, roots[0], ["optimizer"], "second")
    assert second is not None and second.components == ["optimizer", "rng"]
    assert give_up(handle, roots[0], ["rng"], "again") is None
    keys = sorted(info.key for info in vaults.store.list("thinned/"))
    assert len(keys) == 2
    vaults.store.put(keys[1], b"rotten" * 30)
    notes = NoteTaker()
    vault = vaults.open(progress=notes)
    assert dropped_components(vault.handle, roots[0]) == ("rng",)
    assert any("passed over" in note for note in notes.notes)
    assert [damage.object for damage in vaults.open().check().damages] == [keys[1]]
    third = give_up(vaults.open().handle, roots[0], ["optimizer"], "third")
    assert third is not None and third.components == ["optimizer", "rng"]


def test_only_keepers_give_up_and_never_everything(vaults: TrialVault, roots: list[Root]) -> None:
    writer = vaults.open(admit_writer(vaults.open().handle, "trainer"))
    with pytest.raises(CredentialError):
        give_up(writer.handle, roots[0], ["optimizer"], "no room")
    handle = vaults.open().handle
    with pytest.raises(UsageError, match="nothing would be left"):
        give_up(handle, roots[0], ["optimizer", "rng", "weights", "other"], "no room")
    with pytest.raises(UsageError, match="no component"):
        give_up(handle, roots[0], ["moments"], "no room")
    assert list(vaults.store.list("thinned/")) == []


def test_a_record_of_another_snapshot_counts_for_nothing(vaults: TrialVault, roots: list[Root]) -> None:
    give_up(vaults.open().handle, roots[0], ["optimizer"], "no room")
    [info] = vaults.store.list("thinned/")
    other = info.key.replace(roots[0].id, roots[1].id)
    vaults.store.put(other, vaults.store.get(info.key))
    assert dropped_components(vaults.open().handle, roots[1]) == ()


def test_many_snapshots_cost_one_listing(vaults: TrialVault, roots: list[Root]) -> None:
    give_up(vaults.open().handle, roots[0], ["optimizer"], "no room")
    store = CountingStore(vaults.store)
    handle = vaults.open(store=store).handle
    store.reset()
    thinnings = Thinnings(handle)
    for _ in range(5):
        assert [thinnings.components(root) for root in roots] == [("optimizer",), ()]
    assert store.counts["list"] == 1 and store.counts["get"] == 1


@pytest.mark.parametrize("how", ["replicate", "mirror"])
def test_a_replica_gets_the_record_before_the_root_and_not_the_parts(
    vaults: TrialVault, roots: list[Root], tmp_path: Path, how: str
) -> None:
    give_up(vaults.open().handle, roots[0], ["optimizer"], "no room")
    collect_by_hand(vaults, *roots)
    target = MemoryStore(vaults.clock)
    if how == "replicate":
        done = replicate(vaults.open().handle, target)
        assert done.left_out == [] and done.damaged == {}
    else:
        mirror(vaults.store, target)
    there = vaults.open(store=target)
    assert dropped_components(there.handle, roots[0]) == ("optimizer",)
    assert there.restore(roots[0].id, tmp_path / "out").given_up == ("optimizer",)
    check_is_clean(there)
    assert plan_replication(vaults.open().handle, target).objects == 0


def test_what_is_thinned_later_is_told_to_a_replica_that_keeps_its_parts(vaults: TrialVault, roots: list[Root]) -> None:
    target = MemoryStore(vaults.clock)
    replicate(vaults.open().handle, target)
    parts = {info.key for info in target.list("parts/")}
    give_up(vaults.open().handle, roots[0], ["optimizer"], "no room")
    assert plan_replication(vaults.open().handle, target).objects == 1
    replicate(vaults.open().handle, target)
    assert dropped_components(vaults.open(store=target).handle, roots[0]) == ("optimizer",)
    assert {info.key for info in target.list("parts/")} == parts


def test_what_the_replica_gave_up_is_not_sent_again(vaults: TrialVault, roots: list[Root]) -> None:
    target = MemoryStore(vaults.clock)
    replicate(vaults.open().handle, target)
    give_up(vaults.open(store=target).handle, roots[0], ["optimizer"], "no room there")
    for link in roots[0].parts:
        if link.component == "optimizer":
            target.delete(part_key(PartId(link.id.hex())))
    assert plan_replication(vaults.open().handle, target).objects == 0
    assert replicate(vaults.open().handle, target).objects == 0
    # Both sites on their own: the keeper's key brings them together.
    give_up(vaults.open().handle, roots[0], ["rng"], "no room here")
    done = replicate(vaults.open().handle, target)
    assert done.left_out == []
    assert dropped_components(vaults.open(store=target).handle, roots[0]) == ("optimizer", "rng")
    check_is_clean(vaults.open(store=target))


def test_dropping_a_component_frees_packs_without_rewriting_any(
    tmp_path: Path, clock: ManualClock, vaults: TrialVault
) -> None:
    """Large files of different components share no pack, so what goes is whole packs."""
    random = np.random.default_rng(5)
    folder = tmp_path / "source"
    folder.mkdir()
    made = []
    for number in range(3):
        clock.sleep(3600)
        for name in ("model.bin", "optimizer.bin"):
            (folder / name).write_bytes(random.bytes(9 << 20))
        (folder / "config.json").write_text(f'{{"step": {number}}}')
        made.append(vaults.open().save("llama", folder, step=number).root)
    clock.sleep(7200)
    policy = Policy(version=1, rules=[Rule(assets="*", keep=Keep(last=3), components={"optimizer": Keep(last=1)})])
    before = {info.key: info.size for info in vaults.store.list("packs/")}
    plan = vaults.open().plan_retention(policy)
    assert [(one.snapshot, one.action) for one in plan.changes] == [(made[0].id, "thin"), (made[1].id, "thin")]
    assert 2 * (9 << 20) <= plan.freed.bytes < 2 * (9 << 20) + (1 << 20)
    assert plan.freed.shared_packs == 0
    done = vaults.open().apply_retention(plan)
    assert done.thinned == [made[0].id, made[1].id]
    assert {info.key: info.size for info in vaults.store.list("packs/")} == before
    collect_by_hand(vaults, *made)
    after = {info.key: info.size for info in vaults.store.list("packs/")}
    assert sum(before.values()) - sum(after.values()) == plan.freed.bytes
    assert len(before) - len(after) == plan.freed.packs
    for root in made:
        vaults.open().verify(root.id)
    check_is_clean(vaults.open())


def test_a_thinned_parent_is_no_delta_base(vaults: TrialVault, roots: list[Root], tmp_path: Path) -> None:
    give_up(vaults.open().handle, roots[1], ["optimizer"], "no room")
    collect_by_hand(vaults, *roots)
    saved = vaults.open().save("llama", write(tmp_path / "source", 1), step=2)
    assert saved.validated
    restored: Any = vaults.open().restore("llama", tmp_path / "out")
    assert (tmp_path / "out/optimizer.bin").read_bytes() == b"moments 1" and restored.given_up == ()
    check_is_clean(vaults.open())
