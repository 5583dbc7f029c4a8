"""No plan of tiers breaks an RTO, a jurisdiction, or the number of copies: its effect is played through, step by step,
and judged by a checker that shares no code with the planner.
"""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from holdfast.economics.book import PriceBook, Region, load_list_prices
from holdfast.replication.tiering.facts import (
    DAY_NS,
    Asset,
    Facts,
    Lying,
    Owed,
    Raised,
    Rate,
    Rules,
    Site,
    Snapshot,
    Store,
    Tier,
)
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import Move, Verb, explain
from holdfast.testing.tier_checking import Breach, breaches_of

BOOK: PriceBook = load_list_prices()
NOW = 2000 * DAY_NS
REGIONS = [Region("aws", "us-east-1"), Region("gcp", "europe-west4"), Region("azure", "westeurope")]
CLASSES = {
    "aws": ["aws/fsx-lustre-ssd-125", "aws/s3-standard", "aws/s3-glacier-instant", "aws/s3-deep-archive"],
    "gcp": ["gcp/pd-ssd", "gcp/standard", "gcp/coldline", "gcp/archive"],
    "azure": ["azure/premium-block-blob", "azure/cool", "azure/archive"],
}
TIERS = list(Tier)


@st.composite
def worlds(draw: st.DrawFn) -> Facts:
    """Up to four sites with stores of any tier, up to three assets with snapshots that share packs, anywhere."""
    sites, stores, rates = [], [], []
    plausible = draw(st.sampled_from([True, True, False]))  # else most plans only say what is missing
    for number in range(draw(st.integers(2, 3) if plausible else st.integers(1, 4))):
        region = draw(st.sampled_from(REGIONS))
        name = f"site{number}"
        domain = draw(st.sampled_from(["", "", "", "" if plausible else "shared"]))
        jurisdiction = draw(st.sampled_from(["EU", "US"]))
        sites.append(Site(name=name, region=region, jurisdiction=jurisdiction, domain=domain))
        for tier in draw(st.lists(st.sampled_from(TIERS), min_size=2 if plausible else 1, max_size=3, unique=True)):
            price = BOOK.storage_price(draw(st.sampled_from(CLASSES[region.cloud])), region.name)
            capacity = draw(st.sampled_from([None, None, None, 3 * 10**11]))
            stores.append(Store(name=f"{name}/{tier}", site=name, tier=tier, price=price, capacity_bytes=capacity))
    for store in stores:
        for site in sites:
            rate = draw(st.sampled_from([2e9, 5e8] if plausible else [None, 5e7, 5e8, 2e9]))
            if rate is not None:
                age = draw(st.sampled_from([0, 0, 0, 40]))
                rates.append(
                    Rate(store=store.name, site=site.name, bytes_per_second=rate, measured_ns=NOW - age * DAY_NS)
                )
    names = [site.name for site in sites]
    assets, snapshots, packs = [], [], {}
    for number in range(draw(st.integers(1, 3))):
        law = draw(st.sampled_from([None, None if plausible else frozenset({"EU"})]))
        owed = Owed(
            name="some",
            rto_seconds=draw(st.sampled_from([3600.0, 14400.0, 86400.0, 900.0 if plausible else None])),
            copies=draw(st.integers(1, 2 if plausible else 3)),
            only_jurisdictions=law,
        )
        asset = Asset(
            name=f"asset{number}",
            owed=owed,
            sites=tuple(draw(st.lists(st.sampled_from(names), min_size=1, unique=True))),
            recover_at=tuple(
                draw(st.lists(st.sampled_from(names), min_size=len(names) - 1 if plausible else 0, unique=True))
            ),
            rules=Rules(
                warm_after=draw(st.sampled_from([0.0, 7 * 86400.0])),
                cold_after=draw(st.sampled_from([0.0, 30 * 86400.0])),
                gain=draw(st.sampled_from([0.0, 0.1])),
                settle=draw(st.sampled_from([0.0, 2 * 86400.0])),
            ),
            verify_bytes_per_second=draw(st.sampled_from([1e9, 1e9, 1e9, 1e9 if plausible else None])),
        )
        assets.append(asset)
        base = f"base{number}"
        packs[base] = 2 * 10**11
        for which in range(draw(st.integers(0, 4))):
            own = f"own{number}-{which}"
            packs[own] = draw(st.sampled_from([10**9, 10**11]))
            needs = frozenset({own, base} if draw(st.booleans()) else {own})
            at = draw(
                st.lists(st.sampled_from([store.name for store in stores]), min_size=2 if plausible else 1, unique=True)
            )
            age = draw(st.sampled_from([0, 3, 20, 100, 500]))
            lying = {
                name: Lying(
                    since_ns=NOW - min(age, draw(st.sampled_from([0, 1, 60, 400]))) * DAY_NS,
                    verified_ns=draw(st.sampled_from([NOW - DAY_NS, NOW - DAY_NS, NOW - DAY_NS, None])),
                    pointed_by=draw(st.sampled_from([(), (), (), ("tag release",)])),
                )
                for name in at
            }
            fetch = sum(packs[pack] for pack in needs)
            snapshots.append(
                Snapshot(
                    id=f"s{number}-{which}",
                    asset=asset.name,
                    time_ns=NOW - age * DAY_NS,
                    bytes=2 * fetch,
                    fetch_bytes=fetch,
                    packs=needs,
                    at=lying,
                    reads_ns=tuple(NOW - day * DAY_NS for day in draw(st.lists(st.integers(0, 60), max_size=3))),
                    ends_ns=draw(st.sampled_from([None, NOW + 20 * DAY_NS])),
                )
            )
    raised = [
        Raised(snapshot=one.id, store=draw(st.sampled_from(stores)).name, until_ns=NOW + 5 * DAY_NS, reason="a drill")
        for one in snapshots
        if draw(st.integers(0, 5)) == 0
    ]
    return Facts(
        now_ns=NOW,
        book=BOOK,
        sites=tuple(sites),
        stores=tuple(stores),
        rates=tuple(rates),
        assets=tuple(assets),
        snapshots=tuple(snapshots),
        packs=packs,
        raised=tuple(raised),
    )


