"""When silence is a hang: after a time that is given, or learned from how far apart checkpoints came."""

from __future__ import annotations

__all__ = ["Silence", "FACTOR", "LEARNED_LEAST_SECONDS", "INTERVALS_LEAST"]

FACTOR = 3.0  # of the longest interval that was seen: evaluation between two checkpoints may double one
LEARNED_LEAST_SECONDS = 600.0
INTERVALS_LEAST = 3


class Silence:
    """Times in seconds of a monotonic clock. Not for several threads."""

    def __init__(self, limit_seconds: float | None, *, learned: bool = False) -> None:
        """`limit_seconds` None and not `learned`: nothing is ever a hang."""
        self._limit = limit_seconds
        self._learned = learned
        self._last: float | None = None
        self._longest = 0.0
        self._intervals = 0
        self._told = False

    @property
    def limit_seconds(self) -> float | None:
        """How long it may be silent, None: for ever."""
        if self._limit is not None or not self._learned or self._intervals < INTERVALS_LEAST:
            return self._limit
        return max(LEARNED_LEAST_SECONDS, FACTOR * self._longest)

    def begin(self, now: float) -> None:
        """The command was started, or continued after it had been stopped."""
        self._last = now
        self._told = False

    def heard(self, now: float, *, checkpoint: bool = False) -> None:
        """Something was written; `checkpoint`: a new one became complete."""
        if checkpoint and self._last_checkpoint is not None:
            self._longest = max(self._longest, now - self._last_checkpoint)
            self._intervals += 1
        if checkpoint:
            self._last_checkpoint = now
        self._last = now
        self._told = False

    _last_checkpoint: float | None = None

    def is_too_long(self, now: float) -> bool:
        """True once for each silence that lasts longer than it may."""
        limit = self.limit_seconds
        if limit is None or self._last is None or self._told or now - self._last < limit:
            return False
        self._told = True
        return True
