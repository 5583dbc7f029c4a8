"""A token bucket with priorities. Pure: whoever calls says what time it is.

Strict priority: of what waits, the highest goes first, and among equals the one that came first. But while something
lower waits, a share of the bytes is set aside for it, and goes to what has waited longest: nothing starves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Bucket", "Ticket"]

_OWED_TURNS_MAX = 4  # what the lower ones did not use cannot be saved up for longer


class Ticket:
    """`size` bytes that want to go. `granted` becomes True once, and then `notify` is called."""

    __slots__ = ("granted", "notify", "number", "priority", "size")

    def __init__(self, size: int, priority: int, notify: Callable[[], None] | None = None) -> None:
        self.size = size
        self.priority = priority
        self.notify = notify
        self.granted = False
        self.number = 0


class Bucket:
    """Bytes that may go: earned at `rate` per second, saved for `burst_s` seconds at most.

    `share` of the bytes goes to lower priorities while they wait. Times are seconds of a monotonic clock.
    """

    def __init__(self, rate: float | None, now: float, burst_s: float, share: float) -> None:
        self.rate = rate
        self._burst_s = burst_s
        self._share = share
        self._tokens = self.depth
        self._at = now
        self._queues: dict[int, deque[Ticket]] = {}
        self._owed = 0.0  # bytes, to whom waits below the highest
        self._count = 0

    @property
    def depth(self) -> float:
        """The most that can be saved, in bytes."""
        return 0.0 if self.rate is None else self.rate * self._burst_s

    def set_rate(self, rate: float | None, now: float) -> None:
        """From now on."""
        self._earn(now)
        if self.rate is None or rate is None:
            self._tokens = 0.0
        self.rate = rate
        self._tokens = min(self._tokens, self.depth)

    def take_at_once(self, size: int, now: float) -> bool:
        """Take `size` bytes if they may go now and nobody waits."""
        if self.rate is None:
            return not self._queues
        if self._queues:
            return False
        self._earn(now)
        if not self._suffices(size):
            return False
        self._tokens -= size
        return True

    def ask(self, ticket: Ticket) -> None:
        """Stand in line."""
        self._count += 1
        ticket.number = self._count
        self._queues.setdefault(ticket.priority, deque()).append(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the line; what was granted and not used is given back."""
        if ticket.granted:
            self._tokens = min(self._tokens + ticket.size, self.depth)
            return
        self._remove(ticket)

    def run(self, now: float) -> list[Ticket]:
        """Those that may go now, in order."""
        self._earn(now)
        granted = []
        while self._queues:
            ticket, lower = self._next()
            if self.rate is not None:
                if not self._suffices(ticket.size):
                    break
                self._tokens -= ticket.size
            self._account(ticket, lower)
            self._remove(ticket)
            ticket.granted = True
            granted.append(ticket)
        return granted

    def wait(self) -> float | None:
        """Seconds from the last `run` until the next one can grant something; None: nothing waits, or all is closed."""
        if not self._queues or self.rate == 0:
            return None
        if self.rate is None:
            return 0.0
        needed = min(self._next()[0].size, self.depth)
        return max(0.0, (needed - self._tokens) / self.rate)

    def waiting(self) -> dict[int, int]:
        """Bytes that wait, by priority."""
        return {priority: sum(ticket.size for ticket in queue) for priority, queue in sorted(self._queues.items())}

    def _suffices(self, size: int) -> bool:
        # A rate that fell may leave requests that are larger than all that can be saved: they run into debt.
        return bool(self.rate) and self._tokens >= min(size, self.depth) - 1e-9 * self.depth

    def _earn(self, now: float) -> None:
        if self.rate is not None and now > self._at:
            self._tokens = min(self._tokens + (now - self._at) * self.rate, self.depth)
        self._at = max(now, self._at)

    def _next(self) -> tuple[Ticket, bool]:
        """Whose turn it is, and whether that is one from below the highest."""
        highest = max(self._queues)
        first = self._queues[highest][0]
        if len(self._queues) > 1:
            oldest = min((queue[0] for level, queue in self._queues.items() if level != highest), key=_number)
            if self._owed >= oldest.size:
                return oldest, True
        return first, False

    def _account(self, ticket: Ticket, lower: bool) -> None:
        if lower:
            self._owed -= ticket.size
        elif len(self._queues) > 1:
            earned = ticket.size * self._share / (1 - self._share)
            largest = max(queue[0].size for queue in self._queues.values())
            self._owed = min(self._owed + earned, _OWED_TURNS_MAX * largest)
        else:
            self._owed = 0.0

    def _remove(self, ticket: Ticket) -> None:
        queue = self._queues.get(ticket.priority)
        if queue is None:
            return
        if queue[0] is ticket:
            queue.popleft()
        elif ticket in queue:
            queue.remove(ticket)
        if not queue:
            del self._queues[ticket.priority]


def _number(ticket: Ticket) -> int:
    return ticket.number
