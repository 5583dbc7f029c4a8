"""No plan restores before it fences, or promotes before it verifies: whatever the facts, and whoever builds the graph.

The checker walks the graph by itself and shares no code with the plans.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from holdfast.clock import NANOSECONDS
from holdfast.errors import HoldfastError, RefusedError, UsageError
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import NOTHING, UNKNOWN, Estimate, Rate, Source
from holdfast.recovery.facts import Answer, Asset, Compute, Facts, Proof, Replica, Site, Snapshot
from holdfast.recovery.intents import AsOf, Intent, Newest, Strategy
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.plans import Kind, Plan, Step, build_plan, plan_hash
from holdfast.recovery.reviewing.review import review_plan

NOW = 10**18
SITES = ("a", "b", "c")
ASSETS = ("one", "two")
estimates = st.one_of(
    st.just(UNKNOWN),
    st.builds(Estimate, seconds=st.floats(0, 1e6), error=st.floats(0, 1e3), source=st.sampled_from(list(Source)[:3])),
)
rates = st.builds(Rate, bytes_per_second=st.floats(1, 1e10), error=st.floats(0, 1), source=st.just(Source.MEASURED))
ages = st.integers(0, 40 * 86400).map(lambda seconds: NOW - seconds * NANOSECONDS)
proofs = st.one_of(st.none(), st.builds(Proof, at=ages, level=st.sampled_from(["decoded", "present", "stored-bytes"])))


@st.composite
def assets(draw: st.DrawFn, name: str, likely: bool) -> Asset:
    needs = draw(st.integers(0, 2 if likely else 4))
    return Asset(
        name=name,
        home=draw(st.sampled_from(["", *SITES, "elsewhere"])),
        epoch=draw(st.integers(0, 9)),
        rto=draw(st.one_of(st.none(), st.floats(0, 1e5))),
        interval=draw(st.floats(1, 1e5)),
        jurisdictions=() if likely else draw(st.sampled_from([(), (), ("EU",), ("EU", "US")])),
        needs=needs,
        least=draw(st.integers(0, needs)),
        shapes=("big", "small") if needs else (),
        verifying=draw(st.one_of(st.none(), rates)),
        starting=draw(estimates),
        traffic=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn) -> Facts:
    likely = draw(st.sampled_from([True, True, False]))
    standing = {"one": SnapshotId("o0"), "two": SnapshotId("t0")}
    answers = st.just(Answer.YES) if likely else st.sampled_from(list(Answer))
    sites = [
        Site(
            name=name,
            jurisdiction=draw(st.sampled_from(["EU", "US"])),
            answer=draw(answers),
            state="ok" if likely else draw(st.sampled_from(["ok", "ok", "failed", "draining", "rebuilding"])),
            compute=tuple(
                Compute(
                    shape=shape,
                    ready=draw(st.integers(4 if likely else 0, 4)),
                    free=draw(st.integers(2 if likely else 0, 9)),
                    probed=NOW,
                    getting=draw(estimates),
                )
                for shape in (("small", "big") if likely else draw(st.sampled_from([("big",), ("small", "big"), ()])))
            ),
            restored=standing if likely else draw(st.sampled_from([{}, standing])),
        )
        for name in SITES
    ]
    snapshots = []
    for asset in ASSETS:
        for number in range(draw(st.integers(1 if likely else 0, 3))):
            replicas = tuple(
                Replica(
                    site=name,
                    store=f"{name}/hot",
                    whole=likely or draw(st.booleans()),
                    fetch=draw(st.integers(0, 10**12)),
                    proof=Proof(at=NOW, level="decoded") if likely else draw(proofs),
                    rates=draw(st.dictionaries(st.sampled_from(SITES), rates)),
                )
                for name in (SITES if likely else draw(st.lists(st.sampled_from(SITES), unique=True)))
            )
            verdict = "good" if likely and not number else draw(st.sampled_from(["good", "warned", "quarantined"]))
            snapshots.append(
                Snapshot(
                    id=SnapshotId(f"{asset[0]}{number}"),
                    asset=asset,
                    content=NOW - 41 * 86400 * NANOSECONDS if likely and not number else draw(ages),
                    verdict=verdict,
                    replicas=replicas,
                )
            )
    made = tuple(draw(assets(name, likely)) for name in ASSETS)
    return Facts(
        at=NOW,
        assets=made,
        sites=tuple(sites),
        snapshots=tuple(snapshots),
        detecting=draw(estimates),
        deciding=draw(estimates),
        acting=draw(estimates),
    )


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    isolated = draw(st.booleans())
    return Intent(
        name="r",
        assets=draw(st.sampled_from([("one",), ("two",), ("one", "two")])),
        to=tuple(draw(st.permutations(SITES))),
        strategy=draw(st.sampled_from(list(Strategy))),
        point=draw(st.sampled_from([Newest(), Newest(), AsOf(NOW - 20 * 86400 * NANOSECONDS)])),
        graceful=not isolated and draw(st.sampled_from([False, False, True])),
        isolated=isolated,
        by="ada",
        approvers=0,
    )


def before(plan: Plan, step: Step) -> list[Step]:
    """All that must have ended before a step, found by walking back."""
    found: dict[str, Step] = {}
    waiting = list(step.after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = next(one for one in plan.steps if one.id == name)
            waiting += found[name].after
    return list(found.values())


def problems(plan: Plan, facts: Facts) -> list[str]:
    """What is wrong with a plan, by somebody who never saw the planner."""
    said: list[str] = []
    homes = {asset.name: asset.home for asset in facts.assets}
    jurisdictions = {asset.name: asset.jurisdictions for asset in facts.assets}
    where = {site.name: site.jurisdiction for site in facts.sites}
    for step in plan.steps:
        earlier = before(plan, step)
        kinds = {(one.kind, one.asset, one.site) for one in earlier}
        home = homes[step.asset]
        if step.kind is Kind.RESTORE:
            if home and not plan.intent.isolated and (Kind.FENCE, step.asset, home) not in kinds:
                said.append(f"{step.id} before a fence of {home}")
            if jurisdictions[step.asset] and where[step.site] not in jurisdictions[step.asset]:
                said.append(f"{step.id} in {where[step.site]}")
        if step.kind is Kind.PROMOTE and (Kind.VERIFY, step.asset, step.site) not in kinds:
            said.append(f"{step.id} before it is verified")
        serving = step.kind in (Kind.START, Kind.TRAFFIC) and not plan.intent.isolated
        if serving and (Kind.PROMOTE, step.asset, step.site) not in kinds:
            said.append(f"{step.id} before it is promoted")
        if plan.intent.isolated and step.kind in (Kind.FENCE, Kind.PROMOTE, Kind.TRAFFIC, Kind.STOP, Kind.SAVE):
            said.append(f"{step.id} in isolation")
    return said


@given(worlds(), intents())
def test_whatever_the_facts(facts: Facts, intent: Intent) -> None:
    try:
        plan = plan_recovery(intent, facts)
    except HoldfastError as error:
        event(type(error).__name__)
        assert isinstance(error, RefusedError) and error.hint
        return
    event(f"{intent.strategy} {'isolated' if intent.isolated else 'real'}")
    assert problems(plan, facts) == []
    assert plan_recovery(intent, facts) == plan, "the same facts make the same plan"
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    known = [facts.detecting, facts.deciding, *(step.estimate for step in plan.steps)]
    assert plan.rto.known is all(one.known for one in known)
    chosen = {one.asset: one for one in plan.chosen}
    for snapshot in facts.snapshots:
        if snapshot.asset in chosen and snapshot.id == chosen[snapshot.asset].snapshot:
            assert snapshot.verdict != "quarantined"
    review = review_plan(plan, facts)
    allowed = {"STALE_REPLICA"}
    assert {one.code for one in review.refusals} <= allowed, "what was planned a moment ago passes, but for its age"


kinds = st.sampled_from([Kind.FENCE, Kind.RESTORE, Kind.VERIFY, Kind.PROMOTE, Kind.START, Kind.TRAFFIC, Kind.SHELL])


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    steps = []
    for number in range(draw(st.integers(1, 7))):
        after = draw(st.lists(st.integers(0, number - 1), unique=True)) if number else []
        kind = draw(kinds)
        steps.append(
            Step(
                id=f"s{number}",
                kind=kind,
                title="x",
                site="a" if kind is Kind.FENCE else "b",
                asset="one",
                after=tuple(f"s{one}" for one in after),
                estimate=NOTHING,
                no_undo="x",
            )
        )
    return steps


@given(graphs(), st.booleans())
def test_whoever_builds_the_graph(steps: list[Step], isolated: bool) -> None:
    intent = Intent(name="r", assets=("one",), to=("b",), strategy=Strategy.BACKUP_AND_RESTORE, isolated=isolated)
    facts = Facts(
        at=NOW,
        assets=(Asset(name="one", home="a", interval=1.0),),
        sites=(Site(name="b", jurisdiction="EU"),),
    )
    plan = Plan(
        intent=intent,
        site="b",
        facts_at=NOW,
        fresh_until=NOW,
        chosen=(),
        steps=tuple(steps),
        detecting=NOTHING,
        deciding=NOTHING,
    )
    try:
        built = build_plan(plan, fenced={} if isolated else {"one": ["a"]})
    except RefusedError:
        event("refused")
        return
    event("built")
    assert problems(built, facts) == []


def test_circles_doubles_and_strangers_are_refused() -> None:
    def plan(*steps: Step) -> Plan:
        intent = Intent(name="r", assets=("one",), to=("b",), strategy=Strategy.PILOT_LIGHT)
        return Plan(
            intent=intent,
            site="b",
            facts_at=NOW,
            fresh_until=NOW,
            chosen=(),
            steps=steps,
            detecting=NOTHING,
            deciding=NOTHING,
        )

    def step(name: str, *after: str) -> Step:
        return Step(id=name, kind=Kind.SHELL, title="x", site="b", after=after, estimate=NOTHING, no_undo="x")

    for steps, words in (
        ([step("x", "y"), step("y", "x")], "wait for each other"),
        ([step("x"), step("x")], "two steps"),
        ([step("x", "z")], "does not have"),
    ):
        with pytest.raises(UsageError, match=words):
            build_plan(plan(*steps), fenced={})
    one = plan(step("x"))
    assert plan_hash(one) != plan_hash(msgspec.structs.replace(one, facts_at=NOW + 1))
