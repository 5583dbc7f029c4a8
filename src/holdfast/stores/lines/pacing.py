"""A shaper, for coroutines."""

from __future__ import annotations

import asyncio
import threading

from holdfast.stores.lines.shaper import Shaper

__all__ = ["Pacer"]

_LATER_S_MIN = 0.0005


class Pacer:
    """Lets coroutines of one event loop wait for a shaper."""

    def __init__(self, shaper: Shaper, loop: asyncio.AbstractEventLoop) -> None:
        self.shaper = shaper
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.get_ident()

    async def acquire(self, size: int, priority: int) -> None:
        """Return when `size` bytes, no more than a slice, may go."""
        if self.shaper.take_at_once(size, priority):
            return
        may_go = self._loop.create_future()

        def granted() -> None:
            if threading.get_ident() == self._thread:
                _set(may_go)
            else:
                self._loop.call_soon_threadsafe(_set, may_go)

        ticket = self.shaper.ask(size, priority, granted)
        self._run()
        try:
            await may_go
        except BaseException:
            self.shaper.withdraw(ticket)
            self._run()
            raise

    def close(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self.close()
        wait = self.shaper.run()
        if wait is not None:
            self._timer = self._loop.call_later(max(wait, _LATER_S_MIN), self._run)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
