"""Young, Daly, rates from incidents: against the papers' formulas, tables, a fine numeric search and simulated runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.objectives.failure_rates import (
    chi_square_quantile,
    estimate_rate,
    given_rate,
    incidents_between,
)
from holdfast.objectives.intervals import SaveCost, choose_interval, daly, expected_overhead, young

_HOUR, _DAY = 3600.0, 86_400.0


# By hand from the printed formulas: 300 s against 6 h gives √(δ/2M) = 1/12, so 3600 · (1 + 1/36 + 1/1296) − 300.
@pytest.mark.parametrize(
    ("lost", "mtbf", "first_order", "higher_order"),
    [
        (300, 6 * _HOUR, 3600.0, 3402.7777777777778),
        (300, 24 * _HOUR, 7200.0, 7001.3888888888889),
        (60, _DAY, 3219.9378875996974, 3180.0621135984475),
        (1, _HOUR, 84.852813742385703, 84.187456532721242),
    ],
)
def test_golden_values(lost: float, mtbf: float, first_order: float, higher_order: float) -> None:
    assert young(lost, mtbf) == pytest.approx(first_order, rel=1e-12)
    assert daly(lost, mtbf) == pytest.approx(higher_order, rel=1e-9)


def test_a_save_that_costs_more_than_two_lives() -> None:
    assert daly(2 * _HOUR, _HOUR) == _HOUR  # eq. 37, second case
    assert daly(5 * _HOUR, _HOUR) == _HOUR
    assert daly(0.0, _HOUR) == 0.0


@settings(max_examples=60, deadline=None)
@given(mtbf=st.floats(60, 1e7), share=st.floats(1e-6, 0.5))
def test_daly_is_next_to_the_true_optimum(mtbf: float, share: float) -> None:
    """The overhead at Daly's interval is within 0.6 % of the time of the best that a fine search finds."""
    lost = share * mtbf
    intervals = np.geomspace(lost / 50, 20 * mtbf, 4000)
    best = min(expected_overhead(float(one), lost, mtbf) for one in intervals)
    assert expected_overhead(daly(lost, mtbf), lost, mtbf) + 1 <= (best + 1) * 1.006


def _simulated(interval: float, lost: float, mtbf: float, seed: int, pieces: int = 40_000) -> float:
    """Time / work − 1 of one long run, piece by piece: a failure loses what was done since the last save."""
    failures = np.random.default_rng(seed).exponential(mtbf, size=pieces * 4)
    used, taken, done = 0, 0.0, 0
    while done < pieces and used < len(failures):
        whole = int(failures[used] // (interval + lost))  # so many saves are finished before it fails
        done += whole
        taken += failures[used]
        used += 1
    return taken / (done * interval) - 1


@pytest.mark.parametrize(("lost", "mtbf"), [(30.0, 7200.0), (60.0, 3600.0), (300.0, 3000.0)])
def test_simulated_runs_lose_what_the_formula_says_and_least_at_its_optimum(lost: float, mtbf: float) -> None:
    best = daly(lost, mtbf)
    measured = _simulated(best, lost, mtbf, seed=7)
    assert measured == pytest.approx(expected_overhead(best, lost, mtbf), rel=0.06)
    for factor in (0.4, 2.5):
        assert _simulated(factor * best, lost, mtbf, seed=7) > measured * 1.1


@settings(max_examples=80, deadline=None)
@given(p=st.floats(1e-4, 1 - 1e-4), half=st.integers(1, 1500))
def test_quantiles_are_quantiles(p: float, half: int) -> None:
    """For even degrees, 1 − P is the chance of fewer than `half` events of a Poisson distribution of mean x/2."""
    mean = chi_square_quantile(p, 2 * half) / 2
    fewer = math.fsum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(half))
    assert fewer == pytest.approx(1 - p, rel=1e-7)


# Tables of the distribution, e.g. Abramowitz and Stegun 26.8.
@pytest.mark.parametrize(
    ("p", "degrees", "x"), [(0.95, 1, 3.841459), (0.975, 2, 7.377759), (0.025, 20, 9.590777), (0.995, 100, 140.1695)]
)
def test_quantiles_of_tables(p: float, degrees: int, x: float) -> None:
    assert chi_square_quantile(p, degrees) == pytest.approx(x, rel=1e-6)


def test_rates_from_incidents() -> None:
    rate = estimate_rate(10, 100 * _DAY)
    assert rate.mtbf_seconds == pytest.approx(10 * _DAY)
    # Garwood's interval for 10 events at 95 %: 4.795 to 18.390
    assert rate.low is not None and rate.low * 100 * _DAY == pytest.approx(4.795389, rel=1e-6)
    assert rate.high is not None and rate.high * 100 * _DAY == pytest.approx(18.390356, rel=1e-6)
    none = estimate_rate(0, 30 * _DAY)
    assert none.source == "bound" and none.low == 0.0
    assert none.per_second * 30 * _DAY == pytest.approx(-math.log(0.05))  # the rule of three


