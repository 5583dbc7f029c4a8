"""When work that comes again is due, whatever the clock does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.control.working.scheduling import EVERY_MIN_S, Rhythm, due, moment, next_window
from holdfast.errors import UsageError

_NS = 1_000_000_000
_NOW = 1_795_300_000 * _NS


@st.composite
def rhythms(draw: st.DrawFn) -> Rhythm:
    every = draw(st.sampled_from((10.0, 61.5, 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)))
    at = draw(st.floats(0, every / 2))
    within = draw(st.one_of(st.just(0.0), st.floats(0, every / 2)))
    rhythm = Rhythm(draw(st.text(min_size=1, max_size=8)), every, at, within, draw(st.binary(min_size=32, max_size=32)))
    rhythm.require()
    return rhythm


@given(rhythms(), st.integers(-1000, 100_000))
def test_moments_lie_in_their_periods_and_in_order(rhythm: Rhythm, period: int) -> None:
    here, next_one = moment(rhythm, period), moment(rhythm, period + 1)
    every = round(rhythm.every * _NS)
    begin = 4 * 86_400 * _NS + period * every
    assert begin + round(rhythm.at * _NS) <= here <= begin + every
    assert here - begin - round(rhythm.at * _NS) <= round(rhythm.within * _NS)
    assert here <= next_one
    assert moment(rhythm, period) == here, "drawn once"


@given(rhythms(), st.lists(st.floats(-3, 3), max_size=60), st.integers(0, 100))
def test_a_clock_that_jumps_starts_nothing_twice(rhythm: Rhythm, jumps: list[float], restart: int) -> None:
    """Each jump is in periods, forward or back. Whoever looks afterwards, after a restart too, knows what was done."""
    now, done = _NOW, set[int]()
    begun: list[int] = []
    for number, jump in enumerate(jumps):
        now += round(jump * rhythm.every * _NS)
        if number == restart:
            rhythm = Rhythm(*rhythm)
        for _ in range(3):  # three workers look at the same moment
            period = due(rhythm, now, _NOW - 10 * round(rhythm.every * _NS), done)
            if period is not None:
                assert moment(rhythm, period) <= now
                begun.append(period)
                done.add(period)
    assert len(begun) == len(set(begun))
    assert len(begun) <= len(jumps), "at most one for each look: what was missed is made up for once"


@given(rhythms(), st.integers(2, 40), st.integers(2, 9))
def test_a_clock_that_goes_forward_misses_no_period(rhythm: Rhythm, periods: int, looks: int) -> None:
    """Looked at several times in each period: every one is begun once, soon after its moment."""
    step = round(rhythm.every * _NS) // looks
    done: set[int] = set()
    for number in range(periods * looks):
        now = _NOW + number * step
        period = due(rhythm, now, _NOW, done)
        if period is not None:
            assert now - moment(rhythm, period) <= step or not done
            done.add(period)
    assert done == set(range(min(done), max(done) + 1)) if done else True
    assert len(done) >= periods - 2


@given(rhythms(), st.integers(2, 10_000))
def test_what_was_missed_is_made_up_for_once(rhythm: Rhythm, asleep: int) -> None:
    now = _NOW + asleep * round(rhythm.every * _NS)
    done: set[int] = set()
    first = due(rhythm, now, _NOW, done)
    assert first is not None
    done.add(first)
    assert due(rhythm, now, _NOW, done) is None
    assert due(rhythm, now + 1, _NOW, done) in (None, first + 1)


@given(rhythms())
def test_nothing_is_made_up_for_from_before_it_was_known(rhythm: Rhythm) -> None:
    """As when the database was lost: what may have been done in this period is not done again."""
    period = due(rhythm, _NOW, 0, ())
    assert period is not None
    assert due(rhythm, _NOW, moment(rhythm, period) + 1, ()) is None
    begin, end = next_window(rhythm, _NOW, moment(rhythm, period) + 1, ())
    assert begin <= moment(rhythm, period + 1) <= end and end >= _NOW


def test_surprises_differ_and_nobody_without_the_seed_can_tell() -> None:
    week = 7 * 86_400.0
    drawn = {
        seed: [
            moment(Rhythm("drill", week, 0.0, 2 * 86_400.0, hashlib.sha256(bytes([seed])).digest()), n)
            for n in range(50)
        ]
        for seed in range(8)
    }
    offsets = {at % round(week * _NS) for moments in drawn.values() for at in moments}
    assert len(offsets) == 400, "no two alike"
    spread = [(at - 4 * 86_400 * _NS) % round(week * _NS) / _NS for at in drawn[0]]
    assert min(spread) < 0.5 * 86_400 and max(spread) > 1.5 * 86_400


@pytest.mark.parametrize(
    ("every", "at", "within"),
    [(EVERY_MIN_S - 1, 0, 0), (float("nan"), 0, 0), (60, -1, 0), (60, 0, -1), (60, 30, 31), (1e12, 0, 0)],
)
def test_rhythms_that_cannot_be(every: float, at: float, within: float) -> None:
    with pytest.raises(UsageError):
        Rhythm("x", every, at, within, b"").require()
