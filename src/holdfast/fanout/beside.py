"""Small pieces of work side by side, in threads that do not keep the process from ending when one hangs.

For questions to stores: over a long line it is the answers one after the other that take time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from typing import Final, TypeVar

__all__ = ["at_once", "begin_thread", "for_each"]

_STREAMS: Final = 8  # small requests on their way at a time, for each call

T = TypeVar("T")
U = TypeVar("U")


def at_once(*tasks: Callable[[], T]) -> list[T]:
    """The results of all tasks, in order. When all have ended, the first one's error is raised, if there was any.

    In threads that do not keep the process from ending when a store hangs.
    """
    futures: list[Future[T]] = [Future() for _ in tasks]
    mine = list(zip(tasks[:1], futures[:1], strict=True))
    for task, future in zip(tasks[1:], futures[1:], strict=True):
        try:
            begin_thread(partial(_run, task, future))
        except RuntimeError:  # no more threads are to be had; those that were begun must not be left alone
            mine.append((task, future))
    for task, future in mine:
        _run(task, future)
    wait(futures)
    return [future.result() for future in futures]


def begin_thread(work: Callable[[], None]) -> None:
    """Run it beside. Raises RuntimeError where no thread can be had."""
    threading.Thread(target=work, name="ask", daemon=True).start()


def for_each(work: Callable[[U], T], items: Iterable[U]) -> list[T]:
    """The results, in order, of a few at a time. Errors as for `at_once`."""
    given = list(items)
    results: dict[int, T] = {}

    def some(first: int) -> None:
        for number in range(first, len(given), _STREAMS):
            results[number] = work(given[number])

    at_once(*(partial(some, first) for first in range(min(_STREAMS, len(given)))))
    return [results[number] for number in range(len(given))]


def _run(task: Callable[[], T], future: Future[T]) -> None:
    try:
        result = task()
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)
