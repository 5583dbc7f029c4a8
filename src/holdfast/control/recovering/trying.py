"""Asking several stores at once, and waiting for none of them longer than for the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from holdfast.errors import FailedError, HoldfastError, StoreUnreachableError

__all__ = ["PATIENCE_SECONDS", "each_at_once", "first_of"]

PATIENCE_SECONDS: Final = 15.0

K = TypeVar("K")
T = TypeVar("T")


def each_at_once(
    of: Mapping[str, K], work: Callable[[K], T], patience_s: float = PATIENCE_SECONDS
) -> tuple[dict[str, T], dict[str, HoldfastError]]:
    """What came of each, and what was the matter with the others; who says nothing in time counts as unreachable."""
    answers: dict[str, T] = {}
    problems: dict[str, HoldfastError] = {}
    queue = _started(of, work)
    until = time.monotonic() + patience_s
    while len(answers) + len(problems) < len(of):
        try:
            name, answer, error = queue.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        if error is not None:
            problems[name] = error
        else:
            answers[name] = answer  # type: ignore[assignment]
    for name in of:
        if name not in answers and name not in problems:
            problems[name] = StoreUnreachableError(f"{name} did not answer within {patience_s:.0f} s", object_name=name)
    return {name: answers[name] for name in of if name in answers}, problems


def first_of(of: Mapping[str, K], work: Callable[[K], T], patience_s: float = PATIENCE_SECONDS) -> tuple[str, T]:
    """The first that works, in time. Raises the error of the first of them when none does."""
    problems: dict[str, HoldfastError] = {}
    queue = _started(of, work)
    until = time.monotonic() + patience_s
    while len(problems) < len(of):
        try:
            name, answer, error = queue.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        if error is None:
            return name, answer  # type: ignore[return-value]
        problems[name] = error
    if problems:
        raise next(problems[name] for name in of if name in problems)
    raise StoreUnreachableError(f"none of {', '.join(of)} answered within {patience_s:.0f} s")


def _started(of: Mapping[str, K], work: Callable[[K], T]) -> SimpleQueue[tuple[str, T | None, HoldfastError | None]]:
    queue: SimpleQueue[tuple[str, T | None, HoldfastError | None]] = SimpleQueue()

    def do(name: str, what: K) -> None:
        try:
            queue.put((name, work(what), None))
        except HoldfastError as error:
            queue.put((name, None, error))
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence would look like a store that hangs
            queue.put((name, None, FailedError(f"{name}: {type(error).__name__}: {error}")))

    for name, what in of.items():
        threading.Thread(target=do, args=(name, what), name=f"ask {name}", daemon=True).start()
    return queue