def carried_out(facts: Facts, moves: tuple[Move, ...]) -> Facts:
    """The facts after these moves."""
    at = {one.id: dict(one.at) for one in facts.snapshots}
    for move in moves:
        if move.verb is Verb.DROP:
            del at[move.snapshot][move.store]
        else:
            before = at[move.snapshot].get(move.store, Lying(since_ns=facts.now_ns))
            at[move.snapshot][move.store] = msgspec.structs.replace(before, verified_ns=facts.now_ns)
    left = tuple(msgspec.structs.replace(one, at=at[one.id]) for one in facts.snapshots)
    return msgspec.structs.replace(facts, snapshots=left)


def judged(facts: Facts, snapshot: Snapshot) -> set[tuple[str, tuple[str, ...], str]]:
    """What the checker finds wrong, with the rates that count as measured."""
    asset = next(one for one in facts.assets if one.name == snapshot.asset)
    fresh = asset.rules.fresh * 1e9
    rates = {(rate.store, rate.site): rate.bytes_per_second for rate in facts.rates if NOW - rate.measured_ns <= fresh}
    verified = [name for name, lying in snapshot.at.items() if lying.verified_ns is not None]
    found = breaches_of(facts, snapshot, verified, rates, share_of_rto=asset.rules.margin)
    return {(one.kind, one.lost, one.text if one.kind == "jurisdiction" else "") for one in found}


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(worlds())
def test_no_step_of_any_plan_takes_away_what_is_owed(facts: Facts) -> None:
    plan = plan_tiers(facts)
    event("moves" if plan.moves else "nothing to do")
    for done in range(1, len(plan.moves) + 1):
        move = plan.moves[done - 1]
        before, after = carried_out(facts, plan.moves[: done - 1]), carried_out(facts, plan.moves[:done])
        was = next(one for one in before.snapshots if one.id == move.snapshot)
        now = next(one for one in after.snapshots if one.id == move.snapshot)
        event(str(move.verb))
        # Nothing is worse than it was; a drop leaves nothing wrong but what lies where it must not and cannot leave.
        assert judged(after, now) <= judged(before, was), str(move)
        if move.verb is Verb.DROP:
            assert now.at and not now.at.keys() - facts_of(facts)
            assert {kind for kind, _, _ in judged(after, now)} <= {"jurisdiction"}, str(move)
            verified = {name for name, lying in now.at.items() if lying.verified_ns is not None}
            assert set(move.needs) <= verified and not was.at[move.store].pointed_by


def facts_of(facts: Facts) -> set[str]:
    return {store.name for store in facts.stores}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(worlds())
