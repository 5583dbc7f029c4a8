"""Moving snapshots between tiers: copied, read back, then dropped; broken off anywhere, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import RefusedError, StoreUnreachableError, UsageError
from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.tiering.costing import cost_of_copies, cost_of_plan
from holdfast.replication.tiering.facts import Facts
from holdfast.replication.tiering.gathering import gather_snapshots
from holdfast.replication.tiering.moving import Moved, carry_out
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import TierPlan, Verb
from holdfast.replication.tiering.selected import SelectedStore
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import (
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.collecting.collect import CollectOptions
from holdfast.vault.collecting.safety import Safety
from holdfast.vault.format.names import PACKS, REFS
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.quarantine import set_aside

from .sample_vault import ASSET, train, write_state
from .tier_worlds import COLD, HOT, WARM, facts_of

AT_ONCE = CollectOptions(safety=Safety(fresh=0.0, grace=0.0, listing=0.0, settle=0.0))


class Tiers:
    """A vault at `hot`, with its other stores empty."""

    def __init__(self, work: Path, *, saves: int = 4, in_memory: bool = False) -> None:
        stores: list[Store] = [
            MemoryStore(name=n) if in_memory else LocalStore(work / n) for n in ("hot", "warm", "cold")
        ]
        self.trial = new_trial_vault(stores[0], pack_bytes=24 << 10)
        self.sites = dict(zip((HOT, WARM, COLD), stores, strict=True))
        source = work / "source"
        source.mkdir()
        write_state(source, seed=1)
        self.expected: dict[str, TreeState] = {}
        for step in range(saves):
            if step:
                train(source, seed=step)
            self.expected[self.trial.open().save(ASSET, source, step=step).root.id] = read_tree(source)
        self.source = source

    @property
    def newest(self) -> str:
        return max(self.expected)

    def handles(self, **instead: Store) -> dict[str, Handle]:
        return handles_of(self.trial, self.sites | {f"here/{name}": store for name, store in instead.items()})

    def facts(self, **options: object) -> Facts:
        return facts_of(self.handles(), (ASSET,), **options)  # type: ignore[arg-type]

    def move(self, **options: object) -> tuple[TierPlan, Moved]:
        facts = self.facts(**options)
        plan = plan_tiers(facts)
        return plan, carry_out(plan, facts, self.handles())

    def lying(self) -> dict[str, set[str]]:
        """Store → snapshots whose roots it has."""
        found = {}
        for name, store in self.sites.items():
            found[name] = {info.key.rpartition("/")[2] for info in store.list("snapshots/")}
        return found


def handles_of(trial: TrialVault, sites: dict[str, Store]) -> dict[str, Handle]:
    keys = trial.open().handle.keys
    return {name: Handle(store, keys) for name, store in sites.items()}


@pytest.fixture
def tiers(tmp_path: Path) -> Tiers:
    return Tiers(tmp_path)


def test_old_snapshots_go_down_and_each_store_opens_and_restores_by_itself(tiers: Tiers, tmp_path: Path) -> None:
    first, _ = tiers.move(days_later=0)
    assert not first.moves  # what was just saved was read back, and is where it belongs
    _, done = tiers.move(days_later=10)
    assert not done.held and done.copies[HOT, WARM][0] > 0
    older = tiers.expected.keys() - {tiers.newest}
    assert tiers.lying() == {HOT: {tiers.newest}, WARM: older, COLD: set()}
    _, done = tiers.move(days_later=50)
    assert not done.held
    assert tiers.lying() == {HOT: {tiers.newest}, WARM: set(), COLD: older}
    packs = {info.key for info in tiers.sites[WARM].list(PACKS)}
    for store in [*tiers.sites.values(), *tiers.sites.values()]:
        tiers.trial.open(store=store).collect(AT_ONCE)
    assert packs and not list(tiers.sites[WARM].list(PACKS))  # nothing there is needed any more
    for name, snapshots in tiers.lying().items():
        vault = tiers.trial.open(store=tiers.sites[name])
        check_is_clean(vault)
        every_snapshot_restores(vault, {one: tiers.expected[one] for one in snapshots}, tmp_path / name)
        pointers_resolve(vault, ASSET)
    assert plan_tiers(tiers.facts(days_later=50)).moves == ()


def test_nothing_is_sent_or_read_twice(tiers: Tiers) -> None:
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)
    watched = FaultyStore(tiers.sites[WARM], Faults())
    done = carry_out(plan, facts, tiers.handles(warm=watched))
    puts = [op.key for op in watched.log if op.verb == "put" and op.key.startswith(PACKS)]
    gets = [op.key for op in watched.log if op.verb == "get" and op.key.startswith(PACKS)]
    assert len(puts) == len(set(puts)) == len(set(gets)) == len(gets) and set(puts) == set(gets)
    sizes = {info.key: info.size for info in tiers.sites[WARM].list(PACKS)}
    assert done.read_back == sum(sizes.values())
    assert {move.store: move.bytes for move in plan.moves if move.verb is Verb.COPY}
    assert sum(move.bytes for move in plan.moves if move.verb is Verb.COPY) == sum(sizes.values())
    assert len(plan_tiers(facts).moves) == len(plan.moves)
    planned = [move for move in plan.moves if move.verb is Verb.COPY]
    objects, size = done.copies[HOT, WARM]
    assert objects > sum(move.objects for move in planned) and size > sum(move.bytes for move in planned)
    before, after = cost_of_plan(facts, plan).once.total, cost_of_copies(facts, done.copies).total
    assert 0 < before < after < 20 * before  # roots, manifests and the configuration: much, beside packs of 24 KiB
    again = FaultyStore(tiers.sites[WARM], Faults())
    carry_out(plan, facts, tiers.handles(warm=again))
    assert not [op for op in again.log if op.key.startswith(PACKS) and op.verb in ("put", "get")]


def test_what_does_not_read_back_is_not_relied_on(tiers: Tiers) -> None:
    """A pack that is damaged on its way to the disk of the colder store: hashes there do not fit, so hot keeps all."""
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)

    class Rotting(FaultyStore):
        def put(self, key, data):  # type: ignore[no-untyped-def]
            info = super().put(key, data)
            if key.startswith(PACKS) and not self.rotten:
                self.rotten.append(key)
                flip(tiers.sites[WARM], key)
            return info

    watched = Rotting(tiers.sites[WARM], Faults())
    watched.rotten = []  # type: ignore[attr-defined]
    done = carry_out(plan, facts, tiers.handles(warm=watched))
    assert watched.rotten and done.held  # type: ignore[attr-defined]
    unread = {move.snapshot for move in done.held if move.verb is Verb.COPY}
    assert unread and unread <= tiers.lying()[HOT]
    assert {move.snapshot for move in done.held if move.verb is Verb.DROP} == unread


def flip(store: Store, key: str) -> None:
    data = bytearray(store.get(key))
    data[400] ^= 1
    store.put(key, bytes(data))


def test_tags_holds_marks_and_the_validated_one_do_not_leave_a_store(tiers: Tiers) -> None:
    vault = tiers.trial.open()
    oldest, second, third, newest = sorted(tiers.expected)
    vault.tag(oldest, "release")
    vault.hold(second, "an audit")
    set_aside(vault.handle, ASSET, third, "it diverged")
    tiers.move(days_later=0)
    plan, done = tiers.move(days_later=10)
    assert tiers.lying()[HOT] == tiers.expected.keys() and not done.held
    assert {oldest, second, third} <= tiers.lying()[WARM] and newest not in tiers.lying()[WARM]
    held = plan.decision(oldest)
    assert held is not None and any("release" in reason for reason in held.held)
    # A tag that is made after the plan protects as well.
    vault.untag(ASSET, "release")
    facts = tiers.facts(days_later=14)
    plan = plan_tiers(facts)
    assert [move.snapshot for move in plan.moves if move.verb is Verb.DROP] == [oldest]
    vault.tag(oldest, "again")
    done = carry_out(plan, facts, tiers.handles())
    assert list(done.held.values()) == [f"again of {HOT} points to it"]
    assert oldest in tiers.lying()[HOT]


def test_a_copy_that_went_meanwhile_keeps_the_other_one(tiers: Tiers) -> None:
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)
    copies = TierPlan(made_ns=0, moves=tuple(m for m in plan.moves if m.verb is Verb.COPY), decisions=())
    drops = TierPlan(made_ns=0, moves=tuple(m for m in plan.moves if m.verb is Verb.DROP), decisions=())
    done = carry_out(copies, facts, tiers.handles())
    lost = next(info.key for info in tiers.sites[WARM].list(PACKS))
    tiers.sites[WARM].delete(lost)
    done = carry_out(drops, facts, tiers.handles())
    assert done.held and all("not whole" in why or "missing" in why for why in done.held.values())
    kept = {move.snapshot for move in done.held}
    assert kept <= tiers.lying()[HOT]
    # A pack that came again has to be read again; the plan is made again and goes on.
    _, done = tiers.move(days_later=10)
    assert {tiers.newest} <= tiers.lying()[HOT] and not kept - tiers.lying()[WARM]


def test_a_copy_that_nobody_read_back_is_not_relied_on(tiers: Tiers) -> None:
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)
    drops = TierPlan(made_ns=0, moves=tuple(m for m in plan.moves if m.verb is Verb.DROP), decisions=())
    replicate(tiers.trial.open().handle, tiers.sites[WARM])
    done = carry_out(drops, facts, tiers.handles())
    assert drops.moves and all("never read back" in why for why in done.held.values()) and not done.done
    assert tiers.lying()[HOT] == tiers.expected.keys()


def test_a_store_that_fails_on_the_way_costs_only_what_needs_it(tiers: Tiers) -> None:
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)
    broken = FaultyStore(tiers.sites[WARM], Faults().fail("put", matching="packs/*"))
    done = carry_out(plan, facts, tiers.handles(warm=broken))
    assert done.held.keys() == set(plan.moves) and not done.done
    assert any("copying failed" in why for why in done.held.values())
    assert tiers.lying()[HOT] == tiers.expected.keys() and tiers.lying()[WARM] == set()
    assert not carry_out(plan, facts, tiers.handles()).held  # it answers again
    assert tiers.lying()[HOT] == {tiers.newest}


def test_a_store_that_does_not_answer_stops_it_before_anything_is_written(tiers: Tiers) -> None:
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    gone = FaultyStore(tiers.sites[WARM], Faults().fail("*"))
    with pytest.raises(StoreUnreachableError):
        carry_out(plan_tiers(facts), facts, tiers.handles(warm=gone))
    assert tiers.lying()[HOT] == tiers.expected.keys() and not list(tiers.sites[WARM].list(""))


def test_refusals_before_anything_is_written(tiers: Tiers) -> None:
    tiers.move(days_later=0)
    facts = tiers.facts(days_later=10)
    plan = plan_tiers(facts)
    abroad = tiers.facts(days_later=10, only=frozenset({"EU"}))
    assert [one.asset for one in plan_tiers(abroad).refused] == [ASSET] and not plan_tiers(abroad).moves
    with pytest.raises(RefusedError, match="US"):
        carry_out(plan, abroad, tiers.handles())
    with pytest.raises(UsageError, match="not opened"):
        carry_out(plan, facts, {HOT: tiers.handles()[HOT]})
    other = new_trial_vault(MemoryStore(name="other"))
    with pytest.raises(RefusedError, match="another vault"):
        carry_out(plan, facts, tiers.handles() | {WARM: other.open().handle})
    assert not list(tiers.sites[WARM].list(""))


def test_facts_are_gathered_from_the_stores_themselves(tiers: Tiers) -> None:
    gathered = gather_snapshots(tiers.handles(), {ASSET: (HOT,)}, reads={tiers.newest: [7]}, ends={tiers.newest: 9})
    newest = next(one for one in gathered.snapshots if one.id == tiers.newest)
    assert (newest.latest, newest.validated, newest.reads_ns, newest.ends_ns) == (True, True, (7,), 9)
    assert newest.at.keys() == {HOT} and newest.at[HOT].pointed_by == ("latest", "validated")
    stored = {info.key.rpartition("/")[2]: info.size for info in tiers.trial.store.list(PACKS)}
    assert {pack for one in gathered.snapshots for pack in one.packs} == stored.keys() and gathered.packs == stored
    assert newest.fetch_bytes == sum(stored[pack] for pack in newest.packs) and newest.bytes > 0
    nobody = gather_snapshots(tiers.handles(), {})
    assert nobody.snapshots == () and set(nobody.left_out.values()) == {f"asset {ASSET!r} is not declared"}


def test_a_selected_store_shows_only_chosen_roots(tiers: Tiers) -> None:
    chosen = SelectedStore(tiers.trial.store, {tiers.newest})
    assert [info.key.rpartition("/")[2] for info in chosen.list("snapshots/")] == [tiers.newest]
    assert len(chosen.folders("snapshots/")) == 1 and chosen.folders("") == tiers.trial.store.folders("")
    assert list(chosen.list(REFS)) == list(tiers.trial.store.list(REFS))
    assert SelectedStore(tiers.trial.store, ()).folders("snapshots/") == []
