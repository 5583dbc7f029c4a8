"""`holdfast.yaml` is understood, or refused with the line: all problems at once."""

from __future__ import annotations

import pytest
from config_texts import SMALL, changed, config_of, example, problems_of

from holdfast.config.model import AssetKeep, Limit, PathSpec, Place, TierRule
from holdfast.config.parsing import check_config, parse_config
from holdfast.config.words import Cloud, Day, Home, Reference, Stripes, Tier
from holdfast.errors import UsageError
from holdfast.objectives.retention_rules import Keep, Rule

HOUR = 3600.0
DAY = 24 * HOUR


def test_the_example_on_the_page_is_understood() -> None:
    config = config_of(example())
    assert config.organisation == "acme"
    assert list(config.sites) == ["use1", "euw4", "fra", "eun", "euw4-stripes", "fra-stripes"]
    use1, fra = config.sites["use1"], config.sites["fra"]
    assert (use1.cloud, use1.region, use1.jurisdiction) == (Cloud.AWS, "us-east-1", "US")
    assert use1.stores[Tier.HOT].restore == 60 and use1.stores[Tier.WARM].lock == 30 * DAY
    assert use1.link is not None and use1.link.up == 10e9 / 8 and use1.link.reserve == 2e9 / 8
    assert use1.link.price_per_gb == 0.02
    assert [one.shape for one in use1.compute] == ["H100x8"]
    store = fra.stores[Tier.WARM]
    assert store.credentials == {
        "access_key_id": Reference("environment", "FRA_KEY_ID"),
        "secret_access_key": Reference("file", "secrets/fra"),
    }
    assert store.paths[0] == PathSpec(link="leased")
    assert [(way.link, way.options["endpoint"]) for way in store.ways()] == [
        ("leased", "https://s3.fra.acme.example"),
        ("internet", "https://s3-public.fra.acme.example"),
    ]
    assert fra.links["leased"].dscp == 10
    week = (Day.MON, Day.TUE, Day.WED, Day.THU, Day.FRI)
    assert fra.links["internet"].limits == (Limit(begin=480, end=1080, days=week, rate=20e6 / 8),)
    assert config.classes["personal"].place == Place(only_jurisdiction=("EU",))
    run = config.assets["llama-pretrain"]
    assert run.keep == AssetKeep(last=5, daily=14, components={"optimizer": Keep(last=3)})
    assert run.tiers == {Tier.COLD: TierRule(after=30 * DAY, unread=14 * DAY)}
    assert config.assets["customer-data"].home == Home("fra-stripes")
    assert config.assets["customer-data"].place.stripes == Stripes(2, 1)
    assert config.groups["release"].assets == ("llama-weights", "tokenizer")
    assert config.recoveries["pretrain-to-eu"].to == ("euw4", "use1")
    assert config.drills["weekly-restore"].surprise_within == 2 * DAY
    assert config.notify.slack == Reference("file", "secrets/slack")


def test_lines_are_known_for_everything() -> None:
    lines = parse_config(SMALL.encode(), "x").lines
    texts = SMALL.splitlines()
    for path, line in lines.items():
        name = next(one for one in reversed(path) if isinstance(one, str))
        wanted = f"{name}:" if isinstance(path[-1], str) else texts[line - 1].strip()
        assert wanted in texts[line - 1], (path, line)
    assert lines[("assets", "run", "place", "asynchronous", 0)] == SMALL[: SMALL.index("  run:")].count("\n") + 4


def test_one_thing_need_not_be_a_list() -> None:
    assert config_of(changed("synchronous: [use1], asynchronous: [euw4]", "synchronous: use1, asynchronous: euw4"))
    assert config_of(SMALL).assets["data"].place.only_jurisdiction == ("EU",)


