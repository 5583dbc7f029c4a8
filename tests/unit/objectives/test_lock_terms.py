"""For how long a policy asks for locks: never shorter than the rule keeps, never much longer than it promised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.objectives.calendar import LONGEST_NS, start_of
from holdfast.objectives.lock_terms import LockTerm, lock_terms, longest_promise, term_at_save, usual_least
from holdfast.objectives.retention import DROP, SnapshotFact, decide
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import BUCKETS, Policy

NS = 10**9
DAY = 86_400 * NS
LEAST = 7 * DAY


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def fact(id_: str, content: str, **other: object) -> SnapshotFact:
    time = at(content)
    given_facts: dict[str, object] = {"verdict": "good", "components": {"weights": 10, "optimizer": 20}, "proven": True}
    return SnapshotFact(
        id=id_,
        asset="m",
        created=time,
        content=time,
        committed=time,
        **{**given_facts, **other},  # type: ignore[arg-type]
    )


def policy(keep: str, more: str = "") -> Policy:
    return parse_policy(f"version: 1\nrecent: 0s\nrules:\n  - assets: m\n    keep: {keep}\n{more}")


MONTHS = [fact(f"s{month:02d}", f"2026-{month:02d}-15") for month in range(1, 7)]
MONTHS[-1] = fact("s06", "2026-06-15", latest=True, validated=True)


def terms(facts: list[SnapshotFact], rules: Policy, now: str) -> dict[str, LockTerm]:
    return lock_terms(facts, rules, LEAST, at(now))


def test_a_month_that_is_over_is_locked_until_twelve_others_may_follow() -> None:
    found = terms(MONTHS, policy("{monthly: 12}"), "2026-06-20")
    assert found["s01"].until == at("2027-01-01")
    assert found["s05"].until == at("2027-05-01")
    assert found["s01"].because[0] == "monthly 2026-01, until 2027-01-01"
    june = found["s06"]  # its month is not over: another one may take its place
    assert june.until == MONTHS[-1].committed + LEAST
    assert june.renewed
    assert "monthly 2026-06" in june.because[-1]


def test_only_the_one_that_stands_for_the_month() -> None:
    early = fact("early", "2026-01-03")
    found = terms([early, *MONTHS], policy("{monthly: 12}"), "2026-06-20")
    assert not found["early"].renewed  # the policy lets it go
    assert found["early"].until == early.committed + LEAST
    assert "not renewed: beyond monthly 12" in found["early"].because[-1]


def test_within_counts_from_the_content() -> None:
    found = terms(MONTHS, policy("{within: 60d}"), "2026-06-20")
    assert found["s05"].until == at("2026-05-15") + 60 * DAY
    assert not found["s01"].renewed


def test_what_has_no_end_is_renewed() -> None:
    for keep in ("{last: 48}", "{monthly: all}", "{last: all}"):
        found = terms(MONTHS, policy(keep), "2026-06-20")
        assert all(term.renewed for term in found.values())
        assert all(found[one.id].until == one.committed + LEAST for one in MONTHS)


def test_tags_and_holds_renew_what_the_rules_would_drop() -> None:
    tagged = fact("tagged", "2026-01-03", tags=["release"])
    assert terms([tagged, *MONTHS], policy("{last: 1}"), "2026-06-20")["tagged"].renewed


def test_assets_without_a_rule_are_renewed() -> None:
    rules = parse_policy("version: 1\nrules:\n  - assets: other\n    keep: {last: 1}\n")
    assert all(term.renewed for term in terms(MONTHS, rules, "2026-06-20").values())


def test_a_component_that_goes_earlier_is_locked_for_less() -> None:
    rules = policy("{monthly: 12}", "    components:\n      optimizer: {last: 2}\n")
    found = terms(MONTHS, rules, "2026-06-20")
    assert found["s01"].until == at("2027-01-01")
    going = found["s01"].components["optimizer"]
    assert (going.until, going.renewed) == (MONTHS[0].committed + LEAST, False)
    staying = found["s05"].components["optimizer"]  # one of the last two
    assert (staying.until, staying.renewed) == (MONTHS[4].committed + LEAST, True)


def test_a_component_may_be_what_keeps_it() -> None:
    rules = policy("{last: 1}", "    components:\n      weights: {monthly: 12}\n      optimizer: {last: 1}\n")
    found = terms(MONTHS, rules, "2026-06-20")
    assert found["s01"].until == at("2027-01-01")
    assert found["s01"].because[0].startswith("weights: monthly 2026-01")
    assert not found["s01"].components["optimizer"].renewed


def test_a_writers_clock_that_is_ahead_makes_no_lock_longer() -> None:
    """Content and creation of a year later than the store got it."""
    time = at("2026-05-15")
    ahead = SnapshotFact(
        id="ahead",
        asset="m",
        created=time + 400 * DAY,
        content=time + 400 * DAY,
        committed=time,
        verdict="good",
        components={"weights": 1},
    )
    found = terms([*MONTHS, ahead], policy("{within: 30d, monthly: 2}"), "2026-06-20")
    assert found["ahead"].until <= at("2026-07-01")


def test_a_mark_of_a_writers_makes_no_lock_shorter() -> None:
    marked = [fact("s01", "2026-01-15", verdict="quarantined", marked=True), *MONTHS[1:]]
    assert terms(marked, policy("{monthly: 12}"), "2026-06-20")["s01"].until == at("2027-01-01")


@pytest.mark.parametrize(
    ("keep", "longest", "least"),
    [
        ("{within: 3d}", 3, 3),
        ("{monthly: 12}", 12 * 31, 30),
        ("{last: 5, within: 3d}", 3, 30),
        ("{weekly: all}", 0, 30),
        ("{hourly: 24, daily: 14}", 14, 14),
    ],
)
def test_what_suits_a_policy(keep: str, longest: int, least: int) -> None:
    assert longest_promise(policy(keep)) == longest * 86_400
    assert usual_least(policy(keep)) == least * 86_400


def test_at_the_save_only_what_is_certain() -> None:
    saved = at("2026-06-15")
    rules = policy("{within: 20d, monthly: 12}")
    assert term_at_save(rules, "m", saved, saved, LEAST) == saved + 20 * DAY
    assert term_at_save(rules, "m", saved - 19 * DAY, saved, LEAST) == saved + LEAST
    assert term_at_save(rules, "m", saved + 500 * DAY, saved, LEAST) == saved + 20 * DAY
    assert term_at_save(rules, "other", saved, saved, LEAST) == saved + LEAST


def test_no_lock_is_longer_than_stores_allow() -> None:
    found = terms(MONTHS, policy("{yearly: 900000000, monthly: 900000000}"), "2026-06-20")
    assert max(term.until for term in found.values()) <= at("2026-06-20") + LONGEST_NS
    assert term_at_save(policy("{within: 999999999w}"), "m", at("2026-06-15"), at("2026-06-15"), LEAST) <= (
        at("2026-06-15") + LONGEST_NS
    )


@given(st.integers(0, 250_000_000_000), st.sampled_from(sorted(BUCKETS)), st.integers(0, 500))
def test_periods_are_those_of_the_rules(second: int, name: str, later: int) -> None:
    """The period that begins at `start_of` has the label of the moment; a second before it has another one."""
    begin = start_of(name, second * NS, later)
    if begin >= start_of(name, 253_000_000_000 * NS):
        return
    label = BUCKETS[name](datetime.fromtimestamp(begin // NS, UTC))
    assert label != BUCKETS[name](datetime.fromtimestamp(begin // NS - 1, UTC)) or begin == 0
    if later == 0:
        assert begin <= second * NS < start_of(name, second * NS, 1)
        assert label == BUCKETS[name](datetime.fromtimestamp(second, UTC))


_RULES = st.fixed_dictionaries(
    {},
    optional={
        "last": st.integers(1, 4),
        "daily": st.integers(1, 10),
        "weekly": st.integers(1, 5),
        "monthly": st.integers(1, 4),
        "within": st.sampled_from(["3d", "20d"]),
    },
).filter(bool)


@settings(max_examples=60, deadline=None)
@given(_RULES, st.lists(st.integers(0, 119), min_size=1, max_size=25, unique=True), st.integers(1, 3))
def test_no_lock_ends_before_the_rule_lets_go(rule: dict[str, int | str], days: list[int], every: int) -> None:
    """Snapshots come day by day, locks are extended every few days: whatever the rules keep is locked when they look,
    and nothing is locked for longer than a renewal beyond what was promised.
    """
    text = ", ".join(f"{name}: {value}" for name, value in rule.items())
    rules = policy(f"{{{text}}}")
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    locked: dict[str, int] = {}
    there: list[SnapshotFact] = []
    for day in range(130):
        now = int((begin + timedelta(days=day)).timestamp()) * NS
        if day in days:
            made = fact(f"d{day:03d}", f"{begin + timedelta(days=day):%Y-%m-%d}", validated=True)
            there = [
                SnapshotFact(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "validated": False})
                for one in there
            ]
            there.append(made)
            locked[made.id] = term_at_save(rules, "m", made.content, made.committed, LEAST)
        if day % every == 0:
            for id_, term in lock_terms(there, rules, LEAST, now).items():
                need = max(term.until, now + LEAST // 2) if term.renewed else term.until
                if locked[id_] < need:
                    locked[id_] = max(term.until, now + LEAST) if term.renewed else term.until
        for one in decide(there, rules, now):
            if one.action != DROP:
                assert locked[one.snapshot] > now, (one, text)
