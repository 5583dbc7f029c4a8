"""How often one address may do something: buckets that fill up again with time. Bounded, whoever comes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Limits"]

_KEYS_MAX: Final = 10_000


class Limits:
    """`most` at once, and `per_second` more. Addresses beyond `_KEYS_MAX` push out those that were quiet longest."""

    def __init__(self, most: float, per_second: float, monotonic: Callable[[], float]) -> None:
        self._most, self._rate, self._monotonic = most, per_second, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until one more is free; 0 if one is. Takes nothing."""
        with self._lock:
            left = self._left(key)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def take(self, key: str) -> float:
        """Take one: 0, or how many seconds it would have to wait for it."""
        with self._lock:
            left = self._left(key)
            if left < 1:
                return (1 - left) / self._rate
            self._buckets[key] = (left - 1, self._monotonic())
            self._buckets.move_to_end(key)
            while len(self._buckets) > _KEYS_MAX:
                self._buckets.popitem(last=False)
            return 0.0

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (self._most, 0.0))
        return min(self._most, left + max(0.0, self._monotonic() - at) * self._rate)
