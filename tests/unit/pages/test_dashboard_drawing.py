"""Drawings and words: never a figure that was not measured, whatever the figures are."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, nan

import pytest

from holdfast.control.service.reading.shapes import Curve, Dot
from holdfast.web.pages.drawing import chart, marks, parts
from holdfast.web.pages.layout import graph_of
from holdfast.web.pages.words import ago, answer, duration, look, money, number, size

_DAY = "2026-11-22T"


def _curve(*values: float | None, limit: float | None = None) -> Curve:
    dots = [Dot(at=f"{_DAY}04:{minute:02}:00Z", value=value) for minute, value in enumerate(values)]
    return Curve(name="Loss", unit="", dots=dots, limit=limit)


def test_without_measurements_nothing_is_drawn() -> None:
    for curve in (_curve(), _curve(None, None), _curve(nan, inf, -inf)):
        drawn = chart(curve, 120, 30)
        assert not drawn.lines and not drawn.dots and drawn.said == "Loss: not measured"


def test_what_has_no_place_is_a_gap_and_no_zero() -> None:
    drawn = chart(_curve(1.0, 2.0, nan, inf, 3.0, None, 1.0), 120, 30, axes=True)
    assert len(drawn.lines) == 3 and len(drawn.dots) == 4
    assert "nan" not in str(drawn) and "inf" not in str(drawn)
    assert drawn.said.endswith("; 3 not measured")


def test_a_limit_that_was_crossed_is_counted_in_words() -> None:
    drawn = chart(_curve(1.0, 5.0, 9.0, limit=4.0), 120, 30, axes=True)
    assert drawn.limit is not None and [one.over for one in drawn.dots] == [False, True, True]
    assert "above 4 in 2 of 3" in drawn.said


def test_times_of_a_short_curve_are_told_apart() -> None:
    dots = [Dot(at=f"{_DAY}04:05:{second:02}Z", value=1.0) for second in (1, 20, 40)]
    drawn = chart(Curve(name="Loss", unit="", dots=dots), 520, 170, axes=True)
    assert [one.text for one in drawn.along] == ["04:05:01", "04:05:20", "04:05:40"]


def test_bars_of_nothing_are_none_and_pieces_fill_the_bar() -> None:
    assert parts([("a", 0, "x"), ("b", -3, "y")]) == []
    pieces = parts([("a", 1, "x"), ("b", 3, "y")])
    assert [(one.x, one.width) for one in pieces] == [(0, 25), (25, 75)]


def test_places_along_a_line() -> None:
    assert marks([None, None], 100) == [None, None]
    assert marks([f"{_DAY}04:00:00Z", None, f"{_DAY}05:00:00Z"], 100) == [12, None, 88]
    assert marks([f"{_DAY}04:00:00Z"], 100) == [88]


@dataclass
class _Step:
    id: str
    after: list[str] = field(default_factory=list)
    title: str = ""


def test_each_step_stands_right_of_all_that_it_waits_for() -> None:
    steps = [_Step("a"), _Step("b", ["a"]), _Step("c", ["a"]), _Step("d", ["b", "c", "a"]), _Step("e", ["a", "d"])]
    graph = graph_of(steps)  # type: ignore[arg-type]
    at = {node.step.id: node for node in graph.nodes}
    for step in steps:
        for one in step.after:
            assert at[one].x + at[one].width < at[step.id].x
    assert len(graph.edges) == 5  # a-d and a-e are said by the others
    boxes = [(node.x, node.y) for node in graph.nodes]
    assert len(set(boxes)) == len(boxes)
    assert all(node.x + node.width <= graph.width and node.y + node.height <= graph.height for node in graph.nodes)


def test_strange_plans_are_drawn_too() -> None:
    """Of none, of a step that waits for what is not there or for itself, of a circle, and of many."""
    assert graph_of([]).nodes == []
    for steps in (
        [_Step("a", ["gone"])],
        [_Step("a", ["a"])],
        [_Step("a", ["b"]), _Step("b", ["a"])],
        [_Step("a"), _Step("a")],
        [_Step(str(one), [str(one - 1)] if one else []) for one in range(200)],
        [_Step("top"), *[_Step(f"s{one}", ["top"], "x" * 500) for one in range(200)]],
    ):
        graph = graph_of(steps)  # type: ignore[arg-type]
        assert graph.nodes and all(len(node.title) <= 25 for node in graph.nodes)


@pytest.mark.parametrize("value", [nan, inf, -inf, 1e308, -1e308, 0.0, 5e-324])
def test_any_number_has_words(value: float) -> None:
    for words in (number(value), size(value), duration(value)):
        assert words and len(words) < 40
    assert duration(nan) == "not measured"


def test_what_was_not_measured_is_no_figure() -> None:
    assert duration(None) == "not measured" and size(None) == "–" and number(None) == "–"
    assert money(None) == "not priced" and money(0.0) == "0.00 USD" and money(0.001) == "under 0.01 USD"
    assert look("NOT_MEASURED").css == "unknown" and look("never heard of").css == "plain"


def test_times_that_no_clock_says() -> None:
    now = f"{_DAY}04:00:00Z"
    assert ago(None, now) == "–" and ago(now, now) == "now"
    assert ago(f"{_DAY}04:00:30Z", now) == "in 30 s"
    assert ago(f"{_DAY}03:58:01Z", now) == "1 min ago" or ago(f"{_DAY}03:58:01Z", now) == "2 min ago"
    assert ago("nonsense", now) == "at a time that cannot be read"


@pytest.mark.parametrize(
    ("tallies", "words"),
    [
        ({}, "No asset is declared: nothing can be said."),
        ({"MET": 3}, "All 3 assets could be recovered as promised."),
        ({"MET": 1}, "The one asset could be recovered as promised."),
        (
            {"BREACHED": 1, "NOT_MEASURED": 2, "AT_RISK": 1},
            "1 of 4 assets could not be recovered as promised; 2 are not measured, so nobody can tell; "
            "1 could be recovered, but is at risk.",
        ),
        (
            {"NOT_MEASURED": 1, "MET": 9999},
            "1 of 10,000 assets is not measured, so nobody can tell; 9,999 could be, as promised.",
        ),
        ({"NOT_MEASURED": 1}, "1 of 1 asset is not measured, so nobody can tell."),
    ],
)
def test_the_answer_in_a_sentence(tallies: dict[str, int], words: str) -> None:
    assert answer(tallies, sum(tallies.values())) == words
