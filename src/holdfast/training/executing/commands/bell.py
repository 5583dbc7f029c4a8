"""Signals of this process and news of its threads, heard in one place: a pipe that both write to."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from holdfast.errors import UsageError

__all__ = ["Bell", "HEARD"]

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGCONT)


def _heard(number: int, frame: FrameType | None) -> None:
    """What it means is decided by who reads the pipe."""


class Bell:
    """`wait` returns when a signal has come, when `ring` was called, or after a time."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    @contextmanager
    def listening(self) -> Iterator[Bell]:
        """While it lasts, the signals come here. Raises UsageError outside of the main thread."""
        try:
            # What nohup, or a shell that runs us in its background, made us ignore stays ignored.
            wanted = [one for one in HEARD if one == signal.SIGCHLD or signal.getsignal(one) != signal.SIG_IGN]
            before = {number: signal.signal(number, _heard) for number in wanted}
        except ValueError as error:
            raise UsageError("a command can only be run from a program's main thread") from error
        descriptor = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            # The numbers may be somebody else's soon: a late thread must not write to them.
            reading, writing, self._reading, self._writing = self._reading, self._writing, -1, -1
            os.close(reading)
            os.close(writing)

    def ring(self) -> None:
        """From any thread."""
        with suppress(
            OSError, ValueError
        ):  # it is full: somebody is about to read it; or closed: nobody listens any more
            os.write(self._writing, b"\0")

    def wait(self, seconds: float) -> list[int]:
        """The signals that came, in their order; nothing but rings and the time make an empty list."""
        if not select.select([self._reading], [], [], max(0.0, seconds))[0]:
            return []
        with suppress(BlockingIOError):
            return [number for number in os.read(self._reading, 4096) if number]
        return []
