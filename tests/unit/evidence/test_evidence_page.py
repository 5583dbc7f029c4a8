"""The evidence page: says the answer first, escapes everything, needs nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import msgspec
import pytest
from factory import DIGEST, example_evidence, unmeasured_evidence

from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.headline import headline_of
from holdfast.evidence.markup import join, tag
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import CheckResult, Integrity, Outcome
from holdfast.evidence.timeline import timeline_svg
from holdfast.evidence.timeline_scale import Scale, spread
from holdfast.objectives import State

SEAL = Seal(sha256="ab" * 32, signer="cd" * 16, suite="Ed25519 + ML-DSA-65")
VOID = {"meta", "br", "hr"}
HOSTILE = '<script>alert(\'"&x")</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """The elements of a page; fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self._open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]


def everything_hostile(record: Evidence) -> Evidence:
    """The record with every free text replaced by an attack."""

    def spoil(value: object) -> object:
        if isinstance(value, msgspec.Struct):
            fields = {name: spoil(getattr(value, name)) for name in value.__struct_fields__}
            return type(value)(**fields)
        if isinstance(value, tuple):
            return tuple(spoil(item) for item in value)
        return HOSTILE if type(value) is str else value

    spoilt = spoil(record)
    assert isinstance(spoilt, Evidence)
    return spoilt


@pytest.mark.parametrize("record", [example_evidence(), unmeasured_evidence()], ids=["recovered", "stopped"])
def test_the_page_is_well_formed_and_self_contained(record: Evidence) -> None:
    page = render_page(record, SEAL)
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {n for n, _ in parsed.elements}
    outside = {"src", "href", "srcset", "action", "xlink:href", "data", "poster"}
    assert not any(outside & set(attributes) for _, attributes in parsed.elements)
    assert not re.search(r"url\(|@import|https?:", page)
    assert page == render_page(record, SEAL)


def test_the_answer_comes_first() -> None:
    text = Page(render_page(example_evidence(), SEAL)).text
    title, *body = text
    shown = "".join(body).replace("\N{NO-BREAK SPACE}", " ")
    answer = "Site A was lost at step 87.Recovered on site B: lost 585 ms of training (7 steps), back in 4.2 s."
    assert shown.index(answer) < shown.index("Objective MET.") < shown.index("Timeline")
    assert str(headline_of(example_evidence())) in title


def test_nothing_in_a_record_can_break_out_of_its_place() -> None:
    page = render_page(everything_hostile(example_evidence()), SEAL)
    elements = {name for name, _ in Page(page).elements}
    assert not {"script", "img"} & elements
    assert elements <= {name for name, _ in Page(render_page(example_evidence(), SEAL)).elements}
    assert "<script" not in page


def test_nothing_unmeasured_is_green() -> None:
    parsed = Page(render_page(unmeasured_evidence(), SEAL))
    classes = " ".join(attributes.get("class") or "" for _, attributes in parsed.elements).split()
    assert "met" not in classes
    assert "passed" not in classes
    assert "".join(parsed.text).count("NOT_MEASURED") > 5


def test_every_figure_that_is_missing_is_listed() -> None:
    text = Page(render_page(example_evidence(), SEAL)).text
    assert {"results.work_lost.gpu_hours", "results.capacity_percent", "trust.log_proof"} <= set(text)
    assert "results.work_lost.steps" not in text


@pytest.mark.parametrize(
    ("outcome", "failed", "state", "words"),
    [
        (Outcome.PASSED, False, State.MET, "Objective MET."),
        (Outcome.FAILED, True, State.MISSED, "Objective MET. But checks FAILED: The recovered run ends bit-identical."),
        (Outcome.STOPPED, False, State.MISSED, "Objective MET. The run STOPPED."),
        (Outcome.ERROR, False, State.INVALID, "The drill itself broke: it says nothing about the system."),
    ],
)
def test_a_met_objective_is_good_news_only_when_the_run_passed(
    outcome: Outcome, failed: bool, state: State, words: str
) -> None:
    example = example_evidence()
    first, *others = example.integrity.checks
    if failed:
        first = msgspec.structs.replace(first, result=CheckResult.FAILED)
    record = example_evidence(
        results=msgspec.structs.replace(example.results, outcome=outcome),
        integrity=Integrity(checks=(first, *others)),
    )
    headline = headline_of(record)
    assert (headline.state, headline.objective) == (state, words)