def test_the_interval_of_confidence_covers_what_it_says() -> None:
    """Of 2,000 observed months with 4 failures on average, the true rate lies within in at least 95 % (and not all)."""
    counts = np.random.default_rng(3).poisson(4.0, size=2000)
    cover = 0
    for count in counts:
        rate = estimate_rate(int(count), 1.0)
        assert rate.low is not None and rate.high is not None
        low, high = (0.0, -math.log(0.05)) if count == 0 else (rate.low, rate.high)
        cover += low <= 4.0 <= high
    assert 0.95 <= cover / 2000 < 1.0


def test_incidents_that_come_together_are_one() -> None:
    times = [10**9 * second for second in (100, 160, 700, 5000, 99_999)]
    assert incidents_between(times, 0, 10_000 * 10**9) == 2
    assert incidents_between(times, 0, 100_000 * 10**9) == 3
    assert incidents_between([], 0, 1) == 0


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan, 1e-320])
def test_rates_that_cannot_be(wrong: float) -> None:
    with pytest.raises(UsageError):
        given_rate(wrong)


def test_observations_that_cannot_be() -> None:
    for failures, seconds, confidence in ((-1, 1.0, 0.9), (1, 0.0, 0.9), (1, math.nan, 0.9), (1, 1.0, 1.0)):
        with pytest.raises(UsageError):
            estimate_rate(failures, seconds, confidence)


_COST = SaveCost(stopped_seconds=1.0, slowed_seconds=2.0, durable_seconds=20.0)


def test_what_decides() -> None:
    rate = given_rate(_DAY)
    free = choose_interval(cost=_COST, rate=rate)
    assert (free.decided_by, free.seconds) == ("cost", pytest.approx(daly(3.0, _DAY) + 3.0))
    tight = choose_interval(cost=_COST, rate=rate, rpo_seconds=300)
    assert (tight.decided_by, tight.seconds, tight.attainable) == ("rpo", 280.0, True)
    assert tight.overhead is not None and free.overhead is not None and tight.overhead > free.overhead
    wide = choose_interval(cost=_COST, rate=rate, rpo_seconds=_DAY)
    assert wide.decided_by == "cost"
    busy = choose_interval(cost=_COST, rate=given_rate(30.0))
    assert (busy.decided_by, busy.seconds) == ("saving", 20.0)
    hopeless = choose_interval(cost=_COST, rate=rate, rpo_seconds=30)
    assert (hopeless.decided_by, hopeless.seconds, hopeless.attainable) == ("saving", 20.0, False)
    assert choose_interval(cost=_COST, rate=rate, at_least=3600.0).decided_by == "at_least"
    assert choose_interval(cost=_COST, rate=rate, at_most=60.0).decided_by == "at_most"
    assert choose_interval(cost=_COST, rate=None, rpo_seconds=900).seconds == 880.0
    first = choose_interval(cost=None, rate=rate, rpo_seconds=900)
    assert (first.decided_by, first.seconds, first.overhead) == ("first", 60.0, None)


def test_nothing_to_decide_by() -> None:
    with pytest.raises(UsageError, match="nothing says how often"):
        choose_interval(cost=_COST, rate=None)
    for wrong in ({"rpo_seconds": -1.0}, {"rpo_seconds": math.nan}, {"at_most": 1.0, "at_least": 2.0}):
        with pytest.raises(UsageError):
            choose_interval(cost=_COST, rate=given_rate(60.0), **wrong)
    with pytest.raises(UsageError):
        choose_interval(cost=SaveCost(stopped_seconds=-1), rate=given_rate(60.0))


@settings(max_examples=200, deadline=None)
@given(
    stopped=st.floats(0, 1e4),
    slowed=st.floats(0, 1e4),
    durable=st.floats(0, 1e5),
    mtbf=st.floats(1, 1e8),
    rpo=st.none() | st.floats(0, 1e6),
    most=st.none() | st.floats(1, 1e6),
)
def test_no_bound_is_broken(
    stopped: float, slowed: float, durable: float, mtbf: float, rpo: float | None, most: float | None
) -> None:
    cost = SaveCost(stopped_seconds=stopped, slowed_seconds=slowed, durable_seconds=durable)
    choice = choose_interval(cost=cost, rate=given_rate(mtbf), rpo_seconds=rpo, at_most=most)
    assert choice.seconds >= durable  # one save at a time
    if choice.decided_by != "saving":
        assert rpo is None or choice.seconds + durable <= rpo or math.isclose(choice.seconds + durable, rpo)
        assert most is None or choice.seconds <= most
    assert choice.attainable == (rpo is None or choice.seconds + durable <= rpo)
    assert any(bound.decider == choice.decided_by and bound.seconds == choice.seconds for bound in choice.bounds)
