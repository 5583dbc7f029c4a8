"""An end to waiting: time-outs of sockets are for each piece of an answer, and one that comes drop by drop has none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["within"]

_Answer = TypeVar("_Answer")


def within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """What the call returns, or what it raises. Raises TimeoutError when the time is over: then it goes on in a thread
    that nobody waits for, and its answer is dropped.
    """
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            errors.append(error)

    asking = threading.Thread(target=ask, name="key service", daemon=True)
    asking.start()
    asking.join(seconds)
    if answers:
        return answers[0]
    if errors:
        raise errors[0]
    raise TimeoutError