def test_a_keep_is_a_rule_of_retention() -> None:
    text = changed(
        "keep: {last: 5, daily: 14}", "keep: {last: 5, within: 7d, tags: ignore, components: {rng: {last: 1}}}"
    )
    keep = config_of(text).assets["run"].keep
    assert keep is not None
    assert keep.rule_for("run") == Rule(
        assets="run", keep=Keep(last=5, within="7d"), tags="ignore", components={"rng": Keep(last=1)}
    )


@pytest.mark.parametrize("word", ["NO", "on", "yes", "2+1", "1.2.3"])
def test_words_that_older_yaml_takes_for_something_else_are_words(word: str) -> None:
    config = config_of(changed("region: fra-1", f'region: "{word.replace("+", "-")}"'))
    assert config.sites["fra"].region == word.replace("+", "-")


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("version: 1", "version: 2", 1, "'2' is no `version`: it is 1"),
        ("version: 1\n", "", 1, "the file needs `version`"),
        ("organisation: acme", "organization: acme", 2, "did you mean `organisation`"),
        ("cloud: aws", "cloud: aw", 5, "'aw' is no `cloud`; did you mean `aws`?"),
        ("cloud: aws", "cloud: mine", 5, "it is aws, gcp, azure or onprem"),
        ("    region: us-east-1\n", "", 5, "`use1` needs `region`"),
        ("jurisdiction: US", "jurisdiction: us", 7, "write 2 to 16 capitals"),
        ("hot: {", "hto: {", 9, "did you mean `hot`"),
        ("lock: 30d", "lock: 30 parsecs", 10, "is not a duration"),
        ("lock: 30d", "lock: 30", 10, "is not a duration"),
        ("lock: 30d", "lock: 999999999999w", 10, "more than a hundred years"),
        ("up: 10Gbit/s", "up: 10Gbit", 11, "is not a rate"),
        ("up: 10Gbit/s", "up: 10Gb/s", 11, "may be bits or bytes; write 10Gbit/s or 10GB/s"),
        ("up: 10Gbit/s", "up: 10G", 11, "may be bits or bytes; write 10Gbit/s or 10GB/s"),
        ("up: 10Gbit/s", "up: 0Gbit/s", 11, "less than a byte a second"),
        ("reserve: 2Gbit/s", "reserved: 2Gbit/s", 11, "did you mean `reserve`"),
        ("reserve: 2Gbit/s", "price_per_gb: cheap", 11, "is not a price"),
        ("reserve: 2Gbit/s", "dscp: 64", 11, "is no DSCP"),
        ("reserve: 2Gbit/s", "timezone: Mars/Olympus", 11, "is no time zone"),
        ("reserve: 2Gbit/s", "timezone: ../../etc/passwd", 11, "is no time zone"),
        ("reserve: 2Gbit/s", "limits: [{from: 8am, to: 9pm, rate: 1Mbit/s}]", 11, "no time of day"),
        ("reserve: 2Gbit/s", "limits: [{from: 08:00, to: 9:00}]", 11, "needs `rate`"),
        (
            "reserve: 2Gbit/s",
            "limits: [{from: 8:00, to: 9:00, rate: 1B/s, days: [funday]}]",
            11,
            "it is mon, tue, wed, thu, fri, sat or sun",
        ),
        ("like: weights", "like: [weights, data]", 34, "`like` has to be a name"),
        ("rpo: 2h", "rpo: 2 h 30 min", 33, "is not a duration"),
        ("rpo: 2h", "copies: 0", 33, "whole number from 1 to 64"),
        ("rpo: 2h", 'copies: "2"', 33, "whole number from 1 to 64"),
        ("rpo: 2h", "immutable: maybe", 33, "true or false"),
        ("rpo: 2h", "priority: 10", 33, "from 0 to 9"),
        ("watch: /ckpt/run", "watch: ~/run", 38, "`~` is not replaced"),
        ("watch: /ckpt/run", "watch:", 38, "this has no value"),
        ("watch: /ckpt/run", "watch: ${HOME}/run", 38, "stands only for secrets"),
        ("watch: /ckpt/run", "watch: [1, 2]", 38, "has to be a path"),
        ("watch: /ckpt/run", "watch: 12", 38, "put it in quotes"),
        ("watch: /ckpt/run", "class: training", 38, "`class` stands here twice"),
        ("{last: 5, daily: 14}", "{}", 40, "would keep nothing"),
        ("{last: 5, daily: 14}", "{last: 0}", 40, "whole number from 1 on"),
        ("{last: 5, daily: 14}", "{within: ever}", 40, "is not a duration"),
        ("{last: 5, daily: 14}", "{components: {wieghts: {last: 2}}}", 40, "did you mean `weights`"),
        ("{last: 5, daily: 14}", "{components: {other: {last: 2}}}", 40, "goes only with its snapshot"),
        ("stripes: 2+1", "stripes: 1+1", 48, "are two copies"),
        ("stripes: 2+1", "stripes: 30+3", 48, "up to 32 sites"),
        ("stripes: 2+1", "stripes: three", 48, "write 2+1 or 4+2"),
        ("  data:\n", "  da*ta:\n", 45, "stand for others in the rules of retention"),
        ("    path: /data", "    home: use1/lukewarm\n    path: /data", 47, "is no home"),
        ("assets:", "assets: none\nmore:", 35, "has to be a mapping"),
        ("  run:", "  [run]:", 36, "a name was expected"),
        ("version: 1", "version: 1\nx: &a b", 2, "anchors"),
        ("version: 1", "version: 1\nx: !!str b", 2, "tags"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(before: str, after: str, line: int, said: str) -> None:
    found = problems_of(changed(before, after))
    assert any(at == line and said in message for at, message in found), found


def test_all_problems_are_told_at_once_in_order() -> None:
    text = changed("cloud: aws", "cloud: aw")
    text = changed("lock: 30d", "lock: soon", text)
    text = changed("class: gold", "class: glod", text)
    text = changed("asynchronous: [euw4]", "asynchronous: [euw5]", text)
    found = problems_of(text)
    assert [line for line, _ in found] == [5, 10, 39, 42]
    with pytest.raises(UsageError) as caught:
        parse_config(text.encode(), "h.yaml")
    assert caught.value.message == "h.yaml, line 5: 'aw' is no `cloud`; did you mean `aws`?"
    assert "lists 3 more" in caught.value.hint


def test_a_site_that_is_not_understood_is_not_unknown_as_well() -> None:
    """One mistake, one problem: nothing is said about what follows from it."""
    assert [line for line, _ in problems_of(changed("region: europe-west4", "region: [west]"))] == [19]


def test_a_mistake_in_a_link_hides_none_in_a_placement() -> None:
    text = changed("reserve: 2Gbit/s", "reserved: 2Gbit/s")
    text = changed("place: {only_jurisdiction: EU, stripes: 2+1}", "place: {stripes: 9+1}", text)
    assert [line for line, _ in problems_of(text)] == [11, 48]


def test_very_many_problems_are_not_all_told() -> None:
    text = SMALL + "".join(f"nonsense{number}: 1\n" for number in range(5000))
    assert len(problems_of(text)) == 200


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "it is empty"),
        ("3", 1, "has to be a mapping"),
        ("- a", 1, "has to be a mapping"),
        ("a: {b: ${KEY}}", 1, 'a reference stands in quotes: "${KEY}"'),
        ("a:\n - [x, ${KEY}]", 2, 'a reference stands in quotes: "${KEY}"'),
        ("a: \udcff", 1, "not UTF-8"),
    ],
)
def test_what_is_no_such_file_at_all(text: str, line: int, said: str) -> None:
    checked = check_config(text.encode(errors="surrogateescape"), "h.yaml")
    assert [one.line for one in checked.problems][:1] == [line]
    assert said in checked.problems[0].message


def test_two_forms_of_one_name_are_one() -> None:
    text = changed("  data:\n", "  caf\u00e9: {class: dataset}\n  cafe\u0301: {class: dataset}\n  data:\n")
    assert any("composed in two ways" in message for _, message in problems_of(text))
