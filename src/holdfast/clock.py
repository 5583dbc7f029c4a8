"""The only place that asks for the time. Tests hand in another `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SYSTEM_CLOCK", "ManualClock", "to_rfc3339", "from_rfc3339"]

NANOSECONDS = 1_000_000_000


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class _SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK: Clock = _SystemClock()


class ManualClock:
    """A clock that moves only when told to; `sleep` moves it."""

    def __init__(self, now_ns: int = 1_700_000_000 * NANOSECONDS) -> None:
        self._now_ns = now_ns
        self._monotonic = 0.0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now_ns += round(seconds * NANOSECONDS)


def to_rfc3339(time_ns: int) -> str:
    """`1700000000123456789` → `2023-11-14T22:13:20.123Z` (cut to milliseconds)."""
    moment = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % NANOSECONDS // 1_000_000:03d}Z"


def from_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch. Without a zone the text is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"no calendar has {text} in UTC") from error
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * NANOSECONDS + moment.microsecond * 1000
