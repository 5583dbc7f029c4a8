"""When the calendar periods of retention rules begin and end: hours, days, ISO weeks, months, years, all in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast.objectives.retention_rules import BUCKETS

__all__ = ["start_of", "LONGEST_NS"]

_NANOSECONDS = 1_000_000_000
_LAST_YEAR = 9998
LONGEST_NS = 36_500 * 86_400 * _NANOSECONDS  # no object store locks for longer, and no promise is worth more
_STEPS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(weeks=1)}
_MONTHS = {"monthly": 1, "yearly": 12}


def start_of(name: str, time_ns: int, later: int = 0) -> int:
    """When the period of that kind (a key of `BUCKETS`) that `time_ns` lies in began (ns since the epoch), or the one
    that is `later` periods after it. Times beyond the year 9998 count as its beginning.
    """
    moment = datetime.fromtimestamp(min(max(time_ns // _NANOSECONDS, 0), _LAST_SECOND), UTC)
    try:
        begin = _begin(name, moment)
        found = _later_months(begin, later * _MONTHS[name]) if name in _MONTHS else begin + later * _STEPS[name]
    except OverflowError:
        return _LAST_SECOND * _NANOSECONDS
    return min(int(found.timestamp()), _LAST_SECOND) * _NANOSECONDS


def _begin(name: str, moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if name == "hourly":
        return hour
    day = hour.replace(hour=0)
    if name == "weekly":
        return day - timedelta(days=day.isoweekday() - 1)
    if name == "monthly":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if name == "yearly" else day


def _later_months(begin: datetime, months: int) -> datetime:
    year, month = divmod(begin.year * 12 + begin.month - 1 + months, 12)
    if year > _LAST_YEAR:
        raise OverflowError
    return begin.replace(year=year, month=month + 1)


_LAST_SECOND = int(datetime(_LAST_YEAR, 1, 1, tzinfo=UTC).timestamp())
assert {*_STEPS, *_MONTHS} == {*BUCKETS}, "each kind of period has a length"
