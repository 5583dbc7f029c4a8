"""Connections that would be held for ever: the head of a request that does not come, an answer that nobody takes.

uvicorn waits for both without end, and refuses everybody once it has as many connections as it may.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_S", "TAKE_S", "Patient", "end_idle"]

HEAD_S: Final = 15.0
TAKE_S: Final = 20.0


class Patient(H11Protocol):
    """Knows since when it has waited for the head of a request, and since when it has been closing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since: float | None = self.loop.time()
        self._closes_since: float | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = self.loop.time()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._waits_since = None  # between two requests uvicorn looks at the time itself

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def end_if_idle(self, now: float) -> None:
        """What is closing, and is not taken, is cut off: it would be kept for as long as the other end likes."""
        if self._waits_since is not None and now - self._waits_since > HEAD_S:
            self.transport.abort()
        elif self.transport.is_closing():
            self._closes_since = now if self._closes_since is None else self._closes_since
            if now - self._closes_since > TAKE_S:
                self.transport.abort()


def end_idle(connections: Any, now: float) -> None:
    """Look at all of them."""
    for one in list(connections):
        if isinstance(one, Patient):
            one.end_if_idle(now)
