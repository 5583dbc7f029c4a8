"""A policy is understood, or refused with the line; rules select what they say."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from holdfast.clock import from_rfc3339
from holdfast.errors import UsageError
from holdfast.objectives.retention import DROP, KEEP, THIN, Hold, SnapshotFact, decide
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Keep, Policy, Rule, select

EXAMPLE = """\
version: 1
recent: 30min
rules:
  - assets: [llama-*, bert]
    keep: {last: 5, daily: 14, weekly: all, within: 7d}
    tags: [release-*]
    components:
      optimizer: {last: 3}
      weights: {daily: all}
  - assets: "*"
    keep:
      monthly: 12
    tags: ignore
"""


def test_everything_that_a_policy_can_say_is_understood() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy == Policy(
        version=1,
        recent="30min",
        rules=[
            Rule(
                assets=["llama-*", "bert"],
                keep=Keep(last=5, daily=14, weekly="all", within="7d"),
                tags=["release-*"],
                components={"optimizer": Keep(last=3), "weights": Keep(daily="all")},
            ),
            Rule(assets=["*"], keep=Keep(monthly=12), tags="ignore"),
        ],
    )
    first = policy.rule_for("llama-7b")
    assert first is not None and first.tags == ["release-*"]
    assert policy.rule_for("other") == policy.rules[1]


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("daily: 14", "dayly: 14", 5, "did you mean `daily`"),
        ("last: 3", "last: 0", 8, "from 1 on"),
        ("last: 3", "last: -1", 8, "from 1 on"),
        ("last: 3", "last: 1e3", 8, "from 1 on"),
        ("7d", "7 parsecs", 5, "not a duration"),
        ("version: 1", "version: 2", 1, "only 1 is"),
        ("version: 1\n", "", 1, "does not say `version: 1`"),
        ("weights:", "other:", 9, "goes only with its snapshot"),
        ("weights:", "optimizer:", 9, "given twice"),
        ("tags: ignore", "tags: perhaps", 13, "protect, ignore, or a list"),
        ("    keep:\n      monthly: 12\n", "", 10, "would keep nothing"),
        ("{last: 3}", "{}", 8, "would keep nothing"),
        ("{last: 3}", "&a {last: 3}", 8, "anchors"),
        ("{last: 3}", "!!python/object:os.system {}", 8, "tag"),
        ("[llama-*, bert]", "{a: b}", 4, "text or a number"),
        ("[release-*]", "[]", 6, "name is missing"),
        ("weights:", "wieghts:", 9, "did you mean `weights`"),
        ("weights:", "logits:", 9, "it can have weights, optimizer, rng, dataloader"),
        ("rules:\n", "rules: 3\nx:\n", 4, "it can have version, rules, recent"),
        ("{last: 3}", "{last: 3", 9, "no YAML"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(before: str, after: str, line: int, said: str) -> None:
    assert before in EXAMPLE
    with pytest.raises(UsageError) as caught:
        parse_policy(EXAMPLE.replace(before, after, 1), "p.yaml")
    assert caught.value.message.startswith(f"p.yaml, line {line}: ")
    assert said in caught.value.message


@pytest.mark.parametrize("text", ["", "# nothing\n", "[" * 5000, "\x00", "a: " * 40000, "- 1", "3"])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_policy(text)


class Dated(NamedTuple):
    id: str
    time: int
    is_good: bool = True


def at(text: str) -> int:
    return from_rfc3339(text)


DAYS = [
    Dated("a", at("2026-01-30T10:00")),
    Dated("b", at("2026-01-31T09:00")),
    Dated("c", at("2026-01-31T23:59:59")),
    Dated("d", at("2026-02-01T00:00")),
    Dated("e", at("2026-02-01T00:30")),
    Dated("f", at("2026-02-02T00:00")),
]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (Keep(last=2), "ef"),
        (Keep(last="all"), "abcdef"),
        (Keep(hourly=2), "ef"),
        (Keep(daily=3), "cef"),
        (Keep(daily="all"), "acef"),
        (Keep(weekly="all"), "ef"),  # 2026-02-01 is a Sunday, and the 2nd a Monday
        (Keep(monthly="all"), "cf"),
        (Keep(yearly=1), "f"),
        (Keep(within="24h"), "def"),
        (Keep(within="1s", last=1), "f"),
        (Keep(), ""),
    ],
)
def test_the_newest_of_each_bucket_is_selected(keep: Keep, kept: str) -> None:
    assert "".join(sorted(select(keep, DAYS))) == kept
    assert select(keep, DAYS) == select(keep, DAYS[::-1])


def test_of_a_bucket_one_without_findings_goes_first() -> None:
    bad = Dated("z", at("2026-02-01T23:00"), is_good=False)
    assert set(select(Keep(daily=2), [*DAYS, bad])) == {"e", "f"}
    only_bad = [one._replace(is_good=False) for one in DAYS]
    assert set(select(Keep(daily=2), only_bad)) == {"e", "f"}


@pytest.mark.parametrize("time", [-(1 << 63), 0, (1 << 63) - 1, 1 << 80])
def test_impossible_times_are_put_in_some_bucket(time: int) -> None:
    one = Dated("x", time)
    for name in ("hourly", "daily", "weekly", "monthly", "yearly"):
        assert list(select(Keep(**{name: 1}), [one])) == ["x"]


DAY = 86_400 * 10**9
NOW = at("2026-03-01T00:00")


def fact(number: int, **more: Any) -> SnapshotFact:
    """The snapshot that is `number` days old."""
    time = NOW - number * DAY
    values: dict[str, Any] = {"components": {"weights": 10, "optimizer": 20}, "proven": True} | more
    return SnapshotFact(
        id=f"s{number:02d}", asset="llama", created=time, content=time, committed=time, verdict="good", **values
    )


def test_the_issues_example_keeps_three_optimizers_and_all_dailies() -> None:
    rule = Rule(assets=["*"], components={"optimizer": Keep(last=3), "weights": Keep(daily="all")})
    facts = [fact(number, validated=number == 1, latest=number == 1) for number in range(1, 9)]
    decisions = decide(facts, Policy(version=1, rules=[rule]), NOW)
    assert [one.action for one in decisions] == [THIN] * 5 + [KEEP] * 3
    assert decisions[0].components == {"optimizer": 20}
    assert any("s01 has it, and is proven" in reason for reason in decisions[0].reasons)


def test_the_last_proven_optimizer_stays_though_newer_snapshots_lack_it() -> None:
    rule = Rule(assets=["*"], keep=Keep(last=1), components={"optimizer": Keep(last=1)})
    bare = {"components": {"weights": 10}}
    facts = [fact(1, latest=True, validated=True, **bare), fact(2, **bare), fact(3, proven=False), fact(4), fact(5)]
    decided = {one.snapshot: one for one in decide(facts, Policy(version=1, rules=[rule]), NOW)}
    assert {name: one.action for name, one in decided.items()} == {
        "s01": KEEP, "s02": DROP, "s03": KEEP, "s04": KEEP, "s05": DROP,
    }  # fmt: skip
    assert decided["s04"].reasons == ["optimizer: the newest one that is proven"]


def test_quarantined_snapshots_take_no_place_in_a_ring_buffer() -> None:
    rule = Rule(assets=["*"], keep=Keep(last=2))
    facts = [fact(number, latest=number == 2, validated=number == 2) for number in range(1, 5)]
    facts[0] = SnapshotFact(
        id="bad", asset="llama", created=NOW - DAY, content=NOW - DAY, committed=NOW - DAY, verdict="quarantined",
        components={"weights": 1},
    )  # fmt: skip
    decided = {one.snapshot: one.action for one in decide(facts, Policy(version=1, rules=[rule]), NOW)}
    assert decided == {"bad": DROP, "s02": KEEP, "s03": KEEP, "s04": DROP}


def test_a_hold_that_is_over_holds_nothing() -> None:
    rule = Rule(assets=["*"], keep=Keep(last=1))
    facts = [
        fact(1, latest=True, validated=True),
        fact(2, holds=[Hold(reason="audit", until=NOW + 1)]),
        fact(3, holds=[Hold(reason="audit", until=NOW)]),
    ]
    decided = {one.snapshot: one for one in decide(facts, Policy(version=1, rules=[rule]), NOW)}
    assert decided["s02"].reasons == ["held: audit"]
    assert decided["s03"].action == DROP


def test_the_newest_content_stays_though_no_rule_selects_it() -> None:
    rule = Rule(assets=["*"], keep=Keep(monthly=1))
    good, warned = fact(2, latest=True, validated=True), fact(1, proven=False)
    warned = msgspec.structs.replace(warned, verdict="warned")
    decided = {one.snapshot: one.reasons for one in decide([good, warned], Policy(version=1, rules=[rule]), NOW)}
    assert decided == {"s02": ["latest", "validated", "monthly 2026-02"], "s01": ["newest content"]}
