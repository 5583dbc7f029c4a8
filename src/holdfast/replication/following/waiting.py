"""Threads that wait for stores which may never answer: few for each store, and the same ones again.

A request that hangs cannot be broken off, only left alone. So what is asked next waits behind it, and is asked when the
answer came, or the store's own time-out ran out; whoever does not want to wait any longer takes its question back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import StoreUnreachableError

__all__ = ["Waiters", "GIVEN_UP_S"]

GIVEN_UP_S: Final = 1800.0
"""Longer than any time-out of a store: what runs for so long will never end, and another thread takes its place."""
_WAITING_MAX: Final = 64
_SPARE: Final = 3  # times the usual number: so many threads there are when all that began before will never end

T = TypeVar("T")


class Waiters:
    """Runs work in daemon threads (one that hangs must not keep the process from ending): at most `most` for each key,
    and a few more where some have run for `GIVEN_UP_S`. Threads end when there is nothing to do. Thread-safe.
    """

    def __init__(self, most: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[Hashable, _Queue] = {}

    def submit(self, key: Hashable, name: str, work: Callable[[], T]) -> Future[T]:
        """Run it when a thread of this key is free. `Future.cancel` takes it back, if it was not begun.

        What waits behind more than `_WAITING_MAX` others gets StoreUnreachableError: a store that hangs must not make
        the questions of a long-lived process pile up.
        """
        future: Future[T] = Future()
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            queue.waiting = deque(one for one in queue.waiting if not one[0].cancelled())
            if len(queue.waiting) >= _WAITING_MAX:
                why = f"{_WAITING_MAX} questions to this store wait for its answers already"
                future.set_exception(StoreUnreachableError(why))
                return future
            queue.waiting.append((future, work))
            hanging = sum(self._clock.monotonic() - began > GIVEN_UP_S for began in queue.running.values())
            wanted = len(queue.running) - hanging < self._most and len(queue.running) < _SPARE * self._most
            if not wanted:
                return future
            mark = object()
            queue.running[mark] = self._clock.monotonic()
        try:
            threading.Thread(target=self._work, args=(key, queue, mark), name=name, daemon=True).start()
        except RuntimeError:  # no more threads are to be had: whoever asks next tries again
            future.cancel()
            with self._lock:
                del queue.running[mark]
            raise
        return future

    def _work(self, key: Hashable, queue: _Queue, mark: object) -> None:
        while True:
            with self._lock:
                if not queue.waiting:
                    del queue.running[mark]
                    if not queue.running and self._queues.get(key) is queue:
                        del self._queues[key]
                    return
                future, work = queue.waiting.popleft()
                queue.running[mark] = self._clock.monotonic()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)
            else:
                future.set_result(result)


class _Queue:
    """Of one key. `running`: thread → when it began what it does, in monotonic seconds."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self.running: dict[object, float] = {}
