"""How fast stores gave what was read of them: bytes, and the seconds in which at least one read was under way.

Nothing is counted while nobody asks, so that reading costs nothing more. A store is told apart by its identity, not by
the object that stands for it: several may lead to the same place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from holdfast.clock import SYSTEM_CLOCK
from holdfast.stores.protocol import Store, store_identity

__all__ = ["Given", "Metering", "counted", "metering"]

T = TypeVar("T")


class Given(NamedTuple):
    """What a store gave: stored bytes, and for how many seconds somebody was waiting for it, however many at once."""

    bytes: int
    seconds: float


class _Meter:
    """Of one store. The time of reads that overlap counts once."""

    def __init__(self) -> None:
        self.bytes = 0
        self.seconds = 0.0
        self.running = 0
        self.since = 0.0


class Metering:
    """What is read while this is under way, in all threads of the process. Safe for several threads."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}
        self._lock = threading.Lock()

    def begin(self, identity: str, now: float) -> None:
        with self._lock:
            meter = self._meters.setdefault(identity, _Meter())
            if not meter.running:
                meter.since = now
            meter.running += 1

    def end(self, identity: str, now: float, size: int) -> None:
        """`size`: what came; 0 for a read that failed, whose time counts all the same."""
        with self._lock:
            meter = self._meters[identity]
            meter.running -= 1
            meter.bytes += size
            if not meter.running:
                meter.seconds += now - meter.since

    def given(self) -> dict[str, Given]:
        """Identity of a store → what it gave, of the reads that are over."""
        with self._lock:
            return {identity: Given(meter.bytes, meter.seconds) for identity, meter in self._meters.items()}


_active: tuple[Metering, ...] = ()  # replaced, never changed: readers need no lock
_active_lock = threading.Lock()


@contextmanager
def metering() -> Iterator[Metering]:
    """Count what is read from here to the end of the block. Two at once both count the reads of both: what a store
    gave them together is what it gave.
    """
    global _active  # noqa: PLW0603 - one set for the process
    mine = Metering()
    with _active_lock:
        _active = (*_active, mine)
    try:
        yield mine
    finally:
        with _active_lock:
            _active = tuple(one for one in _active if one is not mine)


def counted(store: Store, size: int, read: Callable[[], T]) -> T:
    """What `read` gives, of which `size` bytes come from `store`. A store that stands for several counts by itself
    (`counts_reads`).
    """
    active = _active
    if not active or getattr(store, "counts_reads", False):
        return read()
    identity = store_identity(store)
    began = SYSTEM_CLOCK.monotonic()
    for one in active:
        one.begin(identity, began)
    came = 0
    try:
        found = read()
        came = size
    finally:
        ended = SYSTEM_CLOCK.monotonic()
        for one in active:
            one.end(identity, ended, came)
    return found
