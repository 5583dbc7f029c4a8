"""Rates by the time of day, and terms that make no sense."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from holdfast.errors import UsageError
from holdfast.stores.lines.terms import DAYS, Limit, LineTerms, Path, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def ns(text: str, zone: str = "UTC", fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(moment.timestamp() * 1_000_000_000)


def at(schedule: Schedule, text: str) -> float | None:
    return schedule.rate_at(ns(text, schedule.timezone))


OFFICE = Limit(9 * 60, 17 * 60 + 30, 5.0, ("mon", "tue", "wed", "thu", "fri"))
NIGHT = Limit(22 * 60, 6 * 60, 80.0, ("fri",))  # begins on Fridays, ends on Saturdays


def test_a_limit_holds_from_its_first_minute_to_its_last() -> None:
    schedule = Schedule(100.0, limits=(OFFICE,))
    assert at(schedule, "2026-11-20T08:59:59.999") == 100.0  # a Friday
    assert at(schedule, "2026-11-20T09:00:00") == 5.0
    assert at(schedule, "2026-11-20T17:29:59.999") == 5.0
    assert at(schedule, "2026-11-20T17:30:00") == 100.0
    assert at(schedule, "2026-11-21T12:00:00") == 100.0


def test_a_limit_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    schedule = Schedule(limits=(NIGHT,))
    assert at(schedule, "2026-11-20T21:59:00") is None
    assert at(schedule, "2026-11-20T22:00:00") == 80.0
    assert at(schedule, "2026-11-21T05:59:00") == 80.0
    assert at(schedule, "2026-11-21T06:00:00") is None
    assert at(schedule, "2026-11-20T05:59:00") is None  # that night began on a Thursday
    assert at(schedule, "2026-11-21T22:00:00") is None


def test_a_limit_until_midnight_and_one_for_all_day() -> None:
    evening, always = Limit(20 * 60, 24 * 60, 3.0), Limit(0, 24 * 60, 7.0)
    assert at(Schedule(limits=(evening,)), "2026-11-20T23:59:59") == 3.0
    assert at(Schedule(limits=(evening,)), "2026-11-21T00:00:00") is None
    assert {at(Schedule(limits=(always,)), f"2026-11-20T{hour:02}:30:00") for hour in range(24)} == {7.0}


def test_the_lowest_counts_and_the_reserve_is_of_the_line() -> None:
    schedule = Schedule(100.0, reserve=30.0, limits=(OFFICE, Limit(12 * 60, 13 * 60, 2.0), Limit(0, 1440, 90.0)))
    assert at(schedule, "2026-11-20T12:30:00") == 2.0
    assert at(schedule, "2026-11-20T11:00:00") == 5.0
    assert at(schedule, "2026-11-20T20:00:00") == 70.0
    assert Schedule(None, reserve=30.0).rate_at(0) is None


def test_it_is_local_time_that_counts_through_the_change_of_the_clocks() -> None:
    schedule = Schedule(100.0, limits=(Limit(2 * 60, 3 * 60, 1.0),), timezone="Europe/Berlin")
    # 2026-03-29: 02:00 to 03:00 does not exist; the minute after 01:59 is 03:00.
    assert schedule.rate_at(ns("2026-03-29T00:59:59")) == 100.0
    assert schedule.rate_at(ns("2026-03-29T01:00:00")) == 100.0
    # 2026-10-25: it exists twice.
    for fold in (0, 1):
        assert schedule.rate_at(ns("2026-10-25T02:30:00", "Europe/Berlin", fold)) == 1.0
    assert schedule.rate_at(ns("2026-07-01T00:30:00")) == 1.0  # UTC+2
    assert schedule.rate_at(ns("2026-12-01T01:30:00")) == 1.0  # UTC+1


@pytest.mark.parametrize(
    "terms",
    [
        LineTerms("x", up=10, reserve=10),
        LineTerms("x", down=10, reserve=11),
        LineTerms("x", up=0),
        LineTerms("x", up=float("nan")),
        LineTerms("x", reserve=-1),
        LineTerms("x", limits=(Limit(60, 60, 1),)),
        LineTerms("x", limits=(Limit(-1, 60, 1),)),
        LineTerms("x", limits=(Limit(0, 1441, 1),)),
        LineTerms("x", limits=(Limit(1440, 5, 1),)),
        LineTerms("x", limits=(Limit(0, 60, -1),)),
        LineTerms("x", limits=(Limit(0, 60, 1, ("monday",)),)),
        LineTerms("x", timezone="Europe/Nowhere"),
        LineTerms("x", timezone="../../etc/passwd"),
        LineTerms("x", dscp=64),
        LineTerms("x", dscp=-1),
        LineTerms("x", paths=()),
        LineTerms("x", paths=(Path("a"), Path("a", "10.0.0.1"))),
        LineTerms("x", paths=(Path("a", "gateway.example.com"),)),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms: LineTerms) -> None:
    with pytest.raises(UsageError):
        terms.check()


def test_sensible_terms_pass() -> None:
    terms = LineTerms("x", 10, 5, 1, (OFFICE, NIGHT, Limit(0, 1440, 0)), "Europe/Berlin", 10, (Path("a", "::1"),))
    assert terms.check() is terms
    assert terms.schedule(terms.up).rate_at(ns("2026-11-21T12:00:00")) == 0
    assert {day for limit in terms.limits for day in limit.days} <= set(DAYS)
