"""Pieces of work on the threads of this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from holdfast.errors import HoldfastError
from holdfast.fanout.port import Outcome

__all__ = ["ThreadFanout"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class ThreadFanout:
    """The native parts of the work release the interpreter's lock, so that threads are enough on one machine."""

    def __init__(self, threads: int | None = None) -> None:
        """`threads`: by default as many as there are cores, and two at least."""
        self._width = threads or max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)

    @property
    def width(self) -> int:
        """The threads."""
        return self._width

    def each(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterator[Outcome[Piece, Result]]:
        """As `Fanout.each`."""

        def one(piece: Piece) -> Outcome[Piece, Result]:
            began = time.monotonic()
            result: Result | None = None
            wrong: HoldfastError | None = None
            try:
                result = work(piece)
            except HoldfastError as error:
                wrong = error
            return Outcome(piece, result, wrong, threading.current_thread().name, time.monotonic() - began)

        pool = ThreadPoolExecutor(self._width, thread_name_prefix="fanout")
        try:
            running: set[Future[Outcome[Piece, Result]]] = set()
            for piece in pieces:
                running.add(pool.submit(one, piece))
                if len(running) >= 2 * self._width:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
