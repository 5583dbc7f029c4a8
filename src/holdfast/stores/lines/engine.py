"""The one thread in which all lines of this process work: an event loop, started by the first line."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.errors import FailedError, UsageError

__all__ = ["run_in_engine", "engine_loop"]

_Result = TypeVar("_Result")
_ANSWER_S_MAX = 30.0
_NAME = "holdfast-lines"

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_process = 0


def engine_loop() -> asyncio.AbstractEventLoop:
    """The loop; it runs until the process ends. A child made by fork(2) gets its own."""
    global _loop, _process
    with _lock:
        if _loop is None or _process != os.getpid():
            _loop, _process = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name=_NAME, daemon=True).start()
        return _loop


def run_in_engine(make: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """What the coroutine returns; waits for it. Raises UsageError in the engine's own thread, which cannot wait."""
    if threading.current_thread().name == _NAME:
        raise UsageError("what is told of a line's troubles cannot use lines itself", hint="do it in another thread")
    future = asyncio.run_coroutine_threadsafe(make(), engine_loop())
    try:
        return future.result(_ANSWER_S_MAX)
    except TimeoutError as error:
        future.cancel()
        raise FailedError("the thread that forwards connections does not answer") from error
