"""What training has told the saving process, kept until the work comes to it."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from holdfast.errors import HoldfastError
from holdfast.training.saving.channel import Channel
from holdfast.training.saving.memory import map_received
from holdfast.training.saving.messages import Finish, Order, SaveOrder, SharedMemory, Withdraw

__all__ = ["Inbox"]

_LATE_SECONDS_MIN = 5.0


class Inbox:
    """`receive` runs in a thread of its own; the rest is for the main one. `end` is called when time is over."""

    def __init__(self, channel: Channel[Order], parent: int, orphan_seconds: float, end: Callable[[], None]) -> None:
        self._channel = channel
        self._parent = parent
        self._orphan_seconds = orphan_seconds
        self._end = end
        self._news = threading.Condition()
        self._orders: deque[SaveOrder] = deque()
        self._withdrawn: set[int] = set()
        self._memories: dict[int, mmap.mmap] = {}
        self._finish_at: float | None = None

    def receive(self) -> None:
        """Take messages until training is gone."""
        while True:
            try:
                message = self._channel.receive()
            except HoldfastError:
                message = None
            if isinstance(message, SharedMemory):
                self._map(message)
                continue
            with self._news:
                if message is None:
                    self._finish(self._orphan_seconds)  # training has died: what it staged is whole
                elif isinstance(message, SaveOrder):
                    self._orders.append(message)
                elif isinstance(message, Withdraw):
                    self._withdrawn.add(message.ticket)
                elif isinstance(message, Finish):
                    self._finish(message.seconds)
                self._news.notify_all()
            if message is None:
                return

    def notify(self) -> None:
        """Something else has changed: who rests is woken."""
        with self._news:
            self._news.notify_all()

    def take(self) -> SaveOrder | None:
        """The next save."""
        with self._news:
            return self._orders.popleft() if self._orders else None

    def withdrawn(self) -> set[int]:
        """The tickets that training wants back, since this was asked last."""
        with self._news:
            found, self._withdrawn = self._withdrawn, set()
            return found

    def memory(self, order: SaveOrder) -> memoryview:
        """The shared memory that the order's state lies in."""
        return memoryview(self._memories[order.memory])

    def has_ended(self) -> bool:
        """Whether training wants no more, and has ordered nothing that was not taken."""
        with self._news:
            return self._finish_at is not None and not self._orders

    def is_late(self) -> bool:
        """Whether the time for what is left over is over."""
        return self._finish_at is not None and time.monotonic() >= self._finish_at

    def rest(self, seconds: float) -> None:
        """Wait for news, so long at most; notices that training died, too, which a forked child of it may hide."""
        with self._news:
            if os.getppid() != self._parent:
                self._finish(self._orphan_seconds)
            if not self._orders and not self._withdrawn:
                self._news.wait(seconds)

    def _finish(self, seconds: float) -> None:
        if self._finish_at is not None:
            return
        self._finish_at = time.monotonic() + seconds
        timer = threading.Timer(seconds + max(_LATE_SECONDS_MIN, seconds), self._end)
        timer.daemon = True
        timer.start()

    def _map(self, message: SharedMemory) -> None:
        descriptor = self._channel.descriptor()
        if descriptor is None:
            return
        old = self._memories.pop(message.number, None)
        if old is not None:
            with suppress(BufferError):  # the last error still holds a view: it goes with that
                old.close()
        self._memories[message.number] = map_received(descriptor, message.size)
