"""SIGTERM, heard by whoever has to take back what it broke before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["termination"]


@contextmanager
def termination() -> Iterator[threading.Event]:
    """Set by SIGTERM while it lasts, where this thread may hear of it."""
    heard = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: FrameType | None) -> None:
        heard.set()

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGTERM, before)
