"""Retention where names are odd, clocks are wrong, and a rule is about what is not there."""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
import pytest

from holdfast.objectives.retention import DROP, KEEP, SnapshotFact, decide
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Keep, Policy, Rule, matches
from holdfast.vault.saving.tree import component_of

DAY = 86400 * 10**9
NOW = 20_000 * DAY
YEAR = 365 * DAY


def fact(number: int, time: int, **more: Any) -> SnapshotFact:
    usual = {"created": time, "committed": time, "verdict": "good", "components": {"weights": 1}}
    return SnapshotFact(id=f"s{number:03d}", asset="llama", content=time, **(usual | more))


def dropped(facts: list[SnapshotFact], rule: Rule) -> list[str]:
    return [one.snapshot for one in decide(facts, Policy(version=1, rules=[rule]), NOW) if one.action == DROP]


@pytest.fixture
def twenty() -> list[SnapshotFact]:
    """One a day; the last is validated."""
    facts = [fact(number, NOW - (20 - number) * DAY) for number in range(19)]
    return [*facts, fact(19, NOW - DAY, latest=True, validated=True, proven=True)]


def test_a_clock_that_is_ahead_does_not_make_the_others_old(twenty: list[SnapshotFact]) -> None:
    """The snapshot says of itself that it is of next year: beside it all others would be beyond `within`."""
    ahead = fact(50, NOW + YEAR, committed=NOW - 2 * DAY)
    assert dropped([*twenty, ahead], Rule(assets="*", keep=Keep(within="30d"))) == []


def test_a_clock_that_is_ahead_does_not_push_the_others_out(twenty: list[SnapshotFact]) -> None:
    ahead = [fact(50 + number, NOW + YEAR + number, committed=NOW - 19 * DAY) for number in range(5)]
    gone = dropped([*twenty, *ahead], Rule(assets="*", keep=Keep(last=5)))
    assert gone == [one.id for one in twenty[:-5]], "what either clock selects stays"


def test_a_store_whose_clock_is_behind_does_not_push_the_newest_out(twenty: list[SnapshotFact]) -> None:
    behind = [fact(50 + number, NOW - DAY // 2 + number, committed=NOW - YEAR) for number in range(5)]
    gone = dropped([*twenty, *behind], Rule(assets="*", keep=Keep(last=5)))
    assert {one.id for one in behind}.isdisjoint(gone)


def test_a_component_goes_only_from_what_is_older_by_both_clocks(twenty: list[SnapshotFact]) -> None:
    rule = Rule(assets="*", keep=Keep(last="all"), components={"optimizer": Keep(last=1)})
    both = {"weights": 1, "optimizer": 2}
    facts = [msgspec.structs.replace(one, components=both) for one in twenty]
    odd = fact(50, NOW - DAY // 2, committed=NOW - YEAR, components=both)
    thinned = [
        one.snapshot for one in decide([*facts, odd], Policy(version=1, rules=[rule]), NOW) if one.action == "thin"
    ]
    assert thinned == [one.id for one in twenty[:-1]]


def test_a_store_that_does_not_know_the_time_bounds_nothing(twenty: list[SnapshotFact]) -> None:
    """Some archives give all their files the time 0."""
    flat = [fact(number, one.content, committed=0, validated=one.validated) for number, one in enumerate(twenty)]
    assert dropped(flat, Rule(assets="*", keep=Keep(daily=5))) == [f"s{number:03d}" for number in range(15)]


def test_a_rule_about_what_is_not_there_keeps_all(twenty: list[SnapshotFact]) -> None:
    rule = Rule(assets="*", components={"optimizer": Keep(last=3)})
    decided = decide(twenty, Policy(version=1, rules=[rule]), NOW)
    assert {one.action for one in decided} == {KEEP}
    assert "selects nothing at all" in decided[0].reasons[0]


def test_nothing_counts_as_validated_that_was_quarantined(twenty: list[SnapshotFact]) -> None:
    quarantined = fact(19, NOW - DAY, latest=True, validated=True, verdict="quarantined")
    assert dropped([*twenty[:-1], quarantined], Rule(assets="*", keep=Keep(last=1))) == []


def test_in_a_glob_only_star_and_question_mark_stand_for_something() -> None:
    assert matches("run[12]", "run[12]") and matches("run[12]-b", "run[1?]*")
    assert not matches("run1", "run[12]") and not matches("run!", "run[!a]")


def test_names_match_however_their_letters_are_composed() -> None:
    composed, apart = (unicodedata.normalize(form, "café-1") for form in ("NFC", "NFD"))
    assert composed != apart
    assert all(matches(name, f"{glob[:-1]}*") for name in (composed, apart) for glob in (composed, apart))


def test_the_components_that_rules_know_are_those_that_there_are() -> None:
    paths = (b"model.safetensors", b"optimizer.pt", b"rng_state.pth", b"dataloader.json")
    for name in map(component_of, paths):
        parse_policy(f"version: 1\nrules: [{{assets: a, components: {{{name}: {{last: 1}}}}}}]")
