"""A clock on which durations pass faster: leases and pauses that are shorter, for tests that cannot wait an hour."""

from __future__ import annotations

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.vault.collecting.safety import LEASE_S

__all__ = ["HurriedClock", "with_leases_of"]


class HurriedClock:
    """Tells the same wall time as `clock`; a second on it counts as `speed` seconds, and is slept in as little."""

    def __init__(self, speed: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._speed = speed
        self._clock = clock

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def monotonic(self) -> float:
        return self._clock.monotonic() * self._speed

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds / self._speed)


def with_leases_of(seconds: float) -> HurriedClock:
    """The clock of a program whose leases last that long; everybody who works on the vault needs the same.

    A collector is told by `Safety.lease`: it judges leases by the store's clock.
    """
    return HurriedClock(LEASE_S / seconds)
