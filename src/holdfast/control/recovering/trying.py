"""Asking several stores at once, and waiting for none of them longer than for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, as_completed, wait
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
    asked = _started(of, work)
    in_time, _ = wait(asked.values(), timeout=patience_s)
    for name, answer in asked.items():
        if answer not in in_time:
            problems[name] = StoreUnreachableError(f"{name} did not answer within {patience_s:.0f} s", object_name=name)
            continue
        try:
            answers[name] = answer.result()
        except HoldfastError as error:
            problems[name] = error
    return answers, problems


def first_of(of: Mapping[str, K], work: Callable[[K], T], patience_s: float = PATIENCE_SECONDS) -> tuple[str, T]:
    """The first that works, in time. Raises the error of the first of them when none does."""
    problems: dict[str, HoldfastError] = {}
    names = {answer: name for name, answer in _started(of, work).items()}
    try:
        for answer in as_completed(names, timeout=patience_s):
            try:
                return names[answer], answer.result()
            except HoldfastError as error:
                problems[names[answer]] = error
    except TimeoutError:
        pass  # the others say nothing
    if problems:
        raise next(problems[name] for name in of if name in problems)
    raise StoreUnreachableError(f"none of {', '.join(of)} answered within {patience_s:.0f} s")


def _started(of: Mapping[str, K], work: Callable[[K], T]) -> dict[str, Future[T]]:
    """Each in a thread that keeps no process from ending. What they raise is a HoldfastError."""
    asked: dict[str, Future[T]] = {name: Future() for name in of}

    def do(name: str, what: K) -> None:
        try:
            asked[name].set_result(work(what))
        except HoldfastError as error:
            asked[name].set_exception(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence would look like a store that hangs
            asked[name].set_exception(FailedError(f"{name}: {type(error).__name__}: {error}"))

    for name, what in of.items():
        threading.Thread(target=do, args=(name, what), name=f"ask {name}", daemon=True).start()
    return asked
