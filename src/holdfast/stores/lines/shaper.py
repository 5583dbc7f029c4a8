"""One direction of a line, shared by all that use it: threads that wait, and a forwarder that is called back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.stores.lines.bucket import Bucket, Ticket
from holdfast.stores.lines.measured import Estimator, Measured
from holdfast.stores.lines.terms import PRIORITIES, USUAL_PRIORITY, Schedule

__all__ = ["LOWER_SHARE", "Shaper", "ShaperSnapshot"]

LOWER_SHARE = 0.05  # of the bytes, for lower priorities while higher ones could use all
_BURST_S = 0.05  # a process that gets no processor for that long loses nothing of its line
_SLICE_S = 0.01  # so long a higher priority waits for what was already let go
_SLICE_BYTES_MIN, _SLICE_BYTES_MAX = 4 << 10, 256 << 10
_LOOK_S = 1.0  # how often the time of day is looked at, apart from each full minute
_IDLE_S = 60.0


class ShaperSnapshot(NamedTuple):
    """One direction as it is now. Bytes by priority count from the beginning; `waiting` are those not let through."""

    rate: float | None  # bytes per second by the schedule; None: not limited
    moved: tuple[tuple[int, int], ...]  # (priority, bytes)
    waiting: tuple[tuple[int, int], ...]  # (priority, bytes)
    measured: Measured | None  # None: nothing was measured yet

    @property
    def bytes(self) -> int:
        """Of all priorities together."""
        return sum(count for _, count in self.moved)


class Shaper:
    """Lets bytes through at the schedule's rate, the highest priority first. Any thread may call everything.

    `burst_s` seconds' worth of bytes are saved while nobody needs them.
    """

    def __init__(
        self,
        schedule: Schedule,
        clock: Clock = SYSTEM_CLOCK,
        *,
        burst_s: float = _BURST_S,
        lower_share: float = LOWER_SHARE,
    ) -> None:
        self._schedule = schedule
        self._clock = clock
        self._lock = threading.Lock()
        now = clock.monotonic()
        self._bucket = Bucket(schedule.rate_at(clock.now_ns()), now, burst_s, lower_share)
        self._changes = bool(schedule.limits)
        self._look_at = now
        self._moved = dict.fromkeys(PRIORITIES, 0)
        self._estimator = Estimator()

    @property
    def rate(self) -> float | None:
        """Bytes per second now; None: not limited."""
        with self._lock:
            self._look(self._clock.monotonic())
            return self._bucket.rate

    @property
    def slice_bytes(self) -> int:
        """How much should be asked for at once."""
        rate = self._bucket.rate
        if rate is None:
            return _SLICE_BYTES_MAX
        return int(min(max(rate * _SLICE_S, _SLICE_BYTES_MIN), _SLICE_BYTES_MAX))

    def acquire(self, size: int, priority: int = USUAL_PRIORITY) -> None:
        """Wait until `size` bytes may go. They are asked for slice by slice, so that others get in between."""
        left = size
        while left > 0:
            piece = max(1, min(left, self.slice_bytes, int(self._bucket.depth) or left))
            if not self.take_at_once(piece, priority):
                self._wait_for(Ticket(piece, priority))
            left -= piece

    def take_at_once(self, size: int, priority: int) -> bool:
        """Take `size` bytes if they may go now, and nobody is waiting."""
        with self._lock:
            now = self._clock.monotonic()
            self._look(now)
            taken = self._bucket.take_at_once(size, now)
            if taken:
                self._count(size, priority, now)
            return taken

    def ask(self, size: int, priority: int, notify: Callable[[], None]) -> Ticket:
        """Stand in line; `notify` is called, by whatever thread calls `run`, when the bytes may go."""
        ticket = Ticket(size, priority, notify)
        with self._lock:
            self._bucket.ask(ticket)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the line, or give back what was granted and not used."""
        with self._lock:
            if ticket.granted:
                self._moved[ticket.priority] -= ticket.size
            self._bucket.withdraw(ticket)

    def run(self) -> float | None:
        """Let through what may go; seconds until there may be more. None: when somebody asks, not before."""
        with self._lock:
            now = self._clock.monotonic()
            self._look(now)
            granted = self._bucket.run(now)
            for ticket in granted:
                self._count(ticket.size, ticket.priority, now)
            wait = self._bucket.wait()
            if self._bucket.waiting() and self._changes:
                wait = min(self._look_at - now, _LOOK_S if wait is None else wait)
            elif wait is None and self._bucket.waiting():
                wait = _IDLE_S
        for ticket in granted:
            if ticket.notify is not None:
                ticket.notify()
        return wait

    def snapshot(self) -> ShaperSnapshot:
        """How things are."""
        with self._lock:
            now = self._clock.monotonic()
            self._look(now)
            return ShaperSnapshot(
                rate=self._bucket.rate,
                moved=tuple((priority, count) for priority, count in self._moved.items() if count),
                waiting=tuple(self._bucket.waiting().items()),
                measured=self._estimator.measured(now),
            )

    def _wait_for(self, ticket: Ticket) -> None:
        with self._lock:
            self._bucket.ask(ticket)
        try:
            while True:
                wait = self.run()
                if ticket.granted:
                    return
                self._clock.sleep(_SLICE_S if wait is None else wait)
        except BaseException:
            self.withdraw(ticket)
            raise

    def _count(self, size: int, priority: int, now: float) -> None:
        self._moved[priority] += size
        self._estimator.add(size, now)

    def _look(self, now: float) -> None:
        """Follow the schedule: at each full minute, and each second, should somebody have set the clock."""
        if not self._changes or now < self._look_at:
            return
        now_ns = self._clock.now_ns()
        rate = self._schedule.rate_at(now_ns)
        if rate != self._bucket.rate:
            self._bucket.set_rate(rate, now)
        until_minute = 60 - now_ns % 60_000_000_000 / 1e9
        self._look_at = now + min(until_minute, _LOOK_S)
