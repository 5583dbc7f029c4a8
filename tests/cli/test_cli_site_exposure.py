"""`holdfast site exposure`: the series as a chart on a terminal, as SVG, and as JSON."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import TWO_SITES, Terminal, write_checkpoint

from holdfast.cli.schemas.exposures import AssetExposure, ExposurePoint
from holdfast.cli.views.scales import Span, bins_of, ceiling_of, duration_ticks, tick_duration, time_ticks
from holdfast.clock import to_rfc3339
from holdfast.control.sites.exposed import ExposedPoint

NS = 1_000_000_000
_FILE = (
    TWO_SITES
    + """\
assets:
  llama: {{class: training, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
"""
)


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    return path


def _write(rounds: list[tuple[int, float | None, bool]]) -> None:
    """Rounds of (seconds ago, exposure to use1 or None for all, measured); to euw4 it is always a second."""
    path = Path(os.environ["XDG_STATE_HOME"]) / "holdfast/exposure/acme.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    now, lines = time.time_ns(), []
    for ago, seconds, measured in rounds:
        at = now - ago * NS
        said: dict[str, object] = {"protection": "none"}
        if seconds is not None:
            said = {"protection": "verified", "seconds": seconds, "arrived": seconds}
            if not measured:
                said = {"protection": "arrived", "arrived": seconds}
        lines.append({"at": at, "asset": "llama", "site": "use1", **said})
        lines.append({"at": at, "asset": "llama", "site": "euw4", "protection": "verified", "seconds": 1.0})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _svg(path: Path) -> ElementTree.Element:
    text = path.read_text("utf-8")
    assert "prefers-color-scheme: dark" in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0  # it needs nothing from elsewhere
    return ElementTree.fromstring(text)


def _all(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [one for one in svg.iter() if one.get("class") == kind]


def test_rounds_are_drawn_as_they_were_seen(terminal: Terminal, declared: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("vault", "create", terminal.folder / "use1")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync", "--no-verify")
    terminal.ok("site", "sync")
    shown = terminal.json("site-exposure", "site", "exposure", "llama")["assets"][0]
    assert [(point["measured"], point["met"]) for point in shown["points"]] == [(False, None), (False, None)]
    only = terminal.json("site-exposure", "site", "exposure", "--site", "euw4")["assets"][0]
    assert {point["site"] for point in only["points"]} == {"euw4"}
    assert terminal.run("site", "exposure", "lama").code == 3
    assert terminal.run("site", "exposure", "--site", "use9").code == 3


@pytest.mark.parametrize("number", [0, 1, 10_000])
def test_it_fits_whatever_there_is(terminal: Terminal, declared: Path, number: int) -> None:
    _write([(30 * (number - one), 30.0 + one % 500 * 20, True) for one in range(number)])
    said = terminal.ok("site", "exposure", "--svg", "x.svg")
    assert max(map(len, said.out.splitlines())) <= 80
    assert ("nothing was recorded" in said.out) == (number == 0)
    svg = _svg(terminal.folder / "x.svg")
    assert len(_all(svg, "owed")) == 1
    assert (len(_all(svg, "dot")), bool(_all(svg, "curve"))) == (int(number == 1), number > 1)
    assert (terminal.folder / "x.svg").stat().st_size < 300_000
    assert bool(_all(svg, "missed")) == (number == 10_000)


def test_ascii_where_it_was_asked_for(terminal: Terminal, declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write([(600 - one, 60.0 * one, one % 2 == 0) for one in range(500)] + [(2, None, True)])
    assert not terminal.ok("site", "exposure").out.isascii()
    plain = terminal.ok("site", "exposure", "--plain").out
    assert plain.isascii()
    assert "! nothing would have survived" in plain and ": arrived, and not read back" in plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.ok("site", "exposure").out.splitlines()[2:] == plain.splitlines()[2:]  # the first say how long ago


def test_a_breach_is_shaded_from_when_it_began_until_it_was_over(terminal: Terminal, declared: Path) -> None:
    """2 h are owed: of ten hours, the third to the fifth were worse, and in the ninth nothing would have survived."""
    hours = [1.0, 1.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, None, 1.0, 1.0]
    _write([(3600 * (10 - one), None if each is None else each * 3600, True) for one, each in enumerate(hours)])
    shown = terminal.json("site-exposure", "site", "exposure", "--svg", "x.svg")["assets"][0]
    assert shown["missed_seconds"] == pytest.approx(4 * 3600)
    assert shown["worst"]["seconds"] is None
    assert [point["met"] for point in shown["points"]] == [hour == 1.0 for hour in hours]
    svg = _svg(terminal.folder / "x.svg")
    width = 840.0 - 70 - 20
    shades = [(float(one.get("x") or 0) - 70, float(one.get("width") or 0)) for one in _all(svg, "missed")]
    assert [(round(x / width * 10), round(w / width * 10)) for x, w in shades] == [(2, 3), (8, 1)]
    assert len(_all(svg, "lost")) == 1


def test_the_last_hours_only(terminal: Terminal, declared: Path) -> None:
    _write([(7200, 9000.0, True), (60, 30.0, True)])
    recent = terminal.json("site-exposure", "site", "exposure", "--since", "1h")["assets"][0]
    assert [point["seconds"] for point in recent["points"]] == [30.0]
    assert terminal.run("site", "exposure", "--since", "yesterday").code == 2


def test_a_name_of_an_asset_cannot_write_into_the_picture(terminal: Terminal, declared: Path) -> None:
    name = "<script>&amp"
    declared.write_text(declared.read_text().replace("llama:", f'"{name}":'))
    terminal.ok("site", "exposure", "--svg", "x.svg")
    svg = _svg(terminal.folder / "x.svg")
    assert not [one for one in svg.iter() if one.tag.endswith("script")]
    assert _all(svg, "name")[0].text == name


times = st.integers(0, 2**53)
values = st.one_of(st.none(), st.floats(0, 1e9))


@given(st.lists(st.tuples(times, values), max_size=40), st.integers(1, 100))
def test_no_peak_is_lost_in_a_column(points: list[tuple[int, float | None]], count: int) -> None:
    one = AssetExposure(
        asset="a",
        site="",
        rpo=60.0,
        missed_seconds=0.0,
        worst=None,
        points=[
            ExposurePoint(at=to_rfc3339(at * 1000), site="s", seconds=seconds, measured=True, met=None)
            for at, seconds in sorted(points, key=lambda each: each[0])
        ],
    )
    found = [each for each in bins_of(one, Span(0, 2**53 * 1000), count) if each is not None]
    known = [seconds for _, seconds in points if seconds is not None]
    assert max((each.high for each in found), default=0.0) == max(known, default=0.0)
    assert any(each.lost for each in found) == any(seconds is None for _, seconds in points)
    assert ceiling_of(one) > max([60.0, *known])


@given(st.floats(1, 1e11), st.integers(1, 8))
def test_ticks_of_durations_are_few_and_round(ceiling: float, most: int) -> None:
    ticks = duration_ticks(ceiling, most)
    assert ticks[0] == 0 and len(ticks) <= most + 1 and ticks[-1] <= ceiling
    assert len({tick_duration(tick) for tick in ticks}) == len(ticks)


@given(st.integers(0, 4 * 10**18), st.integers(1, 10**18), st.integers(1, 8))
def test_ticks_of_time_are_few_and_within(begin: int, length: int, most: int) -> None:
    span = Span(begin, begin + length)
    ticks = time_ticks(span, most)
    assert len(ticks) <= most + 1
    assert all(span.begin <= at <= span.end for at, _ in ticks)


@pytest.mark.parametrize(
    ("behind", "measured", "met"),
    [(0.0, True, True), (5.0, True, False), (None, True, None), (0.0, False, None), (5.0, False, False)],
)
def test_an_rpo_of_nothing_asks_whether_anything_would_be_lost(
    behind: float | None, measured: bool, met: bool | None
) -> None:
    point = ExposedPoint(1, 3600.0, measured, "use1", behind)
    assert (not point.misses(0.0) if point.is_judged(0.0) else None) is met
    assert ExposedPoint(1, None, True, "use1").misses(0.0), "all is lost"
