"""`Interval` in a loop with a clock of its own: when it says so, how it learns, what it tells."""

from __future__ import annotations

from itertools import pairwise

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import UsageError
from holdfast.objectives.intervals import daly
from holdfast.training.intervals import Interval, SaveCost, estimate_rate, note_in


def _run(interval: Interval, clock: ManualClock, steps: int, step_seconds: float, cost: SaveCost) -> list[float]:
    """When saves began, in a loop whose steps all take as long; training stands still for part of each save."""
    began = []
    for step in range(1, steps + 1):
        clock.sleep(step_seconds)
        if interval.due(step):
            began.append(clock.monotonic())
            interval.saving()
            clock.sleep(cost.stopped_seconds)
            interval.saved(cost)
    return began


def test_saves_come_as_often_as_the_cost_says() -> None:
    clock = ManualClock()
    cost = SaveCost(stopped_seconds=2.0, durable_seconds=5.0)
    interval = Interval(mtbf_seconds=3600.0, clock=clock)
    began = _run(interval, clock, 4000, 1.0, cost)
    assert began[0] == pytest.approx(60, abs=1)  # to measure one
    gaps = {round(after - before) for before, after in pairwise(began[1:])}
    assert gaps <= {round(daly(2.0, 3600.0) + 2.0) + more for more in (-1, 0, 1)}


def test_an_rpo_is_kept_at_ends_of_long_steps() -> None:
    """No two saves begin further apart than the RPO less the time until one is durable, with steps of 7 s."""
    clock = ManualClock()
    interval = Interval(rpo_seconds=100.0, clock=clock, first_seconds=10.0)
    began = _run(interval, clock, 300, 7.0, SaveCost(stopped_seconds=0.1, durable_seconds=20.0))
    gaps = [after - before for before, after in pairwise(began[2:])]
    assert interval.choice.decided_by == "rpo"
    assert max(gaps) <= 80.0 and min(gaps) > 80.0 - 2 * 7.0 - 0.1


def test_costs_that_change_are_followed() -> None:
    clock = ManualClock()
    interval = Interval(mtbf_seconds=36_000.0, clock=clock)
    for _ in range(20):
        interval.saved(SaveCost(stopped_seconds=1.0))
    before = interval.choice.seconds
    assert interval.saved(SaveCost(stopped_seconds=100.0)).seconds < daly(100.0, 36_000.0) / 2  # one is an outlier
    for _ in range(40):
        interval.saved(SaveCost(stopped_seconds=100.0))
    assert interval.choice.seconds == pytest.approx(daly(100.0, 36_000.0) + 100.0, rel=0.02)
    assert interval.choice.seconds > 8 * before


def test_what_is_known_of_earlier_runs_counts_until_a_save_was_measured() -> None:
    interval = Interval(mtbf_seconds=3600.0, cost=SaveCost(stopped_seconds=2.0), clock=ManualClock())
    assert interval.choice.decided_by == "cost"
    first = interval.choice.seconds
    assert interval.saved(SaveCost(stopped_seconds=8.0)).seconds == pytest.approx(2 * first, rel=0.1)


def test_after_an_incident_saves_come_more_often() -> None:
    interval = Interval(rate=estimate_rate(0, 86_400.0), cost=SaveCost(stopped_seconds=2.0), clock=ManualClock())
    quiet = interval.choice.seconds
    assert interval.fails_at(estimate_rate(12, 86_400.0)).seconds < quiet


def test_a_failed_save_is_tried_again_soon() -> None:
    clock = ManualClock()
    interval = Interval(mtbf_seconds=86_400.0, cost=SaveCost(stopped_seconds=10.0), clock=clock)
    interval.saving()
    interval.failed(retry_seconds=30.0)
    clock.sleep(29.0)
    assert not interval.due(1)
    clock.sleep(1.5)
    assert interval.due(2)


def test_the_note_comes_back() -> None:
    interval = Interval(rpo_seconds=900, rate=estimate_rate(3, 1e6), clock=ManualClock())
    interval.saved(SaveCost(stopped_seconds=1.0, durable_seconds=3.0))
    note = note_in(interval.metadata())
    assert note is not None and note.seconds == interval.choice.seconds and note.measured_saves == 1
    assert note.cost == SaveCost(stopped_seconds=1.0, durable_seconds=3.0)
    for wrong in ("", "{", '{"seconds":"x"}', interval.metadata()["interval"].replace("900", "-900"), "[" * 5000):
        assert note_in({"interval": wrong}) is None


def test_calls_that_make_no_sense() -> None:
    with pytest.raises(UsageError):
        Interval()
    with pytest.raises(UsageError):
        Interval(mtbf_seconds=1.0, rate=estimate_rate(1, 1.0))
    with pytest.raises(UsageError):
        Interval(mtbf_seconds=60.0).saved(SaveCost(stopped_seconds=float("nan")))