def test_the_digests_that_prove_identity_are_both_shown() -> None:
    assert Page(render_page(example_evidence(), SEAL)).text.count(DIGEST) == 3  # expected, found, result of the step


def test_how_to_verify_is_on_the_page() -> None:
    text = "".join(Page(render_page(example_evidence(), SEAL)).text)
    assert SEAL.sha256 in text
    assert f"python -m holdfast.evidence . --signer {SEAL.signer}" in text


def test_the_drawing_tells_its_content_in_words() -> None:
    parsed = Page(str(timeline_svg(example_evidence())))
    (drawing,) = parsed.named("svg")
    titles = {attributes["id"] for name in ("title", "desc") for attributes in parsed.named(name)}
    assert drawing["role"] == "img"
    assert set((drawing["aria-labelledby"] or "").split()) == titles
    description = "".join(parsed.text)
    assert "Detect: 1.1 s." in description
    assert "Snapshot of step 60 at 6.6 s, complete on site A, B." in description


def test_the_drawing_keeps_to_scale() -> None:
    parsed = Page(str(timeline_svg(example_evidence())))
    (loss,) = [a for a in parsed.named("rect") if a["class"] == "loss"]
    fault = next(a for a in parsed.named("line") if a["class"] == "fault")
    end = 18.020
    assert percent(fault["x1"]) == pytest.approx(9.310 / end * 100, abs=0.01)
    assert percent(loss["x"]) + percent(loss["width"]) == pytest.approx(percent(fault["x1"]), abs=0.01)
    assert percent(loss["width"]) == pytest.approx((9.310 - 8.725) / end * 100, abs=0.01)
    assert all(0 <= percent(a["cx"]) <= 100 for a in parsed.named("circle"))
    assert sum(a["class"] == "ring" for a in parsed.named("circle")) == 1


def percent(value: str | None) -> float:
    assert value is not None
    return float(value.removesuffix("%"))


def test_labels_that_would_lie_on_each_other_are_left_out_but_not_the_important_one() -> None:
    crowd = [(index / 100, index == 41, str(index)) for index in range(100)]
    chosen = spread(crowd)
    assert "41" in [text for _, _, text in chosen]
    places = [place for place, _, _ in chosen]
    assert all(after - before >= 0.0749 for before, after in pairwise(places))
    assert len(chosen) > 8


@pytest.mark.parametrize("end", [0.05, 1.0, 18.02, 700.0, 90_000.0, 3e7])
def test_the_axis_has_few_round_ticks(end: float) -> None:
    ticks = Scale(end).ticks()
    assert ticks[0] == 0
    assert 1 <= len(ticks) <= 7
    assert ticks[-1] <= end * 1.0001


def test_tables_name_their_columns_in_every_cell() -> None:
    parsed = Page(render_page(example_evidence(), SEAL))
    assert all(attributes.get("scope") in ("col", "row") for attributes in parsed.named("th"))
    assert all(attributes.get("data-label") for attributes in parsed.named("td"))
    assert len(parsed.named("caption")) == len(parsed.named("table")) > 3


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "a<b", tag("b", "&"), class_='"x"') == '<p class="&quot;x&quot;">a&lt;b<b>&amp;</b></p>'
    assert join("<", tag("br")) == "&lt;<br>"


# Contrast (WCAG 2.1, 1.4.3): at least 4.5 for text.
TEXT_ON = [
    ("text", "page"),
    ("text", "card"),
    ("text", "faint"),
    ("muted", "page"),
    ("muted", "card"),
    ("muted", "met-bg"),
    ("met", "card"),
    ("met", "met-bg"),
    ("missed", "missed-bg"),
    ("unknown", "unknown-bg"),
    ("invalid", "invalid-bg"),
    ("fault", "card"),
    ("execute", "card"),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_in_both_themes(theme: int) -> None:
    style = files("holdfast.evidence").joinpath("evidence_page.css").read_text("utf-8")
    blocks = re.findall(r":root \{([^}]*--page[^}]*--verify[^}]*)\}", style)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[theme]))
    weak = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in TEXT_ON}
    assert {pair: value for pair, value in weak.items() if value < 4.5} == {}


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
