"""Retention decides soundly whatever the vault holds: nothing protected goes, and nothing depends on the order."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.objectives.retention import DROP, KEEP, THIN, Decision, Hold, SnapshotFact, decide, remaining
from holdfast.objectives.retention_rules import Keep, Policy, Rule

HOUR = 3600 * 10**9
NOW = 2_000_000 * HOUR // 3  # some day in 2046
COMPONENTS = ("weights", "optimizer", "other")

amounts = st.one_of(st.just(0), st.integers(1, 6), st.just("all"))
withins = st.sampled_from(["", "1h", "7d"])


def keeps() -> st.SearchStrategy[Keep]:
    names = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    return st.builds(Keep, within=withins, **dict.fromkeys(names, amounts))


rules = st.builds(
    Rule,
    assets=st.sampled_from([["*"], ["llama"], ["ll*", "bert"]]),
    keep=keeps(),
    tags=st.sampled_from(["protect", "ignore", ["release-*"]]),
    components=st.dictionaries(st.sampled_from(["weights", "optimizer"]), keeps(), max_size=2),
)
policies = st.builds(lambda rules: Policy(version=1, rules=rules, recent="1h"), st.lists(rules, min_size=1, max_size=2))


@st.composite
def vaults(draw: Any) -> list[SnapshotFact]:
    facts: list[SnapshotFact] = []
    for asset in ("llama", "bert"):
        count = draw(st.integers(0, 9))
        ages = draw(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 24 * 40)), min_size=count, max_size=count))
        own = []
        for number, age in enumerate(ages):
            has = draw(st.sets(st.sampled_from(COMPONENTS), min_size=1))
            time = NOW - age * HOUR
            verdict = draw(st.sampled_from(["good", "good", "good", "warned", "quarantined"]))
            own.append(
                SnapshotFact(
                    id=f"{asset}-{number:02d}",
                    asset=asset,
                    created=time + draw(st.integers(-2, 2)) * HOUR,
                    content=time,
                    committed=time + draw(st.integers(-60, 3)) * HOUR // 2,
                    verdict=verdict,
                    components=dict.fromkeys(sorted(has), 10),
                    proven=verdict == "good" and draw(st.booleans()),
                    marked=verdict == "quarantined" and draw(st.booleans()),
                    leased=draw(st.integers(0, 9)) == 0,
                    tags=draw(st.sampled_from([[], [], ["release-1"], ["best"]])),
                    holds=draw(st.sampled_from([[], [], [Hold(reason="audit")], [Hold(reason="over", until=NOW - 1)]])),
                )
            )
        usable = [number for number, fact in enumerate(own) if fact.verdict != "quarantined"]
        if usable and draw(st.booleans()):
            at = draw(st.sampled_from(usable))
            own[at] = msgspec.structs.replace(own[at], validated=True, proven=True)
            at = draw(st.sampled_from(usable))
            own[at] = msgspec.structs.replace(own[at], latest=True)
        facts += own
    return facts


def by_id(decisions: list[Decision]) -> dict[str, Decision]:
    return {one.snapshot: one for one in decisions}


@given(vaults(), policies)
def test_what_is_protected_stays_whole(facts: list[SnapshotFact], policy: Policy) -> None:
    decided = by_id(decide(facts, policy, NOW))
    assert decided.keys() == {fact.id for fact in facts}
    for fact in facts:
        rule = policy.rule_for(fact.asset)
        held = any(hold.until is None or hold.until > NOW for hold in fact.holds)
        recent = NOW - fact.committed < HOUR
        proven = any(one.validated for one in facts if one.asset == fact.asset)
        whole = fact.latest or fact.validated or held or fact.leased or recent or not proven
        whole = whole or (rule is not None and rule.tags == "protect" and bool(fact.tags))
        usable = [one for one in facts if one.asset == fact.asset and one.verdict != "quarantined"]
        whole = whole or fact == max(usable, key=lambda one: (one.time, one.id), default=None)
        if whole or rule is None:
            assert decided[fact.id].action == KEEP, fact
        if rule is not None and rule.tags != "ignore" and fact.tags:
            assert decided[fact.id].action != DROP
        assert decided[fact.id].reasons


@given(vaults(), policies)
def test_a_component_goes_only_where_a_newer_proven_snapshot_keeps_it(
    facts: list[SnapshotFact], policy: Policy
) -> None:
    decisions = decide(facts, policy, NOW)
    decided = by_id(decisions)
    left = remaining(facts, decided)
    for fact in facts:
        if decided[fact.id].action == THIN:
            for name in decided[fact.id].components:
                assert any(
                    one.asset == fact.asset and one.proven and name in one.components and one.time >= fact.time
                    for one in left
                )
            assert fact.components.keys() - decided[fact.id].components.keys(), "nothing would be left"
            assert "other" not in decided[fact.id].components


@given(vaults(), policies)
def test_after_it_was_applied_nothing_is_left_to_do(facts: list[SnapshotFact], policy: Policy) -> None:
    left = remaining(facts, by_id(decide(facts, policy, NOW)))
    again = decide(left, policy, NOW)
    assert [one.action for one in again] == [KEEP] * len(left)


@given(vaults(), policies, st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(facts: list[SnapshotFact], policy: Policy, random: Any) -> None:
    shuffled = facts.copy()
    random.shuffle(shuffled)
    assert decide(shuffled, policy, NOW) == decide(facts, policy, NOW)


def more(amount: Any, by: int) -> Any:
    return "all" if amount == "all" or by == 5 else amount + by


@given(vaults(), rules, st.integers(1, 5), st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]))
def test_a_rule_that_allows_more_keeps_all_that_the_other_keeps(
    facts: list[SnapshotFact], rule: Rule, by: int, name: str
) -> None:
    def wider(keep: Keep) -> Keep:
        return msgspec.structs.replace(keep, **{name: more(getattr(keep, name), by)})

    loose = msgspec.structs.replace(
        rule, keep=wider(rule.keep), components={key: wider(keep) for key, keep in rule.components.items()}
    )
    strict = decide(facts, Policy(version=1, rules=[rule]), NOW)
    # A rule that selects nothing at all of an asset is taken for a mistake, and drops nothing of it.
    mistaken = {one.asset for one in strict if one.reasons == ["its rule selects nothing at all of this asset"]}
    strict_left = [fact for fact in remaining(facts, by_id(strict)) if fact.asset not in mistaken]
    loose_left = {
        fact.id: fact for fact in remaining(facts, by_id(decide(facts, Policy(version=1, rules=[loose]), NOW)))
    }
    for fact in strict_left:
        assert fact.id in loose_left
        assert fact.components.keys() <= loose_left[fact.id].components.keys()


@settings(max_examples=30)
@given(vaults(), policies)
def test_facts_survive_being_written_down(facts: list[SnapshotFact], policy: Policy) -> None:
    written = msgspec.json.decode(msgspec.json.encode((facts, policy)), type=tuple[list[SnapshotFact], Policy])
    assert decide(*written, NOW) == decide(facts, policy, NOW)


@given(vaults(), policies)
def test_marking_never_has_anything_dropped(facts: list[SnapshotFact], policy: Policy) -> None:
    plain = [msgspec.structs.replace(one, verdict="warned", marked=False) if one.marked else one for one in facts]
    stayed = {one.snapshot for one in decide(plain, policy, NOW) if one.action != DROP}
    for one in decide(facts, policy, NOW):
        assert one.action != DROP or one.snapshot not in stayed
