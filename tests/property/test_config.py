"""Any bytes are a configuration or a refusal with file and line; a changed file never gives anything else."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "config"))

from config_texts import SMALL, example

from holdfast.config.effective import effective
from holdfast.config.model import Config
from holdfast.config.parsing import check_config, parse_config
from holdfast.config.placing import place
from holdfast.errors import UsageError

SEEDS = (SMALL, example())
WORDS = (
    "use1",
    "euw4",
    "fra",
    "eun",
    "EU",
    "US",
    "2+1",
    "4+2",
    "7d",
    "0",
    "weights",
    "regulated",
    "warm",
    "cold",
    "hot",
)
WORDS += (
    "${KEY}",
    "file:x",
    "null",
    "true",
    "[]",
    "{}",
    "s3://a/b",
    "gs://acme-euw4",
    "place:",
    "stripes:",
    "home:",
    "- ",
)
WORDS += (
    "synchronous",
    "asynchronous",
    "sites",
    "quorum: 2",
    "only_jurisdiction",
    "copies: 3",
    "like: weights",
    "\n",
    "  ",
)


def judged(data: bytes) -> Config | None:
    """Both doors agree. What is accepted keeps every promise that can be told from it alone."""
    checked = check_config(data, "holdfast.yaml")
    lines = data.decode(errors="replace")
    for problem in (*checked.problems, *checked.findings):
        assert 1 <= problem.line <= len(lines.splitlines()) + 1 and problem.message and "\n" not in problem.message
    try:
        config = parse_config(data, "holdfast.yaml").config
    except UsageError as error:
        first = checked.problems[0]
        assert error.message == f"holdfast.yaml, line {first.line}: {first.message}"
        return None
    assert not checked.problems
    for name in config.assets:
        keeps_its_rules(config, name)
    return config


def keeps_its_rules(config: Config, name: str) -> None:
    """An independent look at a placement that was accepted: jurisdictions, failure domains, losses that it survives."""
    owed = effective(config, name)
    found = place(config, owed).placement
    assert found is not None and found.home == found.sites[0]
    assert len(set(found.sites)) == len(found.sites)
    sites = [config.sites[one] for one in found.sites]
    domains = {(site.cloud, site.region) for site in sites}
    allowed = [set(level.place.only_jurisdiction) for level in levels(config, name) if level.place.only_jurisdiction]
    barred = {one for level in levels(config, name) for one in level.place.not_in}
    for site in sites:
        assert all(site.jurisdiction in one for one in allowed) and site.jurisdiction not in barred
    copies = owed.copies.value
    assert copies is not None
    if found.stripes is not None:
        assert len(domains) == len(sites) == found.stripes.k + found.stripes.m and found.stripes.m >= copies - 1
    else:
        assert len(domains) >= copies
    if owed.rpo.value == 0:
        waited = [config.sites[one] for one in found.synchronous]
        assert found.quorum >= 2 and len({(site.cloud, site.region) for site in waited}) >= 2
    assert 1 <= found.quorum <= len(found.synchronous)
    for one, tier in found.tiers.items():
        assert tier in config.sites[one].stores


def levels(config: Config, name: str) -> list:
    asset = config.assets[name]
    spec = config.classes.get(asset.class_name)
    like = config.classes.get(spec.like) if spec is not None and spec.like else None
    return [one for one in (asset, spec, like) if one is not None]


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode(errors="replace"))))
def test_any_bytes_are_refused_with_a_line(data: bytes) -> None:
    judged(data)


@st.composite
def changed_files(draw: st.DrawFn) -> bytes:
    """A sound file in which lines, or words of them, were replaced, left out, doubled or moved."""
    lines = draw(st.sampled_from(SEEDS)).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(("drop", "double", "swap", "word", "insert", "cut")))
        if how == "drop" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(other, lines[at])
        elif how == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif how == "cut":
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        else:
            words = lines[at].split(" ")
            place_ = draw(st.integers(0, len(words) - 1))
            new = draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)))
            words[place_ : place_ + (how == "word")] = [new]
            lines[at] = " ".join(words)
    return "".join(lines).encode(errors="replace")


@settings(max_examples=120, deadline=None)
@given(changed_files())
def test_a_changed_file_is_sound_or_refused(data: bytes) -> None:
    judged(data)


SITES = st.lists(st.sampled_from(["use1", "use1b", "euw4", "fra", "eun"]), max_size=4)
PLACES = st.fixed_dictionaries(
    {},
    optional={
        "synchronous": SITES,
        "asynchronous": SITES,
        "sites": SITES,
        "stripes": st.sampled_from(["2+1", "3+1", "2+2"]),
        "quorum": st.integers(1, 4),
        "only_jurisdiction": st.lists(st.sampled_from(["EU", "US"]), min_size=1, max_size=2),
        "not_in": st.lists(st.sampled_from(["EU", "US"]), max_size=1),
    },
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["weights", "training", "dataset", "development", "gold", "regulated"]),
    PLACES,
    PLACES,
    st.sampled_from(["", "use1", "fra", "eun/warm", "euw4/cold"]),
    st.integers(1, 4),
)
def test_no_placement_that_is_accepted_breaks_a_rule(
    kind: str, place_: dict, class_place: dict, home: str, copies: int
) -> None:
    owed = f"rpo: 9h, rto: 9h, copies: {copies}, immutable: false"
    text = SMALL[: SMALL.index("classes:")]
    text += f"classes:\n  mine: {{like: regulated, {owed}, place: {flow(class_place)}}}\n  gold: {{like: weights}}\n"
    named = "mine" if kind == "regulated" else kind
    at = f", home: {home}" if home else ""
    text += f"assets:\n  a: {{class: {named}, immutable: false, place: {flow(place_)}{at}}}\n"
    judged(text.encode())


def flow(place_: dict) -> str:
    said = [
        f"{name}: [{', '.join(value)}]" if isinstance(value, list) else f"{name}: {value}"
        for name, value in place_.items()
    ]
    return f"{{{', '.join(said)}}}"
