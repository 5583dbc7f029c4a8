"""Ready means complete and at rest, by two looks or by a marker that has long been the last word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.checkpoints.candidates import Candidate, FileStamp, Marker
from holdfast.checkpoints.settling import Settler
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import UsageError

NOW = 1_700_000_000 * NANOSECONDS


def seconds_ago(seconds: float) -> int:
    return NOW - round(seconds * NANOSECONDS)


def candidate(*, age: float = 0.0, marker_age: float | None = None, changed_age: float | None = None) -> Candidate:
    marker = None if marker_age is None else Marker("done", 1, seconds_ago(marker_age))
    files = (FileStamp("data", 100, seconds_ago(age)),)
    changed = seconds_ago(age if changed_age is None else changed_age)
    return Candidate(Path("/c"), 1, "test", True, "", files, changed, marker)


def ready(settler: Settler, one: Candidate) -> bool:
    (readiness,) = settler.look([one])
    assert readiness.ready is (readiness.reason == "")
    return readiness.ready


def test_two_equal_looks_far_enough_apart_make_it_ready() -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    assert not ready(settler, candidate())
    clock.sleep(9.9)
    assert not ready(settler, candidate())
    clock.sleep(0.1)
    assert ready(settler, candidate())


@pytest.mark.parametrize("settle_seconds", [0.0, 10.0])
def test_one_look_is_not_enough_without_a_marker(settle_seconds: float) -> None:
    settler = Settler(ManualClock(NOW), settle_seconds)
    assert not ready(settler, candidate(age=1e6))


def test_every_change_starts_the_wait_anew() -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    one = candidate()
    for size in range(5):
        assert not ready(settler, replace(one, files=(FileStamp("data", size, 0),)))
        clock.sleep(9)
    (readiness,) = settler.look([replace(one, files=(FileStamp("data", 5, 0),))])
    assert readiness.reason == "it is still changing"
    clock.sleep(10)
    assert ready(settler, replace(one, files=(FileStamp("data", 5, 0),)))


def test_time_while_incomplete_does_not_count() -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    incomplete = replace(candidate(), complete=False, reason="no tracker")
    (readiness,) = settler.look([incomplete])
    assert (readiness.ready, readiness.reason) == (False, "no tracker")
    clock.sleep(100)
    assert not ready(settler, candidate())
    clock.sleep(5)
    settler.look([incomplete])
    clock.sleep(5)
    assert not ready(settler, candidate())


def test_one_that_was_gone_in_between_begins_again() -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    settler.look([candidate()])
    clock.sleep(6)
    settler.look([])
    clock.sleep(6)
    assert not ready(settler, candidate())


def test_an_old_marker_makes_it_ready_at_the_first_look() -> None:
    assert ready(Settler(ManualClock(NOW), 10), candidate(age=60, marker_age=50))
    assert ready(Settler(ManualClock(NOW), 10), candidate(age=10, marker_age=10))


@pytest.mark.parametrize(
    "one",
    [
        candidate(age=60, marker_age=9),  # the marker is too fresh
        candidate(age=60, marker_age=70),  # a file is newer than the marker
        candidate(age=60, marker_age=50, changed_age=3),  # a copy that carried the old times over
        candidate(age=60, marker_age=50, changed_age=-3),  # changed in the future
        candidate(age=-60, marker_age=-61),  # written in the future
        candidate(age=60, marker_age=-5),  # a marker from the future
    ],
)
def test_a_marker_alone_is_not_enough(one: Candidate) -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    assert not ready(settler, one)


def test_times_in_the_future_do_not_keep_it_from_settling() -> None:
    """A file server whose clock is an hour ahead: only the durations that we measure count."""
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    ahead = candidate(age=-3600, marker_age=-3600)
    assert not ready(settler, ahead)
    clock.sleep(10)
    assert ready(settler, ahead)


def test_candidates_are_judged_apart() -> None:
    clock = ManualClock(NOW)
    settler = Settler(clock, 10)
    early, late = candidate(), replace(candidate(), path=Path("/d"))
    settler.look([early])
    clock.sleep(10)
    assert [readiness.ready for readiness in settler.look([late, early])] == [False, True]


def test_a_negative_time_is_refused() -> None:
    with pytest.raises(UsageError, match="negative"):
        Settler(ManualClock(NOW), -1)
