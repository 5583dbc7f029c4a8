"""The way to one target: whose objects go first, and which are on their way already.

Copies to one store share a lane. Objects of a copy that matters more overtake those of the others: whatever is on its
way is finished, and nothing of theirs is begun until it is done, but for one object now and then, so that nothing
waits for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.clock import SYSTEM_CLOCK, Clock

__all__ = ["Lane", "HIGH", "NORMAL", "LOW"]

HIGH: Final = 2
"""What somebody waits for: saves of synchronous assets, recoveries."""
NORMAL: Final = 1
LOW: Final = 0
"""What only has to be done some time: healing, backfilling."""
_PATIENCE_SECONDS: Final = 30.0


class Lane:
    """For one target store, and all threads of this process that write to it."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._copies: Counter[int] = Counter()  # priority → copies that go on
        self._flying: set[str] = set()
        self._landed: dict[str, tuple[int, int]] = {}  # key → size, and how many had landed then; while copies go on
        self._landings = 0
        self._passed = clock.monotonic()  # when something was last let past what matters more

    @contextmanager
    def copying(self, priority: int) -> Iterator[None]:
        """A copy of this priority goes on: objects of lower ones wait meanwhile."""
        with self._changed:
            self._copies[priority] += 1
        try:
            yield
        finally:
            with self._changed:
                self._copies[priority] -= 1
                if not self._copies.total():
                    self._landed.clear()
                self._changed.notify_all()

    def mark(self) -> int:
        """This moment: what lands later, lands after it."""
        with self._changed:
            return self._landings

    def once(self, key: str, priority: int, send: Callable[[], int], *, since: int = 0) -> int:
        """Send an object when it is its turn, unless another copy has sent it meanwhile. Returns its size in bytes.

        `since`: a mark. What landed before it is sent again: it may have been lost, or collected, since then.
        `send` returns the size; what it raises goes on to the caller, and whoever waits for the same object tries.
        """
        with self._changed:
            while not self._may_go(priority):
                self._changed.wait(1.0)
            while key in self._flying:
                self._changed.wait()
            size, landing = self._landed.get(key, (0, 0))
            if landing > since:
                return size
            self._flying.add(key)
        try:
            size = send()
            with self._changed:
                self._landings += 1
                self._landed[key] = size, self._landings
            return size
        finally:
            with self._changed:
                self._flying.discard(key)
                self._changed.notify_all()

    def _may_go(self, priority: int) -> bool:
        if not any(count for other, count in self._copies.items() if other > priority):
            return True
        now = self._clock.monotonic()
        if now - self._passed < _PATIENCE_SECONDS:
            return False
        self._passed = now
        return True