def test_nothing_is_copied_where_it_must_not_lie_and_stores_are_not_overfilled(facts: Facts) -> None:
    law = {site.name: site.jurisdiction for site in facts.sites}
    stores = {store.name: store for store in facts.stores}
    owed = {asset.name: asset.owed for asset in facts.assets}
    plan = plan_tiers(facts)
    for move in plan.moves:
        if move.verb is Verb.COPY:
            assert owed[move.asset].allows(law[stores[move.store].site])
            assert move.source in next(one for one in facts.snapshots if one.id == move.snapshot).at
    for asset in facts.assets:
        if not all(asset.owed.allows(law[site]) for site in (*asset.sites, *asset.recover_at)):
            assert asset.name in {one.asset for one in plan.refused}
            assert not [move for move in plan.moves if move.asset == asset.name]
    after = carried_out(facts, tuple(move for move in plan.moves if move.verb is Verb.COPY))
    for name, store in stores.items():
        if store.capacity_bytes is not None:
            before_packs = {pack for one in facts.snapshots if name in one.at for pack in one.packs}
            packs = {pack for one in after.snapshots if name in one.at for pack in one.packs}
            grown = packs != before_packs
            assert not grown or sum(facts.packs[pack] for pack in packs) <= store.capacity_bytes


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(worlds(), st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_carrying_plans_out_comes_to_rest_and_nothing_swings(facts: Facts, days: list[int]) -> None:
    """With no reads and unchanged measurements, what has left a store never comes back to it. A plan that was carried
    out leaves nothing to do, but for what then has room in a store that was full.
    """
    facts = msgspec.structs.replace(facts, raised=())
    facts = msgspec.structs.replace(
        facts, snapshots=tuple(msgspec.structs.replace(one, reads_ns=()) for one in facts.snapshots)
    )
    left: set[tuple[str, str]] = set()
    for step in [0, *days]:
        later = facts.now_ns + step * DAY_NS
        rates = tuple(
            msgspec.structs.replace(rate, measured_ns=rate.measured_ns + step * DAY_NS) for rate in facts.rates
        )
        facts = msgspec.structs.replace(facts, now_ns=later, rates=rates)
        limited = any(store.capacity_bytes is not None for store in facts.stores)
        for _ in range(4 if limited else 1):
            plan = plan_tiers(facts)
            came = {(move.snapshot, move.store) for move in plan.moves if move.verb is Verb.COPY}
            assert not came & left, f"{came & left} left before"
            left |= {(move.snapshot, move.store) for move in plan.moves if move.verb is Verb.DROP}
            facts = carried_out(facts, plan.moves)
        again = plan_tiers(facts)
        assert not again.moves, [str(move) for move in again.moves]


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(worlds(), st.randoms())
def test_the_order_of_the_facts_decides_nothing_and_all_is_explained(facts: Facts, random: object) -> None:
    plan = plan_tiers(facts)
    shuffled = list(facts.snapshots)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_tiers(msgspec.structs.replace(facts, snapshots=tuple(shuffled))) == plan
    for decision in plan.decisions:
        assert all(line.endswith(".") for line in explain(decision))
        assert decision.moves or any(line.startswith("Nothing moves") for line in explain(decision))


def test_the_checker_sees_what_is_wrong() -> None:
    """It can say no: one copy too few, too slow a store, a forbidden place."""
    site = Site(name="a", region=REGIONS[0], jurisdiction="US")
    store = Store(name="a/cold", site="a", tier=Tier.COLD, price=BOOK.storage_price("aws/s3-deep-archive", "us-east-1"))
    owed = Owed(name="c", rto_seconds=3600.0, copies=2, only_jurisdictions=frozenset({"EU"}))
    asset = Asset(name="x", owed=owed, sites=("a",), recover_at=("a",), verify_bytes_per_second=1e9)
    snapshot = Snapshot(id="s", asset="x", time_ns=0, bytes=1, fetch_bytes=1, packs=frozenset(), at={})
    facts = Facts(
        now_ns=0, book=BOOK, sites=(site,), stores=(store,), rates=(), assets=(asset,), snapshots=(snapshot,), packs={}
    )
    kinds = [one.kind for one in breaches_of(facts, snapshot, ["a/cold"], {("a/cold", "a"): 1e9})]
    assert kinds == ["jurisdiction", "copies"]  # no machines are left when `a` is lost
    single = msgspec.structs.replace(
        facts,
        assets=(msgspec.structs.replace(asset, owed=msgspec.structs.replace(owed, copies=1, only_jurisdictions=None)),),
    )
    found = breaches_of(single, snapshot, ["a/cold"], {("a/cold", "a"): 1e9})
    assert [one.kind for one in found] == ["rto"] and isinstance(found[0], Breach)
